"""The ledger of collected files accounts for each row, and for files that change."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ADD = """
ALTER TABLE intent.collected_files
    ADD COLUMN rows_read bigint NOT NULL DEFAULT 0,
    ADD COLUMN rows_gone bigint NOT NULL DEFAULT 0,
    ADD COLUMN values_unreadable jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN earlier_digests text[] NOT NULL DEFAULT '{}';
UPDATE intent.collected_files
    SET rows_read = rows_loaded + rows_repeated + rows_ignored + rows_quarantined;
COMMENT ON TABLE intent.collected_files IS
    'Ledger of collected files: each content is loaded once, block by block.';
COMMENT ON COLUMN intent.collected_files.rows_read IS
    'rows it holds, but header and blanks';
COMMENT ON COLUMN intent.collected_files.rows_gone IS
    'events of before, now gone; kept';
COMMENT ON COLUMN intent.collected_files.values_unreadable IS
    'column → values read as null';
COMMENT ON COLUMN intent.collected_files.earlier_digests IS
    'of its contents before';
"""

REMOVE = """
ALTER TABLE intent.collected_files DROP COLUMN rows_read, DROP COLUMN rows_gone,
    DROP COLUMN values_unreadable, DROP COLUMN earlier_digests;
COMMENT ON TABLE intent.collected_files IS
    'Ledger of collected files: each is loaded once, block by block.';
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(ADD)


def downgrade() -> None:
    """Undo it."""
    op.execute(REMOVE)
