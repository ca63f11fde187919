"""Engines and transactions: `errata.db` in the workspace's folder, or PostgreSQL by ERRATA_DATABASE_URL.

Who only reads uses `reading`: it makes no file, and gives None where nobody has written yet. Who writes uses
`writing`: one writer a workspace at a time, and what it wrote is on the disk when the block ends.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from analysis.database import schema
from analysis.errors import LockedError, WorkspaceError
from analysis.settings import settings
from analysis.workspace import Workspace

FILE = "errata.db"
LOCK_SECONDS = 30

_open: dict[str, tuple[sa.Engine, object]] = {}
"""Engines of this process by address, each with the identity of its file when it was opened."""
_opening = threading.Lock()
_turns: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
"""Writers of this process wait here for each other. SQLite alone would have them sleep and try again, up to 100 ms at
a time and whoever comes first; in PostgreSQL each would hold a connection meanwhile."""


def engine(workspace: Workspace) -> sa.Engine:
    """The workspace's database, made and migrated when needed; one engine an address and process.

    Raises WorkspaceError when it cannot be opened, or was made by a newer version of Errata.
    """
    url = _server()
    if url is not None:
        return _opened(url, url.render_as_string(hide_password=False), None)
    path = workspace.path / FILE
    return _opened(sa.URL.create("sqlite", database=str(path)), str(path), path)


def forget() -> None:
    """Close every connection of this process that is not in use; the next use opens anew."""
    with _opening:
        for made, _ in _open.values():
            made.dispose()
        _open.clear()


@contextlib.contextmanager
def reading(workspace: Workspace) -> Iterator[sa.Connection | None]:
    """A connection whose queries all see one state; None where nothing was ever written.

    Makes no file, and works on a folder that cannot be written to.
    """
    path = workspace.path / FILE
    if _server() is None and not path.exists():
        yield None
        return
    with _explained(workspace):
        opened = engine(workspace) if _server() is not None or _writable(path) else _read_only(path)
        options = {} if opened.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with opened.connect().execution_options(**options) as connection, connection.begin():
            yield connection


@contextlib.contextmanager
def writing(workspace: Workspace) -> Iterator[sa.Connection]:
    """A transaction that nobody else writes to this workspace beside; committed at the end, or nothing is.

    Raises LockedError when others keep it for 30 seconds, WorkspaceError when the database fails; what the
    database refuses by its constraints (sqlalchemy.exc.IntegrityError) is passed on.
    """
    with _explained(workspace), _alone(engine(workspace), workspace.uuid) as connection:
        yield connection


# ---- opening


def _server() -> sa.URL | None:
    """The address of PostgreSQL when one is set."""
    text = settings().database_url
    if text is None:
        return None
    try:
        url = make_url(text.get_secret_value())
    except sa.exc.ArgumentError:
        raise WorkspaceError("ERRATA_DATABASE_URL is no address: postgresql://USER:PASSWORD@HOST/DATABASE.") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise WorkspaceError(f"ERRATA_DATABASE_URL names {url.get_backend_name()}; only postgresql:// will do.")
    return url.set(drivername="postgresql+psycopg")


def _opened(url: sa.URL, address: str, path: Path | None) -> sa.Engine:
    with _opening:
        known = _open.get(address)
        # A file that was replaced meanwhile (restored, or made anew) is another database.
        if known and known[1] == _identity(path):
            return known[0]
        if known:
            known[0].dispose()
        made = _sqlite(url) if path else _postgres(url)
        where = str(path) if path else f"The database {url.database!r}"
        try:
            with _alone(made, "schema") as connection:
                schema.migrate(connection, where)
        except sa.exc.DBAPIError as error:
            raise _failure(error, where) from error
        _open[address] = made, _identity(path)
        return made


def _identity(path: Path | None) -> object:
    if path is None:
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return "gone"
    return found.st_dev, found.st_ino


def _postgres(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _sqlite(url: sa.URL, **how: Any) -> sa.Engine:
    made = sa.create_engine(url, **how)

    @sa.event.listens_for(made, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # `begin` below says when a transaction begins, not the driver
        connection.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if "creator" not in how:
            _write_ahead(connection)

    @sa.event.listens_for(made, "begin")
    def begin(connection: sa.Connection) -> None:
        alone = connection.get_execution_options().get("alone")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")

    return made


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait its busy timeout for this, so two first openings may meet."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only(path: Path) -> sa.Engine:
    """For a folder that this process cannot write to.

    SQLite reads a WAL database only where it can make its two side files. Without them the file is whole by itself,
    if no `-wal` with rows lies beside it.
    """
    address = f"{path.as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as tried:
            tried.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        rest = path.with_name(f"{path.name}-wal")
        if rest.exists() and rest.stat().st_size:
            raise WorkspaceError(
                f"{path} has changes in {rest.name} that cannot be read from a read-only folder. Open the workspace "
                f"once where it can be written to."
            ) from error
        address += "&immutable=1"
    made = _sqlite(
        sa.URL.create("sqlite"),
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False),
        poolclass=sa.NullPool,
    )
    with made.connect() as connection:
        revision = schema.current(connection)
        if revision is not None:
            schema.refuse_newer(revision, str(path))
        if revision != schema.newest():
            raise WorkspaceError(
                f"{path} was made by an older version of Errata, and the folder is read-only. Open the workspace once "
                f"where it can be written to."
            )
    return made


# ---- transactions


@contextlib.contextmanager
def _alone(database: sa.Engine, name: str) -> Iterator[sa.Connection]:
    """A transaction under a lock: the whole file of SQLite, the lock of that name in PostgreSQL."""
    with _turn(database, name), database.connect().execution_options(alone=True) as connection, connection.begin():
        if database.dialect.name != "sqlite":
            key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
        yield connection


@contextlib.contextmanager
def _turn(database: sa.Engine, name: str) -> Iterator[None]:
    turn = _turns[database.url.render_as_string(hide_password=False), name]
    if not turn.acquire(timeout=LOCK_SECONDS):
        raise LockedError("The database is being written to by somebody else. Try again.")
    try:
        yield
    finally:
        turn.release()


@contextlib.contextmanager
def _explained(workspace: Workspace) -> Iterator[None]:
    """Failures of the database in words; broken constraints are the caller's to understand."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DBAPIError as error:
        raise _failure(error, f"The database of {workspace.name}") from error


def _failure(error: sa.exc.DBAPIError, where: str) -> WorkspaceError | LockedError:
    why = (str(error.orig).splitlines() or ["unknown"])[0]
    if "locked" in why or "lock timeout" in why:
        return LockedError(f"{where} is being written to by somebody else. Try again.")
    return WorkspaceError(f"{where} cannot be used: {why}.")
