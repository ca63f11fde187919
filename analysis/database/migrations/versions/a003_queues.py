"""Queues of items to review, what they hold, and who has what in hand."""

import sqlalchemy as sa
from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade() -> None:
    op.create_table(
        "queues",
        sa.Column("workspace", sa.String(36), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("strata", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id", name="pk_queues"),
        sa.UniqueConstraint("workspace", "name", name="uq_queues_workspace_name"),
    )
    op.create_table(
        "queue_items",
        sa.Column("workspace", sa.String(36), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("item", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("stratum", sa.Integer, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("place", sa.Integer),
        sa.Column("candidates", sa.Text),
        sa.PrimaryKeyConstraint("workspace", "queue", "item", name="pk_queue_items"),
    )
    op.create_index("ix_queue_items_workspace_queue_place", "queue_items", ["workspace", "queue", "place"])
    op.create_table(
        "leases",
        sa.Column("workspace", sa.String(36), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("item", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger),
        sa.PrimaryKeyConstraint("workspace", "queue", "item", "person", "again", name="pk_leases"),
    )
