"""The review log."""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade() -> None:
    op.create_table(
        "judgements",
        sa.Column("workspace", sa.String(36), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("panel", sa.Boolean, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("hash", sa.Text),
        sa.Column("class", sa.Integer),
        sa.Column("value", sa.Text),
        sa.Column("severity", sa.String(16)),
        sa.Column("url", sa.Text),
        sa.Column("seconds", sa.Float),
        sa.Column("shown", sa.Text),
        sa.Column("guideline", sa.Text),
        sa.Column("queue", sa.Text),
        sa.Column("stratum", sa.Text),
        sa.Column("probability", sa.Float),
        sa.Column("supersedes", sa.BigInteger),
        sa.PrimaryKeyConstraint("workspace", "position", name="pk_judgements"),
        sa.UniqueConstraint("workspace", "id", name="uq_judgements_workspace_id"),
    )
    op.create_index("ix_judgements_workspace_item_position", "judgements", ["workspace", "item", "position"])
