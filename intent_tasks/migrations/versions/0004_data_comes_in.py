"""Data comes in: collected files, results of the contract, quarantine and erasure."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what is needed to collect, check, set aside and erase."""


def downgrade() -> None:
    """Undo it."""
