"""Whether every row of the warehouse is accounted for, not only those of the days looked at."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

VIEW = """
ALTER VIEW intent.conservation RENAME TO conservation_of_days;
CREATE VIEW intent.conservation AS
WITH newest AS (
    SELECT receipt FROM intent.runs WHERE step = 'all_time' ORDER BY finished_at DESC LIMIT 1
),
counted AS (
    SELECT (receipt->>'rows')::bigint AS rows_in_warehouse,
           receipt->>'days_in_no_snapshot' AS days,
           receipt->>'last_day_in_no_snapshot' AS last_day,
           receipt->>'newest_at' AS newest_at,
           (receipt->>'rows_in_no_snapshot')::bigint AS uncopied,
           (receipt->>'rows_without_time')::bigint AS without_time,
           (receipt->>'rows_future')::bigint AS future
    FROM newest
),
all_time AS (
    SELECT *,
        concat_ws('; ',
            CASE WHEN uncopied > 0
                 THEN format('%s rows that arrived on %s are in no snapshot: run `intent step '
                             'extract --as-of-date %s`', uncopied, days, last_day) END,
            CASE WHEN without_time > 0
                 THEN format('%s rows of shop.events have neither ingested_at nor occurred_at and '
                             'belong to no day: give them a time', without_time) END,
            CASE WHEN future > 0
                 THEN format('%s rows of shop.events arrive in the future, the last one at %s: '
                             'correct their ingested_at', future, newest_at) END
        ) AS breach
    FROM counted
)
SELECT * FROM intent.conservation_of_days
UNION ALL
SELECT null, rows_in_warehouse, null, null, null, null, null, null, null, null, null, null, null,
       null, breach, breach = ''
FROM all_time;
COMMENT ON VIEW intent.conservation IS
    'Per shop day: rows in the warehouse = in the snapshot + quarantined + erased; population ='
    ' scored + skipped; scored = published + erased + withdrawn. Without a day: all rows of'
    ' shop.events, whenever they arrive, are in a snapshot or were never asked for. Whether all of'
    ' it holds.';
COMMENT ON VIEW intent.conservation_of_days IS
    'The rows of intent.conservation that are about a day.';
GRANT SELECT ON intent.conservation TO intent_pipeline, intent_analyst;
"""


def upgrade() -> None:
    """Add the row without a day."""
    op.execute(VIEW)


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP VIEW intent.conservation")
    op.execute("ALTER VIEW intent.conservation_of_days RENAME TO conservation")
