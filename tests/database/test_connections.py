"""The database of a workspace: made when first written to, migrated, one writer at a time."""

import contextlib
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from analysis.database import engine, reading, schema, writing
from analysis.database.connections import FILE, forget
from analysis.database.tables import metadata, slices
from analysis.errors import LockedError, WorkspaceError
from analysis.settings import settings
from analysis.workspace import Workspace
from tests.databases import made_workspace

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, UTC)


def add(workspace: Workspace, slice_id: str, name: str | None = None, created: datetime = NOW) -> None:
    with writing(workspace) as connection:
        connection.execute(
            slices.insert().values(
                workspace=workspace.uuid, id=slice_id, name=name, text="outcome=mistake", person="ann", created=created
            )
        )


def ids(workspace: Workspace) -> list[str]:
    with reading(workspace) as connection:
        if connection is None:
            return []
        return list(connection.scalars(sa.select(slices.c.id).where(slices.c.workspace == workspace.uuid)))


def test_what_was_written_is_read(workspace: Workspace) -> None:
    add(workspace, "a")
    assert ids(workspace) == ["a"]
    assert ids(Workspace.open(workspace.path)) == ["a"]


def test_a_moment_comes_back_in_utc_to_the_microsecond(workspace: Workspace) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-7)))
    add(workspace, "a", created=local)
    with reading(workspace) as connection:
        assert connection is not None
        found = connection.scalar(sa.select(slices.c.created).where(slices.c.workspace == workspace.uuid))
    assert (found, found.utcoffset()) == (NOW, timedelta(0))


def test_workspaces_do_not_see_each_other(workspace: Workspace, tmp_path: Path) -> None:
    other = made_workspace(tmp_path / "other")
    add(workspace, "a", name="mine")
    add(other, "b", name="mine")
    assert (ids(workspace), ids(other)) == (["a"], ["b"])


def test_a_name_is_given_once_and_namelessness_often(workspace: Workspace) -> None:
    add(workspace, "a", name="mine")
    add(workspace, "b")
    add(workspace, "c")
    with pytest.raises(sa.exc.IntegrityError):
        add(workspace, "d", name="mine")
    assert sorted(ids(workspace)) == ["a", "b", "c"]


def test_a_failed_block_leaves_nothing(workspace: Workspace) -> None:
    add(workspace, "a")
    with contextlib.suppress(ZeroDivisionError), writing(workspace) as connection:
        connection.execute(slices.update().values(text="changed"))
        raise ZeroDivisionError
    with reading(workspace) as connection:
        assert connection is not None
        text = connection.scalar(sa.select(slices.c.text).where(slices.c.workspace == workspace.uuid))
    assert text == "outcome=mistake"


def test_one_writer_at_a_time(workspace: Workspace) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with writing(workspace):
            inside.set()
            assert leave.wait(10)
            order.append("first")

    def second() -> None:
        with writing(workspace):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def test_who_waits_too_long_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.database.connections.LOCK_SECONDS", 1)
    forget()
    with writing(workspace):
        failures: list[Exception] = []

        def second() -> None:
            try:
                add(workspace, "late")
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(20)
    assert [type(failure) for failure in failures] == [LockedError]
    assert ids(workspace) == []


def test_a_reader_sees_one_state(workspace: Workspace) -> None:
    add(workspace, "a")
    with reading(workspace) as connection:
        assert connection is not None
        count = sa.select(sa.func.count()).where(slices.c.workspace == workspace.uuid)
        assert connection.scalar(count) == 1
        add(workspace, "b")
        assert connection.scalar(count) == 1
    assert ids(workspace) == ["a", "b"]


def test_the_migrations_make_the_tables_of_the_code(workspace: Workspace) -> None:
    with engine(workspace).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert schema.current(connection) == schema.newest()


def test_a_newer_schema_is_refused(workspace: Workspace) -> None:
    add(workspace, "a")
    address = engine(workspace).url
    with engine(workspace).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'z999'"))
    try:
        forget()
        with pytest.raises(WorkspaceError, match="newer version of Errata") as caught:
            ids(workspace)
        assert "z999" in str(caught.value)
        with pytest.raises(WorkspaceError, match="newer version of Errata"):
            add(workspace, "b")
    finally:
        mended = sa.create_engine(address)
        with mended.begin() as connection:
            connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{schema.newest()}'"))
        mended.dispose()
    assert ids(workspace) == ["a"]


