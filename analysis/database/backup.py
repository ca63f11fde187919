"""A backup: all rows of one workspace in one file, taken while people work; and the way back.

The file is a SQLite database with the tables of its time (analysis/database/tables.py), whichever database the rows
came from, and one further table, `backup`, that says whose it is and what it holds. It goes back into either database.
What is backed up is one state: that of one transaction. A file is written whole or not at all, and was read back.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from analysis.artefacts import explaining
from analysis.database import schema
from analysis.database.connections import reading, writing
from analysis.database.tables import EPOCH, judgements, metadata
from analysis.errors import InputError, WorkspaceError
from analysis.workspace import Workspace

FORMAT = 1
TABLES = metadata.sorted_tables
TRANSIENT = frozenset({"leases"})
"""Tables whose newer rows are nobody's work: a restore may drop them unasked."""

_AT_ONCE = 1000
_RECORD = "backup"
_HEADER = b"SQLite format 3\x00"


@dataclass(frozen=True)
class Backup:
    """What a backup says of itself."""

    format: int
    workspace: str
    """UUID."""
    name: str
    created: str
    """UTC, ISO 8601."""
    schema: str
    """Revision of the tables."""
    position: int
    """Of the newest row of the review log; 0 for none."""
    rows: dict[str, int]
    """By table."""
    checksum: str
    """BLAKE2b-128 over all rows."""


@dataclass(frozen=True)
class Restored:
    """What a restore did."""

    backup: Backup
    dropped: dict[str, int]
    """Rows, by table, that the workspace had and the backup has not; only with `force`, or of transient tables."""


# ---- taking one


def backup(workspace: Workspace, file: Path) -> Backup:
    """Write every row of the workspace to a file, and read it back. A backup of the same workspace is replaced.

    Raises InputError for a file that is something else, WorkspaceError when it cannot be written.
    """
    if file.exists():
        _refuse_other(workspace, file)
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    with explaining(file):
        try:
            written = _write(workspace, temporary, file)
            if check(temporary) != written:
                raise WorkspaceError(f"{file} could not be read back as it was written. Try another disk.")
            with temporary.open("rb") as done:
                os.fsync(done.fileno())
            temporary.replace(file)
        finally:
            for rest in file.parent.glob(f"{temporary.name}*"):
                rest.unlink(missing_ok=True)
    return written


@contextlib.contextmanager
def _written(file: Path) -> Iterator[None]:
    """Failures of the backup's own database in words."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise WorkspaceError(f"{file} cannot be written: {error.orig}. Nothing was.") from error


def _write(workspace: Workspace, path: Path, file: Path) -> Backup:
    """Write the backup that is to become `file` at `path`."""
    counts, sums = {}, {}
    made = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
    with _written(file), made.begin() as target:
        schema.migrate(target, str(path))
        with reading(workspace) as source:
            for table in TABLES:
                digest, names = _Digest(), table.columns.keys()
                for rows in _rows(source, table, workspace.uuid):
                    digest.add(names, rows)
                    with _written(file):  # else it would be taken for a failure of what is read
                        target.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
                counts[table.name], sums[table.name] = digest.n, digest.value()
        last = target.scalar(sa.select(sa.func.max(judgements.c.position))) or 0
        written = Backup(
            FORMAT,
            workspace.uuid,
            workspace.name,
            datetime.now(UTC).isoformat(timespec="seconds"),
            schema.newest(),
            last,
            counts,
            _checksum(sums),
        )
        target.exec_driver_sql(f"CREATE TABLE {_RECORD} (content TEXT NOT NULL)")
        target.exec_driver_sql(f"INSERT INTO {_RECORD} VALUES (?)", (json.dumps(asdict(written)),))
    return written


def _rows(source: sa.Connection | None, table: sa.Table, uuid: str) -> Iterator[Sequence[sa.Row[Any]]]:
    """The workspace's rows of a table, some at once."""
    if source is None:
        return
    query = sa.select(table).where(table.c.workspace == uuid).execution_options(yield_per=_AT_ONCE)
    yield from source.execute(query).partitions(_AT_ONCE)


class _Digest:
    """A hash of rows that does not hang on their order: databases sort text each in their own way."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def add(self, names: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
        order = sorted(enumerate(names), key=lambda named: named[1])
        for row in rows:
            content = json.dumps([[name, _plain(row[place])] for place, name in order])
            self._rows.append(hashlib.blake2b(content.encode(), digest_size=16).digest())

    @property
    def n(self) -> int:
        return len(self._rows)

    def value(self) -> str:
        return hashlib.blake2b(b"".join(sorted(self._rows)), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """A value as SQLite keeps it."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    return int(value) if isinstance(value, bool) else value


def _checksum(sums: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(sorted(sums.items())).encode(), digest_size=16).hexdigest()


# ---- reading one


