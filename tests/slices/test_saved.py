"""Saved slices: the same again is the same one, names are unique, nothing that is saved gets lost."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analysis.database import FILE
from analysis.errors import InputError, WorkspaceError
from analysis.slices import Items, Slice, saved
from analysis.workspace import Workspace
from tests.databases import made_workspace


def test_what_is_saved_is_loaded(workspace: Workspace) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    slice_id = saved.save(workspace, "class = cat & item>=3 | order by key", name=" cats, “quoted” ", person="ann")
    found = saved.load(workspace, slice_id)
    assert found is not None
    assert (found.id, found.name, found.person) == (slice_id, "cats, “quoted”", "ann")
    assert found.text == "class=cat & item >= 3 | order by key"
    assert before <= found.created <= datetime.now(UTC)
    assert saved.named(workspace, "cats, “quoted”") == saved.named(workspace, slice_id) == found


def test_the_same_again_is_the_same_one(workspace: Workspace) -> None:
    first = saved.save(workspace, "class=cat", person="ann")
    assert saved.save(workspace, "class  =  cat ", person="bob") == first
    assert saved.load(workspace, first).person == "ann"  # type: ignore[union-attr]
    named = saved.save(workspace, "class=cat", name="cats")
    assert named != first
    assert saved.save(workspace, "class=cat", name="cats") == named
    assert saved.save(workspace, "class=dog") not in (first, named)
    assert [one.name for one in saved.listed(workspace)] == ["cats"]
    assert saved.names(workspace) == {named: "cats"}


def test_any_number_of_slices_have_no_name(workspace: Workspace) -> None:
    ids = [saved.save(workspace, f"items ({n})") for n in range(5)]
    assert len(set(ids)) == 5
    assert saved.listed(workspace) == []
    assert [saved.load(workspace, one).text for one in ids] == [f"items ({n})" for n in range(5)]  # type: ignore[union-attr]


def test_names_come_in_order_and_belong_to_one_slice(workspace: Workspace) -> None:
    for name in ("dogs", "Cats", "eels"):
        saved.save(workspace, f"key contains {name}", name=name)
    assert [one.name for one in saved.listed(workspace)] == list(saved.names(workspace).values()) == [
        "Cats", "dogs", "eels",
    ]  # fmt: skip
    with pytest.raises(InputError, match="another slice called 'dogs' here: key contains dogs"):
        saved.save(workspace, "class=dog", name="dogs")
    saved.forget(workspace, saved.named(workspace, "dogs").id)
    assert saved.load(workspace, saved.save(workspace, "class=dog", name="dogs")).text == "class=dog"  # type: ignore[union-attr]


def test_what_is_forgotten_is_gone(workspace: Workspace) -> None:
    slice_id = saved.save(workspace, "class=cat", name="cats")
    saved.forget(workspace, slice_id)
    saved.forget(workspace, slice_id)
    assert saved.load(workspace, slice_id) is None
    with pytest.raises(InputError, match=r"no saved slice 'cats'\. It has: none yet"):
        saved.named(workspace, "cats")


@pytest.mark.parametrize("unknown", ["", "0123456789abcdef", "0123456789ABCDEF", "é" * 16, "x\x00", "' OR 1=1 --"])
def test_unknown_ids_are_nothing(workspace: Workspace, unknown: str) -> None:
    saved.save(workspace, "class=cat", name="cats")
    assert saved.load(workspace, unknown) is None
    saved.forget(workspace, unknown)
    with pytest.raises(InputError, match="cats"):
        saved.named(workspace, unknown)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "\ud800", "n" * 81])
def test_names_that_are_none_are_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError, match="printable"):
        saved.save(workspace, "class=cat", name=name)


def test_only_slices_are_saved(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="character"):
        saved.save(workspace, "class=", name="nothing")
    assert saved.listed(workspace) == []
    assert saved.load(workspace, saved.save(workspace, "")).text == "all"  # type: ignore[union-attr]


def test_signs_of_any_kind_and_long_lists_come_back(workspace: Workspace) -> None:
    for wanted in (
        Slice((Items(tuple(range(0, 60_000, 2))),)),
        Slice.parse(r'key="\u0000 \ud800 é 😀 \u2028"'),
    ):
        found = saved.load(workspace, saved.save(workspace, str(wanted)))
        assert found is not None
        assert Slice.parse(found.text) == wanted


def test_two_workspaces_of_one_database_do_not_meet(workspace: Workspace, tmp_path: Path) -> None:
    other = made_workspace(tmp_path / "other")
    slice_id = saved.save(workspace, "class=cat", name="cats")
    assert saved.load(other, slice_id) is None
    assert saved.listed(other) == []
    assert saved.save(other, "class=cat", name="cats") == slice_id
    saved.forget(other, slice_id)
    assert saved.load(workspace, slice_id) is not None


def test_who_saves_at_once_gets_one_slice(workspace: Workspace) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(saved.save(workspace, "class=cat", name="cats"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(saved.listed(workspace)) == 1


def test_reading_makes_no_file_and_a_folder_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = made_workspace(tmp_path / "plain")
    assert saved.listed(workspace) == []
    assert saved.load(workspace, "0123456789abcdef") is None
    assert not (workspace.path / FILE).exists()
    (workspace.path / FILE).mkdir()  # nobody can open a database there, whatever their rights
    with pytest.raises(WorkspaceError, match="cannot be used"):
        saved.save(workspace, "class=cat")
