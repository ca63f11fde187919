import io
import re
from pathlib import Path

import anyio
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import Message

from analysis.errors import InputError, WorkspaceError
from analysis.thumbnails import SIZES
from analysis.workspace import Workspace
from app import access, middleware, routes, shelf

from .conftest import MARKUP, NAMES, publish_map

BROKEN = NAMES.index("broken.png")


def url(workspace_id: str, name: str, size: int | str = 160) -> str:
    item = NAMES.index(name)
    return routes.image_url(workspace_id, item, size, shelf.opened(workspace_id).items().item(item, "hash"))


def reason(answer: object) -> str:
    assert answer.headers["content-type"] == "application/json"  # type: ignore[attr-defined]
    assert answer.headers["cache-control"] == "no-store"  # type: ignore[attr-defined]
    return answer.json()["error"]  # type: ignore[attr-defined, no-any-return]


# ---- sessions


def test_without_a_session_nothing_is_shown(client: TestClient, workspace_id: str) -> None:
    space = shelf.opened(workspace_id).spaces()[0]
    for address in (
        url(workspace_id, "plain.png"),
        routes.points_url(workspace_id, space),
        f"/data/{workspace_id}/item/0",
    ):
        answer = client.get(address)
        assert answer.status_code == 401
        assert "Open this from a page" in reason(answer)


