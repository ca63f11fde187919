"""A tiny workspace on disk, open on the shelf, and a client of our routes."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from analysis import items as item_table
from analysis.create import write_dataset
from analysis.labels.classes import ClassList
from analysis.workspace import Workspace
from app import access, routes, shelf
from app.middleware import HostGuard, Meter, SecurityHeaders

MARKUP = "![x](evil.example)<img onerror=alert(1)>.png"
NAMES = [
    "plain.png",
    "turned.jpg",
    MARKUP,
    "changed.png",
    "vanished.png",
    "broken.png",
    "pixelless",
    "outside.png",
]


def content_hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def class_list(names: list[str]) -> ClassList:
    frame = pl.DataFrame(
        {
            "index": pl.Series(range(len(names)), dtype=pl.UInt32),
            "id": [f"c{i}" for i in range(len(names))],
            "name": names,
            "synonyms": pl.Series([[] for _ in names], dtype=pl.List(pl.String)),
            "definition": pl.Series([None for _ in names], dtype=pl.String),
            "parent": pl.Series([None for _ in names], dtype=pl.String),
        }
    )
    return ClassList("tiny", frame)


def _picture(file: Path, size: tuple[int, int], color: str, turned: bool = False) -> None:
    image = Image.new("RGB", size, color)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6  # to be turned by 90 degrees for showing
        exif[0x010E] = "a secret description"
    image.save(file, exif=exif)


@pytest.fixture(scope="session")
def made_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tiny")
    root = home / "images"
    root.mkdir()
    for name, color in zip(NAMES[:5], ["teal", "navy", "olive", "maroon", "purple"], strict=True):
        _picture(root / name, (400, 200), color, turned=name == "turned.jpg")
    (root / "broken.png").write_bytes(b"not an image")
    _picture(home / "outside.png", (30, 30), "red")
    paths = [*NAMES[:6], None, "../outside.png"]
    hashes = [content_hash((root / path).read_bytes()) if path is not None else None for path in paths]
    _picture(root / "changed.png", (10, 10), "blue")
    (root / "vanished.png").unlink()
    records = pl.DataFrame(
        {
            "key": NAMES,
            "path": pl.Series(paths, dtype=pl.String),
            "label": pl.Series([0, 1, 0, 1, 0, 1, 0, None], dtype=pl.UInt32),
            "split": pl.Series([None] * 8, dtype=pl.String),
        }
    )
    scanned = pl.DataFrame(
        {
            "width": pl.Series([400] * 8, dtype=pl.UInt32),
            "height": pl.Series([200] * 8, dtype=pl.UInt32),
            "bytes": pl.Series([1] * 8, dtype=pl.UInt64),
            "hash": pl.Series(hashes, dtype=pl.String),
            "problem": pl.Series([None] * 8, dtype=pl.String),
        }
    )
    nothing = pl.DataFrame(schema={"key": pl.String, "reason": pl.String})
    workspace, _ = write_dataset(
        home / "ws", item_table.frame(records, scanned), class_list(["dough", "bagel"]), nothing, image_root=root
    )
    publish_map(workspace, [0.0, 1.0, 2.0])
    return home / "ws"


def publish_map(workspace: Workspace, xs: list[float]) -> None:
    """A space whose first items stand at (x, -x)."""

    def fill(folder: Path) -> dict[str, object]:
        items = pl.Series("item", range(len(xs)), dtype=pl.UInt32)
        pl.DataFrame({"item": items, "x": xs, "y": [-x for x in xs]}).write_parquet(folder / "projection.parquet")
        np.save(folder / "items.npy", items.to_numpy())
        return {}

    workspace.publish_space("toy:encoder", fill)


@pytest.fixture
def workspace_path(made_workspace: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; its images stay where they were."""
    shutil.copytree(made_workspace, tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture
def workspace_id(workspace_path: Path) -> Iterator[str]:
    """The workspace on the shelf, by its id."""
    yield shelf.put([workspace_path])[0]
    shelf.put([])


@pytest.fixture
def client(workspace_id: str) -> Iterator[TestClient]:
    """A browser without a session, on our routes behind our middleware."""
    middleware = [Middleware(Meter), Middleware(SecurityHeaders), Middleware(HostGuard)]
    app = Starlette(routes=routes.routes(), middleware=middleware)
    with TestClient(app, base_url="http://localhost") as browser:
        yield browser


@pytest.fixture
def member(client: TestClient, workspace_id: str) -> TestClient:
    """The same browser with a session for the workspace."""
    token = access.mint(access.LOCAL, [workspace_id])
    assert client.post("/session", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    return client


@pytest.fixture(autouse=True)
def _main_module_stays() -> Iterator[None]:
    """Streamlit's test harness puts the page in place of `__main__`, which processes that are spawned later import."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
