"""Keep the checksum of the format that a file of products or customers was read with."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADD = """
ALTER TABLE intent.collected_files ADD COLUMN format_digest text NOT NULL DEFAULT '';
COMMENT ON COLUMN intent.collected_files.format_digest IS
    'SHA-256 of the format, as it was when the file was begun; empty: not known';
"""


def upgrade() -> None:
    """Add the column."""
    op.execute(ADD)


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE intent.collected_files DROP COLUMN format_digest")
