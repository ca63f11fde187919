"""Backups: one state, taken while people write; checked in full; back into either database, and never by mistake."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from analysis.database import backup as backups
from analysis.database import engine, schema
from analysis.database.backup import TABLES, backup, check, restore
from analysis.database.connections import FILE, forget
from analysis.errors import ErrataError, InputError, WorkspaceError
from analysis.review import log, queues
from analysis.review.designs import complete
from analysis.review.kinds import Judgement, Note, Verdict
from analysis.review.queues import Protocol
from analysis.settings import settings
from analysis.slices import saved
from analysis.workspace import Workspace
from tests.databases import made_workspace


def say(workspace: Workspace, n: int = 1, person: str = "ann") -> None:
    log.append(
        workspace, [Judgement(says=Verdict(number % 20, 1, "valid"), person=person, seconds=0.1) for number in range(n)]
    )


def filled(workspace: Workspace) -> None:
    """Judgements, a queue with leases, and a slice."""
    say(workspace, 5)
    log.append(
        workspace, [Judgement(says=Note(3, "ä \N{SNOWMAN} 'quoted'"), person="bob", shown={"candidates": [1, 2]})]
    )
    candidates = pl.DataFrame({"item": [0, 1], "class": [0, 1], "source": ["label", "label"]})
    queue = queues.create(workspace, "q", complete(range(2)), Protocol(repeats=0), candidates, person="ann")
    queues.lease(workspace, queue.id, "ann")
    saved.save(workspace, "right=false", name="wrong ones")


def contents(workspace: Workspace) -> dict[str, list[tuple]]:
    with engine(workspace).connect() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(sa.select(table).where(table.c.workspace == workspace.uuid))),
                key=repr,
            )
            for table in TABLES
        }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


def test_everything_comes_back(workspace: Workspace, file: Path) -> None:
    filled(workspace)
    before = contents(workspace)
    assert sum(map(len, before.values())) == 6 + 1 + 2 + 2 + 1
    told = backup(workspace, file)
    assert (told.workspace, told.position, told.schema) == (workspace.uuid, 6, schema.newest())
    assert told.rows == {name: len(rows) for name, rows in before.items()}
    assert check(file) == told
    say(workspace, 3)
    done = restore(workspace, file, force=True)
    assert done.dropped == {"judgements": 3}
    assert contents(workspace) == before
    assert log.last(workspace) == 6
    say(workspace)
    assert log.last(workspace) == 7


def test_it_goes_into_the_other_database_too(
    workspace: Workspace, file: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(workspace)
    before = contents(workspace)
    backup(workspace, file)
    if engine(workspace).dialect.name == "sqlite":
        monkeypatch.setenv("ERRATA_DATABASE_URL", postgres)
    else:
        monkeypatch.delenv("ERRATA_DATABASE_URL")
    settings.cache_clear()
    assert log.last(workspace) == 0
    assert restore(workspace, file).dropped == {}
    assert contents(workspace) == before
    settings.cache_clear()


def test_other_workspaces_are_left_alone(workspace: Workspace, file: Path, tmp_path: Path) -> None:
    other = made_workspace(tmp_path / "other")
    say(other, 2)
    filled(workspace)
    assert backup(workspace, file).rows["judgements"] == 6
    before = contents(other)
    say(workspace)
    restore(workspace, file, force=True)
    assert contents(other) == before
    with pytest.raises(InputError, match=r"is a backup of ws .*, and not of ws"):
        restore(other, file, force=True)
    assert contents(other) == before
    with pytest.raises(InputError, match="backup of another workspace"):
        backup(other, file)


def test_newer_work_is_not_dropped_unasked(workspace: Workspace, file: Path) -> None:
    filled(workspace)
    backup(workspace, file)
    restore(workspace, file)  # nothing to lose
    say(workspace, 2)
    saved.save(workspace, "right=true", name="right ones")
    before = contents(workspace)
    with pytest.raises(InputError, match=r"has not: 2 judgements, 1 slices.*--force"):
        restore(workspace, file)
    assert contents(workspace) == before
    # A log of the same length with other rows in it is newer too.
    restore(workspace, file, force=True)
    backup(workspace, file)
    say(workspace, 1, "ann")
    other = file.with_name("other.db")
    backup(workspace, other)
    restore(workspace, file, force=True)
    say(workspace, 1, "bob")
    with pytest.raises(InputError, match="1 judgements"):
        restore(workspace, other)


def test_an_empty_workspace_has_a_backup(workspace: Workspace, file: Path) -> None:
    told = backup(workspace, file)
    assert (told.position, sum(told.rows.values())) == (0, 0)
    assert restore(workspace, file).backup == told
    say(workspace)
    with pytest.raises(InputError, match="1 judgements"):
        restore(workspace, file)


def test_a_lost_database_is_made_anew(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    settings.cache_clear()
    workspace = made_workspace(tmp_path / "w")
    filled(workspace)
    before = contents(workspace)
    backup(workspace, file)
    forget()
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (workspace.path / name).unlink(missing_ok=True)
    restore(workspace, file)
    assert contents(workspace) == before


# ---- while people work


def test_a_backup_is_one_state_of_a_log_that_grows(workspace: Workspace, file: Path) -> None:
    """Every judgement has a partner written with it; no backup holds one without the other."""
    stop, written = threading.Event(), []

    def work(person: str) -> None:
        while not stop.is_set():
            log.append(workspace, [Judgement(says=Verdict(2, place, "valid"), person=person) for place in (0, 1)])
            written.append(person)

    threads = [threading.Thread(target=work, args=(person,)) for person in ("ann", "bob")]
    for thread in threads:
        thread.start()
    positions = []
    try:
        for _ in range(6):
            told = backup(workspace, file)
            positions.append(told.position)
            assert told.rows["judgements"] == told.position
            with sqlite3.connect(file) as connection:
                pairs = dict(connection.execute("SELECT class, count(*) FROM judgements GROUP BY class"))
            connection.close()
            assert pairs.get(0, 0) == pairs.get(1, 0) == told.position // 2
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert positions == sorted(positions)
    assert 0 < positions[-1] <= 2 * len(written) == log.last(workspace)
    before = contents(workspace)["judgements"]
    assert restore(workspace, file, force=True).dropped.get("judgements", 0) == len(before) - positions[-1]
    assert log.last(workspace) == len(contents(workspace)["judgements"]) == positions[-1]


# ---- damage


def _cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def _flip(file: Path) -> None:
    """One letter of a note."""
    data = file.read_bytes()
    assert data.count(b"quoted") == 1
    file.write_bytes(data.replace(b"quoted", b"quotes"))


def _without_a_row(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM judgements WHERE position = 2")
    connection.close()


def _changed(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE judgements SET value = 'wrong' WHERE position = 2")
    connection.close()


def _without_a_table(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE judgements")
    connection.close()


def _unsaid(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE backup SET content = '{}'")
    connection.close()


def _unlike(file: Path) -> None:
    file.write_bytes(b"no database at all")


def _gone(file: Path) -> None:
    file.unlink()


def _of_another_kind(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE backup_of_something (a)")
    connection.close()


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE backup SET content = json_set(content, '$.format', 99)")
    connection.close()


def _newer_schema(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE backup SET content = json_set(content, '$.schema', 'z999')")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "is damaged"),
        (_flip, "checksum"),
        (_without_a_row, "judgements has 5 rows and should have 6"),
        (_changed, "checksum"),
        (_without_a_table, "judgements has 0 rows and should have 6"),
        (_unsaid, "what it says of itself"),
        (_unlike, "no backup of Errata"),
        (_gone, "cannot be read"),
        (_of_another_kind, "no backup of Errata"),
        (_newer, "newer version of Errata"),
        (_newer_schema, "newer version of Errata"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_changes(
    workspace: Workspace, file: Path, damage: Callable[[Path], None], words: str
) -> None:
    filled(workspace)
    backup(workspace, file)
    say(workspace)
    before = contents(workspace)
    damage(file)
    with pytest.raises(ErrataError, match=words):
        restore(workspace, file, force=True)
    assert contents(workspace) == before


def test_a_restore_that_fails_halfway_changes_nothing(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(workspace)
    backup(workspace, file)
    say(workspace)
    before = contents(workspace)
    real, calls = backups._rows, []

    def failing(source: sa.Connection | None, table: sa.Table, uuid: str) -> Iterator:
        calls.append(table.name)
        if len(calls) > 4:
            raise ZeroDivisionError
        return real(source, table, uuid)

    monkeypatch.setattr(backups, "_rows", failing)
    with pytest.raises(ZeroDivisionError):
        restore(workspace, file, force=True)
    assert contents(workspace) == before


def test_a_backup_that_fails_leaves_the_one_before(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(workspace)
    backup(workspace, file)
    before = file.read_bytes()
    say(workspace)
    monkeypatch.setattr(backups, "check", lambda path: check(file))  # what is read back is not what was written
    with pytest.raises(WorkspaceError, match="could not be read back"):
        backup(workspace, file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob("*backup.db*")] == [file.name]


def test_a_disk_that_is_full_is_told(workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(workspace)
    real = schema.migrate

    def small(connection: sa.Connection, where: str) -> None:
        real(connection, where)
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    engine(workspace)  # opened before, so that only the backup is small
    monkeypatch.setattr(backups.schema, "migrate", small)
    say(workspace, 2000)
    with pytest.raises(WorkspaceError, match="cannot be written: database or disk is full"):
        backup(workspace, file)
    assert list(file.parent.glob("*backup.db*")) == []
    with pytest.raises(WorkspaceError, match="cannot be written"):
        backup(workspace, file.parent / "nowhere" / "b.db")


def test_what_is_no_backup_is_not_replaced(workspace: Workspace, file: Path) -> None:
    file.write_text("my thesis")
    with pytest.raises(InputError, match=r"no backup of Errata\. It is not replaced"):
        backup(workspace, file)
    assert file.read_text() == "my thesis"


# ---- other versions


def test_a_backup_of_an_older_schema_is_migrated_on_its_way(workspace: Workspace, file: Path) -> None:
    filled(workspace)
    backup(workspace, file)
    kept = contents(workspace)["judgements"]
    made = sa.create_engine(f"sqlite:///{file}")
    with made.begin() as connection:
        later = [table.name for table in TABLES if table.name not in ("slices", "judgements")]
        for name in later:
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'a002'")
        gone = ", ".join(f"'$.rows.{name}'" for name in later)
        content = f"json_remove(json_set(content, '$.schema', 'a002'), {gone})"
        connection.exec_driver_sql(f"UPDATE backup SET content = {content}")
        digests = {}
        for name in ("judgements", "slices"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {name}")
            digests[name] = backups._Digest()
            digests[name].add(rows.keys(), rows.fetchall())
        total = backups._checksum({name: digest.value() for name, digest in digests.items()})
        connection.exec_driver_sql("UPDATE backup SET content = json_set(content, '$.checksum', ?)", (total,))
    made.dispose()
    before = file.read_bytes()
    restore(workspace, file, force=True)
    found = contents(workspace)
    assert (found["judgements"], found["queues"], len(found["slices"])) == (kept, [], 1)
    assert file.read_bytes() == before


def test_every_table_is_told_apart_by_workspace() -> None:
    """What has no workspace would be in no backup, or in everybody's."""
    assert {table.name for table in TABLES if "workspace" not in table.primary_key.columns} == set()
