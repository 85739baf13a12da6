"""Views for the analyst, partitions made on demand, and who may do what."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTITIONS = """
CREATE FUNCTION intent.ensure_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date := date_trunc('month', day);
    name text := format('predictions_%s', to_char(day, 'YYYYMM'));
BEGIN
    IF to_regclass(format('intent.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two days of a new month may be published at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('intent/partition', 0));
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS intent.%I PARTITION OF intent.predictions
         FOR VALUES FROM (%L) TO (%L)', name, month, month + interval '1 month');
END $$;
COMMENT ON FUNCTION intent.ensure_partition IS
    'Makes the partition of a month of predictions unless it exists.';
REVOKE ALL ON FUNCTION intent.ensure_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION intent.ensure_partition TO intent_pipeline;
"""

VIEWS = """
CREATE VIEW intent.latest_predictions AS
SELECT p.*
FROM intent.predictions AS p
WHERE p.role = 'champion'
  AND p.as_of_date = (SELECT max(as_of_date) FROM intent.predictions WHERE role = 'champion');
COMMENT ON VIEW intent.latest_predictions IS
    'What each customer is about to do, by the champion, on the newest predicted day.';

CREATE VIEW intent.model_scorecard AS
SELECT DISTINCT ON (as_of_date, role, horizon_days, slice, metric)
       as_of_date, role, model_version, horizon_days, slice, metric, value, low, high, baseline,
       customer_count, buyer_count, restatement, known_until
FROM intent.feedback_metrics
ORDER BY as_of_date, role, horizon_days, slice, metric, restatement DESC;
COMMENT ON VIEW intent.model_scorecard IS
    'How right the predictions were: the newest restatement of every metric.';

CREATE VIEW intent.freshness AS
SELECT step, max(as_of_date) AS last_day, max(finished_at) AS finished_at
FROM intent.runs
GROUP BY step;
COMMENT ON VIEW intent.freshness IS 'Up to which shop day each step is done, and since when.';
"""

GRANTS = """
GRANT USAGE ON SCHEMA intent TO intent_pipeline, intent_analyst;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA intent TO intent_pipeline;
REVOKE INSERT, UPDATE, DELETE ON intent.alembic_version FROM intent_pipeline;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA intent TO intent_pipeline;
GRANT SELECT ON intent.predictions, intent.outcomes, intent.feedback_metrics, intent.promotions,
    intent.runs,
    intent.latest_predictions, intent.model_scorecard, intent.freshness TO intent_analyst;
"""


def upgrade() -> None:
    """Make them."""
    op.execute(PARTITIONS)
    op.execute(VIEWS)
    op.execute(GRANTS)


def downgrade() -> None:
    """Undo it."""
    for view in ("freshness", "model_scorecard", "latest_predictions"):
        op.execute(f"DROP VIEW intent.{view}")
    op.execute("DROP FUNCTION intent.ensure_partition")
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA intent FROM intent_pipeline, intent_analyst")
    op.execute("REVOKE ALL ON SCHEMA intent FROM intent_pipeline, intent_analyst")
