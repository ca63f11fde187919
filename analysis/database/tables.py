"""The tables. Each has the workspace's UUID, because one PostgreSQL may hold many workspaces.

A change here needs a migration (a new file in `migrations/versions`); a test compares the two.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Time(TypeDecorator[datetime]):
    """A moment in UTC, stored as whole microseconds since 1970: the same number in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


# Names of constraints are fixed, so that a later migration can name the one it changes.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

slices = Table(
    "slices",
    metadata,
    Column("workspace", String(36), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("name", Text),  # null: saved for its address only
    Column("text", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("created", Time, nullable=False),
    UniqueConstraint("workspace", "name"),
)

judgements = Table(
    "judgements",  # append-only: rows are never changed or removed
    metadata,
    Column("workspace", String(36), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False),  # made by the client: sent again, it is the same judgement
    Column("time", Time, nullable=False),
    Column("person", Text, nullable=False),
    Column("panel", Boolean, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("item", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("hash", Text),
    Column("class", Integer),
    Column("value", Text),
    Column("severity", String(16)),
    Column("url", Text),
    Column("seconds", Float),
    Column("shown", Text),  # JSON
    Column("guideline", Text),
    Column("queue", Text),
    Column("stratum", Text),
    Column("probability", Float),
    Column("supersedes", BigInteger),
    UniqueConstraint("workspace", "id"),
    Index(None, "workspace", "item", "position"),
)

queues = Table(
    "queues",
    metadata,
    Column("workspace", String(36), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("created", Time, nullable=False),
    Column("protocol", Text, nullable=False),  # JSON
    Column("strata", Text, nullable=False),  # JSON
    UniqueConstraint("workspace", "name"),
)

queue_items = Table(
    "queue_items",  # every item of a queue's strata, drawn or not: what an estimate speaks of
    metadata,
    Column("workspace", String(36), primary_key=True),
    Column("queue", String(64), primary_key=True),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("stratum", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("place", Integer),  # in the order of serving; null: not drawn
    Column("candidates", Text),  # JSON
    Index(None, "workspace", "queue", "place"),
)

leases = Table(
    "leases",  # who has which item in hand, or has read it
    metadata,
    Column("workspace", String(36), primary_key=True),
    Column("queue", String(64), primary_key=True),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("person", String(200), primary_key=True),
    Column("again", Boolean, primary_key=True),  # a hidden repeat
    Column("until", Time, nullable=False),
    Column("done", Time),
)