def check(file: Path) -> Backup:
    """What a backup holds, after reading all of it. Raises InputError where it is damaged, or no backup."""
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_HEADER))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}.") from error
    if start != _HEADER:
        raise InputError(f"{file} is no backup of Errata.")
    try:
        # Immutable: nobody writes to it, and no file is made beside it.
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            return _checked(connection, file)
    except sqlite3.Error as error:
        raise InputError(f"{file} is damaged: {error}.") from error


def _checked(connection: sqlite3.Connection, file: Path) -> Backup:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if _RECORD not in there:
        raise InputError(f"{file} is no backup of Errata.")
    if (found := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        raise InputError(f"{file} is damaged: {found}.")
    try:
        content = json.loads(connection.execute(f"SELECT content FROM {_RECORD}").fetchone()[0])
        if content["format"] > FORMAT:
            raise InputError(f"{file} was made by a newer version of Errata. Upgrade Errata (pip install -U errata).")
        told = Backup(**content)
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{file} is damaged: what it says of itself cannot be read.") from error
    counts, sums = {}, {}
    for name in told.rows:
        digest = _Digest()
        if name in there:
            rows = connection.execute(f'SELECT * FROM "{name}"')
            digest.add([column[0] for column in rows.description], rows)
        counts[name], sums[name] = digest.n, digest.value()
    if counts != told.rows:
        wrong = next(name for name in counts if counts[name] != told.rows[name])
        raise InputError(f"{file} is damaged: {wrong} has {counts[wrong]:,} rows and should have {told.rows[wrong]:,}.")
    if _checksum(sums) != told.checksum:
        raise InputError(f"{file} is damaged: its rows are not those that were written (checksum).")
    return told


def _refuse_other(workspace: Workspace, file: Path) -> None:
    """Raise InputError for a file that a backup of this workspace may not replace."""
    try:
        there = check(file)
    except InputError as error:
        raise InputError(f"{error} It is not replaced; choose another file.") from error
    if there.workspace != workspace.uuid:
        raise InputError(f"{file} is a backup of another workspace, {there.name}. Choose another file.")


# ---- the way back


def restore(workspace: Workspace, file: Path, *, force: bool = False) -> Restored:
    """Put the rows of a backup in the place of the workspace's, in one transaction; all is checked before.

    Raises InputError for a damaged file, one of another workspace or of a newer version, and, unless `force`, when
    the workspace has rows that the backup has not.
    """
    held = check(file)
    if held.workspace != workspace.uuid:
        raise InputError(
            f"{file} is a backup of {held.name} ({held.workspace}), and not of {workspace.name} ({workspace.uuid})."
        )
    schema.refuse_newer(held.schema, str(file))
    with _migrated(file, held) as source, writing(workspace) as connection:
        dropped = {
            table.name: len(_keys(connection, table, workspace) - _keys(source, table, workspace)) for table in TABLES
        }
        lost = {name: n for name, n in dropped.items() if n and name not in TRANSIENT}
        if lost and not force:
            what = ", ".join(f"{n:,} {name}" for name, n in lost.items())
            raise InputError(
                f"{workspace.name} has what the backup of {held.created} has not: {what}. Take a backup of that first, "
                f"then restore with --force, which drops it."
            )
        for table in reversed(TABLES):
            connection.execute(table.delete().where(table.c.workspace == workspace.uuid))
        for table in TABLES:
            was, now = _Digest(), _Digest()
            names = table.columns.keys()
            for rows in _rows(source, table, workspace.uuid):
                was.add(names, rows)
                connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
            for rows in _rows(connection, table, workspace.uuid):
                now.add(names, rows)
            if was.value() != now.value():
                raise InputError(f"{table.name} could not be read back as it was restored. Nothing was changed.")
    return Restored(held, {name: n for name, n in dropped.items() if n})


def _keys(connection: sa.Connection, table: sa.Table, workspace: Workspace) -> set[tuple[Any, ...]]:
    """What tells the workspace's rows of a table apart: its key, and the id that a client gave."""
    columns = [*table.primary_key.columns, *([table.c.id] if "id" in table.c and not table.c.id.primary_key else [])]
    query = sa.select(*columns).where(table.c.workspace == workspace.uuid)
    return {tuple(row) for row in connection.execute(query)}


@contextlib.contextmanager
def _migrated(file: Path, held: Backup) -> Iterator[sa.Connection]:
    """A connection to a copy of the backup with the tables of this version."""
    with tempfile.TemporaryDirectory(prefix="errata-restore-") as folder:
        copy = Path(folder) / "backup.db"
        shutil.copyfile(file, copy)
        made = sa.create_engine(sa.URL.create("sqlite", database=str(copy)), poolclass=sa.NullPool)
        with made.begin() as connection:
            schema.migrate(connection, str(file))
        with made.connect() as connection:
            yield connection
