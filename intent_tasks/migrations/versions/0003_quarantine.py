"""Where rows are set aside that cannot be used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, for the pipeline alone."""
    op.create_table(
        "quarantine",
        sa.Column(
            "source", sa.Text, nullable=False, comment="file, or `shop.events` and the shop day"
        ),
        sa.Column(
            "row_number",
            sa.Integer,
            nullable=False,
            comment="line of the file, or place in the day",
        ),
        sa.Column("row_key", sa.Text, comment="event_id of the row, as far as it has one"),
        sa.Column("rule", sa.Text, nullable=False, comment="what is wrong with the row"),
        sa.Column(
            "payload",
            postgresql.JSONB,
            nullable=False,
            comment="the row as it was found; can be replayed",
        ),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was set aside, UTC",
        ),
        sa.PrimaryKeyConstraint("source", "row_number"),
        schema="intent",
        comment="Rows that could not be used, each with the rule that it breaks.",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON intent.quarantine TO intent_pipeline")


def downgrade() -> None:
    """Undo it."""
    op.drop_table("quarantine", schema="intent")