def _open_and_add(path: str, number: int) -> None:
    add(Workspace.open(path), f"p{number}", name=f"name {number}")


def test_processes_that_migrate_at_once(workspace: Workspace) -> None:
    """A new file of SQLite, and PostgreSQL without our tables, opened by six processes at the same moment."""
    with engine(workspace).begin() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
    is_sqlite = engine(workspace).dialect.name == "sqlite"
    forget()
    if is_sqlite:
        (workspace.path / FILE).unlink()
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open_and_add, args=(str(workspace.path), n)) for n in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert sorted(ids(workspace)) == [f"p{n}" for n in range(6)]


def test_a_database_of_the_first_schema_is_migrated_with_what_it_holds(workspace: Workspace) -> None:
    config = schema._config()
    with engine(workspace).begin() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        config.attributes["connection"] = connection
        command.upgrade(config, "a001")
        assert schema.current(connection) == "a001"
        row = {"workspace": workspace.uuid, "id": "old", "name": "n", "text": "t", "person": "ann", "created": NOW}
        connection.execute(slices.insert(), row)
        assert not sa.inspect(connection).has_table("judgements")
    forget()
    assert ids(workspace) == ["old"]
    with engine(workspace).connect() as connection:
        assert schema.current(connection) == schema.newest()
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


# ---- SQLite in the folder


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace over SQLite."""
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    settings.cache_clear()
    return made_workspace(tmp_path / "w")


def test_reading_makes_no_file(plain: Workspace) -> None:
    before = sorted(plain.path.rglob("*"))
    assert ids(plain) == []
    assert sorted(plain.path.rglob("*")) == before


def test_sqlite_keeps_what_it_acknowledged(plain: Workspace) -> None:
    with engine(plain).connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_replaced_file_is_opened_anew(plain: Workspace) -> None:
    add(plain, "a")
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (plain.path / name).unlink(missing_ok=True)
    add(plain, "b")
    assert ids(plain) == ["b"]


def test_a_damaged_file_is_named(plain: Workspace) -> None:
    (plain.path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(WorkspaceError, match=r"errata\.db cannot be used"):
        ids(plain)


def closed_cleanly(workspace: Workspace) -> None:
    """As the last process leaves a database: one file, without the two beside it."""
    forget()
    with sqlite3.connect(workspace.path / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert [path.name for path in workspace.path.glob(f"{FILE}*")] == [FILE]


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be written to: what a read-only file system tells everybody."""
    monkeypatch.setattr("analysis.database.connections._writable", lambda path: False)


@pytest.mark.usefixtures("unwritable")
def test_a_read_only_folder_without_a_database_is_empty(plain: Workspace) -> None:
    assert ids(plain) == []


def test_a_read_only_folder_is_read(plain: Workspace, request: pytest.FixtureRequest) -> None:
    add(plain, "a")
    closed_cleanly(plain)
    request.getfixturevalue("unwritable")
    assert ids(plain) == ["a"]
    with pytest.raises(WorkspaceError, match="readonly"), reading(plain) as connection:
        connection.execute(slices.delete())  # type: ignore[union-attr]


def test_a_read_only_folder_of_an_older_schema_is_refused(plain: Workspace, request: pytest.FixtureRequest) -> None:
    (plain.path / FILE).touch()
    request.getfixturevalue("unwritable")
    with pytest.raises(WorkspaceError, match="older version"):
        ids(plain)


def test_only_postgresql_will_do(plain: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("mysql://u:secret@h/d", "no address"):
        monkeypatch.setenv("ERRATA_DATABASE_URL", address)
        settings.cache_clear()
        with pytest.raises(WorkspaceError, match="postgresql") as caught:
            ids(plain)
        assert "secret" not in str(caught.value)
    monkeypatch.undo()
    settings.cache_clear()


def test_a_server_that_is_not_there_is_named_without_its_password(
    plain: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRATA_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/errata")
    settings.cache_clear()
    with pytest.raises(WorkspaceError, match="errata") as caught:
        ids(plain)
    assert "secret" not in str(caught.value)
    monkeypatch.undo()
    settings.cache_clear()


def test_the_pages_do_not_load_the_migrations(plain: Workspace) -> None:
    """A server that only shows a workspace does not pay for Alembic."""
    code = (
        "import sys; from analysis.database import reading; from analysis.workspace import Workspace; "
        f"w = Workspace.open({str(plain.path)!r}); c = reading(w).__enter__(); print(c, 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["None", "False"]
