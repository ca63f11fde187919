"""Exports that the server keeps: who may take them, and that only their own files go out."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from analysis.export import ExportOptions, export
from analysis.settings import settings
from app import access, exports, shelf
from app.access import Role


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ERRATA_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def made(workspace_id: str, **more: object) -> str:
    """The id of a new export."""
    workspace = shelf.opened(workspace_id)
    to = exports.new_folder(workspace)
    return export(workspace, ExportOptions(to=to, format="csv", **more)).folder.name  # type: ignore[arg-type]


def as_role(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = dataclasses.replace(access.LOCAL, role=role)
    monkeypatch.setattr(access, "person", lambda person_id: somebody)


def test_a_file_goes_out_as_it_is(member: TestClient, workspace_id: str) -> None:
    export_id = made(workspace_id)
    folder = exports.home(shelf.opened(workspace_id)) / export_id
    for name in ("items.csv", "datasheet.md", "receipt.json"):
        answer = member.get(exports.url(workspace_id, export_id, name))
        assert (answer.status_code, answer.content) == (200, (folder / name).read_bytes())
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["cache-control"] == "no-store"


def test_nothing_else_goes_out(member: TestClient, workspace_id: str, tmp_path: Path) -> None:
    export_id = made(workspace_id)
    folder = exports.home(shelf.opened(workspace_id)) / export_id
    (folder / "stray.txt").write_text("not of the export")
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "receipt.json").write_text((folder / "receipt.json").read_text())
    for path in (
        f"{export_id}/stray.txt",
        f"{export_id}/..%2Freceipt.json",
        f"{export_id}/%2e%2e",
        "other/receipt.json",
        "..%2F..%2Fsession.key/receipt.json",
        f"{export_id}",
        f"{export_id}/",
    ):
        answer = member.get(f"/exports/{workspace_id}/{path}")
        assert answer.status_code == 404, path
        assert "error" in answer.json()


def test_nobody_takes_an_export_without_a_session(client: TestClient, workspace_id: str) -> None:
    assert client.get(exports.url(workspace_id, made(workspace_id), "items.csv")).status_code == 401


@pytest.mark.parametrize(
    ("role", "published", "reviewed"),
    [(Role.VIEWER, 403, 403), (Role.ANNOTATOR, 200, 403), (Role.PANEL, 200, 200), (Role.ADMIN, 200, 200)],
)
def test_who_may_take_what(
    role: Role,
    published: int,
    reviewed: int,
    member: TestClient,
    workspace_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = {made(workspace_id): published, made(workspace_id, labels="reviewed"): reviewed}
    as_role(role, monkeypatch)
    for export_id, status in expected.items():
        for name in ("items.csv", "receipt.json"):
            assert member.get(exports.url(workspace_id, export_id, name)).status_code == status


def test_what_is_kept_is_listed_newest_first_and_removed(workspace_id: str) -> None:
    workspace = shelf.opened(workspace_id)
    assert exports.kept(workspace) == []
    ids = [made(workspace_id), made(workspace_id)]
    (exports.home(workspace) / "20200101T000000-deadbeef").mkdir()  # nothing in it: a receipt is missing
    assert [one.id for one in exports.kept(workspace)] == sorted(ids, reverse=True)
    exports.remove(workspace, ids[0])
    exports.remove(workspace, "..")
    assert [one.id for one in exports.kept(workspace)] == [ids[1]]
    assert pl.read_csv(exports.home(workspace) / ids[1] / "items.csv").height == workspace.items().height
