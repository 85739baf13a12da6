"""A model version is known by its run: numbers begin anew with another model name."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COMMENT = "COMMENT ON TABLE intent.model_versions IS 'Which days each model version learned from"


def upgrade() -> None:
    """Make the run the key."""
    _rekey("run_id")
    op.execute("ALTER TABLE intent.model_versions ALTER COLUMN model_version SET NOT NULL")
    op.execute(f"{COMMENT}; no other version is served.'")


def downgrade() -> None:
    """Undo it."""
    _rekey("model_version")
    op.execute("ALTER TABLE intent.model_versions ALTER COLUMN run_id SET NOT NULL")
    op.execute(f"{COMMENT}.'")


def _rekey(column: str) -> None:
    op.execute("ALTER TABLE intent.model_versions DROP CONSTRAINT model_versions_pkey")
    op.execute(f"ALTER TABLE intent.model_versions ADD PRIMARY KEY ({column})")
