"""The ledger of collected files says which table of the shop a file fills."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ADD = """
ALTER TABLE intent.collected_files ADD COLUMN table_name text NOT NULL DEFAULT 'events'
    CONSTRAINT table_name_known CHECK (table_name IN ('events', 'products', 'customers'));
COMMENT ON COLUMN intent.collected_files.table_name IS 'table it fills';
"""


def upgrade() -> None:
    """Add the column."""
    op.execute(ADD)


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE intent.collected_files DROP COLUMN table_name")
