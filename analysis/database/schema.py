"""Bringing a database to the tables that this version of Errata knows. Migrations are files of the package."""

import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa

from analysis.errors import WorkspaceError

if TYPE_CHECKING:
    from alembic.config import Config

_migrating = threading.Lock()
"""Alembic keeps what it works on in one place a process: two databases are not migrated at once."""


def current(connection: sa.Connection) -> str | None:
    """The schema's revision; None for a database without tables of ours."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def newest() -> str:
    """The revision that this version of Errata works with."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def is_known(revision: str) -> bool:
    """Whether this version of Errata has the migration of that name."""
    from alembic.script import ScriptDirectory

    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def refuse_newer(revision: str, where: str) -> None:
    """Raise WorkspaceError for a revision that a newer version of Errata made."""
    if not is_known(revision):
        raise WorkspaceError(
            f"{where} was made by a newer version of Errata (schema {revision}; this one knows up to {newest()}). "
            f"Upgrade Errata (pip install -U errata)."
        )


def migrate(connection: sa.Connection, where: str) -> None:
    """Bring the database to the newest revision, within the connection's transaction.

    The caller holds a lock that keeps other processes from migrating. Raises WorkspaceError when the database is
    newer than this version of Errata.
    """
    from alembic import command

    revision = current(connection)
    if revision is not None:
        refuse_newer(revision, where)
    if revision != newest():
        config = _config()
        config.attributes["connection"] = connection
        with _migrating:
            command.upgrade(config, "head")


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "analysis.database:migrations")
    config.set_main_option("path_separator", "os")
    return config