def test_a_forged_token_gets_no_session(client: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic bm9uc2Vuc2U="}):
        answer = client.post("/session", headers=headers)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert reason(answer)


def test_an_expired_token_gets_no_session(client: TestClient, workspace_id: str) -> None:
    token = access.mint(access.LOCAL, [workspace_id], lifetime=-1)
    assert client.post("/session", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient, workspace_id: str) -> None:
    token = access.mint(access.LOCAL, [workspace_id])
    answer = client.post("/session", headers={"Authorization": f"Bearer {token}"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert token not in cookie


def test_a_session_for_another_workspace_does_not_do(client: TestClient, workspace_id: str) -> None:
    token = access.mint(access.LOCAL, ["another"])
    client.post("/session", headers={"Authorization": f"Bearer {token}"})
    assert client.get(url(workspace_id, "plain.png")).status_code == 403


# ---- images


@pytest.mark.parametrize("size", SIZES)
def test_a_thumbnail_comes_as_webp_to_be_kept_for_ever(member: TestClient, workspace_id: str, size: int) -> None:
    answer = member.get(url(workspace_id, "plain.png", size))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert max(Image.open(io.BytesIO(answer.content)).size) == min(size, 400)
    assert list((shelf.opened(workspace_id).thumbnails / str(size)).rglob("*.webp"))


def test_orientation_is_honoured(member: TestClient, workspace_id: str) -> None:
    assert Image.open(io.BytesIO(member.get(url(workspace_id, "turned.jpg", 96)).content)).size == (48, 96)


def test_the_full_image_is_the_file(member: TestClient, workspace_id: str, made_workspace: Path) -> None:
    answer = member.get(url(workspace_id, "turned.jpg", "full"))
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == (made_workspace.parent / "images" / "turned.jpg").read_bytes()


def test_a_name_that_is_markup_is_a_name(member: TestClient, workspace_id: str) -> None:
    address = url(workspace_id, MARKUP)
    assert re.fullmatch(r"/img/[0-9a-f]{8}/\d+/160/[0-9a-f]{32}", address)
    assert member.get(address).status_code == 200


def test_a_known_image_is_not_sent_twice(member: TestClient, workspace_id: str) -> None:
    address = url(workspace_id, "plain.png")
    again = member.get(address, headers={"If-None-Match": member.get(address).headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("changed.png", 410, "has changed since"),
        ("vanished.png", 410, "no longer there"),
        ("broken.png", 422, "not an image"),
        ("outside.png", 410, "out of the image folder"),
    ],
)
@pytest.mark.parametrize("size", [160, "full"])
def test_what_cannot_be_shown_says_why(
    member: TestClient, workspace_id: str, name: str, status: int, words: str, size: int | str
) -> None:
    answer = member.get(url(workspace_id, name, size))
    assert answer.status_code == status
    assert words in reason(answer)
    assert str(NAMES.index(name)) in reason(answer)


def test_only_known_items_sizes_and_hashes_have_an_address(member: TestClient, workspace_id: str) -> None:
    right = url(workspace_id, "plain.png")
    wrong = [
        right.replace("/0/160/", "/999/160/"),
        right.replace("/160/", "/161/"),
        right.replace("/160/", "/../"),
        right[:-32] + "0" * 32,
        right[:-32] + "..%2f..%2ferrata.toml",
        f"/img/{workspace_id}/{NAMES.index('pixelless')}/160/{'0' * 32}",
        f"/img/{workspace_id}/-1/160/{right[-32:]}",
    ]
    assert [member.get(address).status_code for address in wrong] == [404] * len(wrong)
    assert not (shelf.opened(workspace_id).thumbnails).exists()


def test_a_dataset_read_again_is_served_at_once(member: TestClient, workspace_id: str, workspace_path: Path) -> None:
    address = f"/data/{workspace_id}/toy"
    before = shelf.opened(workspace_id)
    publish_map(Workspace.open(workspace_path), [5.0])
    fresh = Workspace.open(workspace_path).spaces()[0]
    assert fresh.version != before.spaces()[0].version
    assert member.get(routes.points_url(workspace_id, fresh)).status_code == 200
    assert member.get(f"{address}/no-such-version/points").status_code == 404


# ---- map data


def test_points_are_floats_in_item_order_with_nan_for_none(member: TestClient, workspace_id: str) -> None:
    address = routes.points_url(workspace_id, shelf.opened(workspace_id).spaces()[0])
    answer = member.get(address, headers={"Accept-Encoding": "gzip"})
    points = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    assert points.shape == (len(NAMES), 2)
    assert points[:3].tolist() == [[0, 0], [1, -1], [2, -2]]
    assert np.isnan(points[3:]).all()
    assert "immutable" in answer.headers["cache-control"]
    assert member.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_a_hovered_point_tells_its_words_as_data(member: TestClient, workspace_id: str) -> None:
    answer = member.get(f"/data/{workspace_id}/item/{NAMES.index(MARKUP)}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["key"] == MARKUP
    assert answer.json()["label"] == "dough"
    assert member.get(f"/data/{workspace_id}/item/999").status_code == 404


@pytest.mark.parametrize("item", ["9" * 5000, "9" * 11, "-1", "1.0", "a", "١", "%00", "1%20"])
def test_what_is_no_items_number_is_not_found(member: TestClient, workspace_id: str, item: str) -> None:
    for address in (f"/img/{workspace_id}/{item}/160/{'0' * 32}", f"/data/{workspace_id}/item/{item}"):
        answer = member.get(address)
        assert answer.status_code == 404
        assert len(reason(answer)) < 100


@pytest.mark.parametrize("below", ["", "/", "/a", "/a/b/c/d/e/f", "/a//b"])
@pytest.mark.parametrize("ours", ["img", "data"])
def test_nothing_below_our_addresses_is_a_page(member: TestClient, ours: str, below: str) -> None:
    answer = member.get(f"/{ours}{below}")
    assert answer.status_code == 404
    assert reason(answer)


# ---- the server's own


def test_health_tells_no_names(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "workspaces": 1}


def test_metrics_count_what_was_answered_and_stay_on_this_machine(member: TestClient, workspace_id: str) -> None:
    def images() -> int:
        text = member.get("/metrics").text
        found = re.search(r'errata_requests_total\{route="img",status="200"\} (\d+)', text)
        return int(found[1]) if found else 0

    before = images()
    member.get(url(workspace_id, "plain.png"))
    assert images() == before + 1
    assert member.get("/metrics", headers={"X-Forwarded-For": "203.0.113.1"}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:80", "", "[", "localhost@evil.example"]
)
def test_a_name_that_is_not_ours_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/health", headers={"Host": host})
    assert answer.status_code == 403 or (host == "localhost@evil.example" and answer.status_code == 403)
    assert "error" in answer.json()


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:9", "[::1]:8501", "192.0.2.7", "LOCALHOST"])
def test_our_names_and_plain_addresses_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "http://localhost.evil.example"]
)
def test_another_sites_page_gets_no_session(client: TestClient, workspace_id: str, origin: str) -> None:
    token = access.mint(access.LOCAL, [workspace_id])
    answer = client.post("/session", headers={"Authorization": f"Bearer {token}", "Origin": origin})
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]


def test_our_own_page_gets_one(client: TestClient, workspace_id: str) -> None:
    token = access.mint(access.LOCAL, [workspace_id])
    headers = {"Authorization": f"Bearer {token}", "Origin": "http://localhost"}
    assert client.post("/session", headers=headers).status_code == 204


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for address in ("/health", "/nowhere", "/img/a/1/96/b"):
        headers = client.get(address).headers
        for name, value in middleware.HEADERS.items():
            assert headers[name] == value
        assert "object-src 'none'" in headers["content-security-policy"]


def test_the_policy_names_a_host_only_when_it_is_one() -> None:
    assert "ws://localhost:8501 " in middleware.content_security_policy("localhost:8501")
    assert "evil" not in middleware.content_security_policy("a; script-src evil")
    policy = middleware.content_security_policy("localhost")
    script_sources = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in script_sources
    assert "'sha256-" in script_sources


@pytest.mark.parametrize("target", ["*", "", "nonsense", "?a"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_a_malformed_target_is_refused(client: TestClient, target: str, method: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": target,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    anyio.run(client.app, scope, receive, send)
    assert sent[0]["status"] == 400
    assert b"error" in sent[1]["body"]


# ---- the shelf


def test_a_workspace_is_opened_again_when_something_was_published(workspace_id: str, workspace_path: Path) -> None:
    before = shelf.workspace(workspace_id)
    assert shelf.workspace(workspace_id) is before
    publish_map(Workspace.open(workspace_path), [7.0])
    assert shelf.opened(workspace_id) is before
    assert shelf.workspace(workspace_id).spaces()[0].version != before.spaces()[0].version
    assert shelf.opened(workspace_id) is not before


def test_an_id_is_no_path(workspace_id: str, workspace_path: Path) -> None:
    for other in ("", "..", str(workspace_path), workspace_id.upper() + "x"):
        with pytest.raises(WorkspaceError, match="open on this server"):
            shelf.workspace(other)


def test_the_same_workspace_twice_is_refused(workspace_path: Path) -> None:
    with pytest.raises(InputError, match="same workspace"):
        shelf.put([workspace_path, workspace_path])


def test_a_folder_that_is_no_workspace_leaves_the_shelf_as_it_was(workspace_id: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError):
        shelf.put([tmp_path])
    assert shelf.ids() == [workspace_id]
