import stat
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app import access
from app.access import Action, Denied, Person, Role


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_a_role_may_do_what_it_and_the_roles_before_it_may(role: Role, action: Action) -> None:
    order = [Role.VIEWER, Role.ANNOTATOR, Role.PANEL, Role.ADMIN]
    may = order.index(role) >= order.index(action.value)
    assert access.allowed(Person("p", "P", role), action, "ws") is may


def test_nobody_may_do_anything() -> None:
    assert not any(access.allowed(None, action, "ws") for action in Action)
    with pytest.raises(Denied) as denied:
        access.require(None, Action.VIEW, "ws")
    assert denied.value.status == 401


def test_a_refusal_says_who_and_what() -> None:
    with pytest.raises(Denied, match="Vera may not annotate") as denied:
        access.require(Person("v", "Vera", Role.VIEWER), Action.ANNOTATE, "ws")
    assert denied.value.status == 403


def test_a_token_becomes_a_session_for_its_workspaces() -> None:
    session = access.exchange(access.mint(access.LOCAL, ["a", "b"]))
    assert access.require_session(session, Action.VIEW, "a") == access.LOCAL
    with pytest.raises(Denied) as denied:
        access.require_session(session, Action.VIEW, "c")
    assert denied.value.status == 403


def test_a_token_is_no_session_and_a_session_no_token() -> None:
    token = access.mint(access.LOCAL, ["a"])
    with pytest.raises(Denied):
        access.require_session(token, Action.VIEW, "a")
    with pytest.raises(Denied):
        access.exchange(access.exchange(token))


def test_what_has_expired_is_refused() -> None:
    with pytest.raises(Denied, match="expired") as token:
        access.exchange(access.mint(access.LOCAL, ["a"], lifetime=-1))
    over = access.exchange(access.mint(access.LOCAL, ["a"]), lifetime=-1)
    with pytest.raises(Denied, match="over") as session:
        access.require_session(over, Action.VIEW, "a")
    assert (token.value.status, session.value.status) == (401, 401)


def test_a_person_who_is_gone_has_no_session_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    session = access.exchange(access.mint(access.LOCAL, ["a"]))
    monkeypatch.setattr(access, "person", lambda person_id: None)
    with pytest.raises(Denied) as denied:
        access.require_session(session, Action.VIEW, "a")
    assert denied.value.status == 401


@given(st.text(max_size=80) | st.none())
def test_what_we_did_not_sign_is_refused(forged: str | None) -> None:
    with pytest.raises(Denied):
        access.exchange(forged)
    with pytest.raises(Denied):
        access.read_session(forged)


# Not the last character: in base64 some of its bits mean nothing.
@given(place=st.integers(0, 60), other=st.characters(codec="ascii"))
def test_one_changed_character_makes_a_session_worthless(place: int, other: str) -> None:
    session = access.exchange(access.mint(access.LOCAL, ["a"]))
    assert place < len(session) - 1
    assume(other != session[place])
    with pytest.raises(Denied):
        access.read_session(session[:place] + other + session[place + 1 :])


ODD = [None, 3, "text", {}, [], ["local"], ["local", ["a"]], ["local", ["a"], "later"], ["local", "a", 9e9]]
ODD += [["local", [3], 9e9], [["local"], ["a"], 9e9], ["local", ["a"], float("nan")], ["local", ["a"], 9e9, "more"]]


@pytest.mark.parametrize("payload", ODD)
def test_a_genuine_signature_under_something_odd_is_refused(payload: object) -> None:
    with pytest.raises(Denied) as token:
        access.exchange(access._signer("token").dumps(payload))
    with pytest.raises(Denied) as session:
        access.read_session(access._signer("session").dumps(payload))
    assert (token.value.status, session.value.status) == (401, 401)


def test_a_genuine_signature_under_no_json_is_refused() -> None:
    signer = access._signer("session").make_signer("errata.session")
    with pytest.raises(Denied):
        access.read_session(signer.sign(b"bm8ganNvbg").decode())


def test_another_secret_ends_all_sessions() -> None:
    session = access.exchange(access.mint(access.LOCAL, ["a"]))
    access.use_secret(b"another secret of thirty-two bytes")
    with pytest.raises(Denied, match="not made by this server"):
        access.read_session(session)


def test_a_page_that_runs_again_gets_the_same_token_until_half_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    first = access.token_for(access.LOCAL, ["x", "y"])
    assert access.token_for(access.LOCAL, ["y", "x"]) == first
    assert access.token_for(access.LOCAL, ["x"]) != first
    later = time.time() + 0.6 * access.TOKEN_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    second = access.token_for(access.LOCAL, ["x", "y"])
    assert second != first
    assert access.exchange(first)
    assert access.exchange(second)


def test_the_secret_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    secret = access.stored_secret(home)
    assert len(secret) == 32
    assert access.stored_secret(home) == secret
    (file,) = home.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    access.stored_secret(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_unfinished_secret_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "session.key").write_bytes(b"short")
    secret = access.stored_secret(tmp_path)
    assert len(secret) == 32
    assert access.stored_secret(tmp_path) == secret


def test_where_no_home_can_be_made_the_secret_is_the_processs_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert access.stored_secret(tmp_path / "file") != access.stored_secret(tmp_path / "file")
