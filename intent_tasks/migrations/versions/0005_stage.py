"""Predictions say in which stage a customer is."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ADD = """
ALTER TABLE intent.predictions ADD COLUMN stage text
    CONSTRAINT stage_known CHECK (stage IN ('browsing', 'comparing', 'ready', 'leaving'));
COMMENT ON COLUMN intent.predictions.stage IS
    'browsing, comparing, ready, leaving: the likeliest; null: it was not told';
"""

VIEW = """
CREATE VIEW intent.latest_predictions AS
SELECT p.*
FROM intent.predictions AS p
WHERE p.role = 'champion'
  AND p.as_of_date = (SELECT max(as_of_date) FROM intent.predictions WHERE role = 'champion');
COMMENT ON VIEW intent.latest_predictions IS
    'What each customer is about to do, by the champion, on the newest predicted day.';
GRANT SELECT ON intent.latest_predictions TO intent_pipeline, intent_analyst;
"""


def upgrade() -> None:
    """Add the column, and show it in the view."""
    op.execute("DROP VIEW intent.latest_predictions")
    op.execute(ADD)
    op.execute(VIEW)


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP VIEW intent.latest_predictions")
    op.execute("ALTER TABLE intent.predictions DROP COLUMN stage")
    op.execute(VIEW)
