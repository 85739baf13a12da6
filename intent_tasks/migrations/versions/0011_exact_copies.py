"""Count the rows of a day that repeat another one exactly, apart from the quarantine."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

VIEWS = """
DROP VIEW intent.conservation;
DROP VIEW intent.conservation_of_days;
CREATE VIEW intent.conservation_of_days AS
WITH arrived AS (
    SELECT as_of_date,
           (receipt->>'rows_in_warehouse')::bigint AS rows_in_warehouse,
           (receipt->>'rows_in_snapshot')::bigint AS rows_in_snapshot,
           (receipt->>'rows_quarantined')::bigint AS rows_quarantined,
           (receipt->>'rows_erased')::bigint AS rows_erased,
           {column}
           (SELECT count(*) FROM intent.quarantine AS q
            WHERE q.source = 'shop.events ' || r.as_of_date AND q.state <> 'released')
               AS rows_set_aside
    FROM intent.runs AS r
    WHERE step = 'snapshot'
),
scored AS (
    SELECT s.as_of_date,
           sum((s.receipt->>'population')::bigint) AS population,
           sum((s.receipt->>'scored')::bigint) AS scored,
           sum((s.receipt->>'skipped_without_consent')::bigint) AS skipped
    FROM intent.runs AS s
    JOIN intent.runs AS pin
      ON pin.step = 'pin' AND pin.as_of_date = s.as_of_date
     AND pin.receipt->'buckets' @> to_jsonb(s.bucket)
    WHERE s.step = 'score'
    GROUP BY s.as_of_date
),
published AS (
    SELECT as_of_date,
           (receipt->>'scored')::bigint AS rows_scored,
           (receipt->>'rows')::bigint AS rows_published,
           (receipt->>'erased')::bigint AS rows_of_erased,
           (receipt->>'withdrawn')::bigint AS rows_withdrawn,
           (SELECT count(*) FROM intent.predictions AS p WHERE p.as_of_date = r.as_of_date)
               AS rows_in_table
    FROM intent.runs AS r
    WHERE step = 'publish'
),
sums AS (
    SELECT *,
        concat_ws('; ',
            CASE WHEN rows_in_warehouse
                      <> rows_in_snapshot + rows_quarantined + rows_erased{plus}
                 THEN format('%s rows in the warehouse, but %s in the snapshot, %s in quarantine, '
                             '%s of erased customers{words}', rows_in_warehouse,
                             rows_in_snapshot, rows_quarantined, rows_erased{argument}) END,
            -- When all are gone, they were older than the limit of their place.
            CASE WHEN rows_set_aside NOT IN (0, rows_quarantined)
                 THEN format('%s rows were set aside, but %s are in intent.quarantine',
                             rows_quarantined, rows_set_aside) END,
            CASE WHEN population <> scored + skipped
                 THEN format('%s customers in the population, but %s scored, %s without consent',
                             population, scored, skipped) END,
            CASE WHEN scored NOT BETWEEN rows_published + rows_withdrawn AND rows_scored
                 THEN format('%s customers scored, but %s published of %s',
                             scored, rows_published, rows_scored) END,
            CASE WHEN rows_scored <> rows_published + rows_of_erased + rows_withdrawn
                 THEN format('%s rows scored, but %s published, %s of erased customers, '
                             '%s withdrawn', rows_scored, rows_published, rows_of_erased,
                             rows_withdrawn) END,
            -- The same: a partition is dropped whole.
            CASE WHEN rows_in_table NOT IN (0, rows_published)
                 THEN format('%s rows published, but %s in intent.predictions',
                             rows_published, rows_in_table) END
        ) AS breach
    FROM arrived
    FULL JOIN scored USING (as_of_date)
    FULL JOIN published USING (as_of_date)
)
SELECT *, breach = '' AS holds FROM sums;
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
SELECT null, rows_in_warehouse,{null} null, null, null, null, null, null, null, null, null,
       null, null, null, breach, breach = ''
FROM all_time;
COMMENT ON VIEW intent.conservation IS
    'Per shop day: rows in the warehouse = in the snapshot + quarantined + erased{comment};'
    ' population = scored + skipped; scored = published + erased + withdrawn. Without a day: all'
    ' rows of shop.events, whenever they arrive, are in a snapshot or were never asked for. Whether'
    ' all of it holds.';
COMMENT ON VIEW intent.conservation_of_days IS
    'The rows of intent.conservation that are about a day.';
GRANT SELECT ON intent.conservation, intent.conservation_of_days
    TO intent_pipeline, intent_analyst;
"""

COUNTED = {
    "column": "coalesce((receipt->>'rows_repeated')::bigint, 0) AS rows_repeated,",
    "plus": " + rows_repeated",
    "words": ", %s exact copies",
    "argument": ", rows_repeated",
    "null": " null,",
    "comment": " + exact copies",
}
"""The places of the views that count exact copies."""


def upgrade() -> None:
    """Count exact copies."""
    op.execute(VIEWS.format(**COUNTED))


def downgrade() -> None:
    """Do not count them."""
    op.execute(VIEWS.format(**dict.fromkeys(COUNTED, "")))
