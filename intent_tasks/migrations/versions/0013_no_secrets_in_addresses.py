"""Remove log-ins from stored addresses, and end overdue readers that have roles of their own."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# An address without log-in; one of HTTP also without query. A copy of what new addresses go
# through, as it is now.
REDACT = r"""
CREATE FUNCTION intent.redact(address text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(address,
        '((?:abfss?|az|adl|wasbs?)://)[^/?#:]*:[^/?#]*@', '\1', 'gi'),
        '((?:^|::)(?!abfs|az:|adl:|wasb)[a-z][a-z0-9+.-]*://)[^/?#]*@', '\1', 'gi'),
        '(https?://[^?#\s]*)[?#].*$', '\1', 'i')
$$;
"""

# Two addresses of one file become one: the row of the newest content stays, and knows the others.
LEDGER = """
CREATE TABLE intent.renamed AS
SELECT path, redacted, place,
    array_agg(digest) FILTER (WHERE place > 1 AND state = 'loaded')
        OVER (PARTITION BY redacted) AS others
FROM (
    SELECT path, digest, state, intent.redact(path) AS redacted, row_number() OVER (
        PARTITION BY intent.redact(path)
        ORDER BY rows_loaded + rows_repeated > 0 DESC, started_at DESC, path) AS place
    FROM intent.collected_files) AS ranked;
DELETE FROM intent.collected_files AS f USING intent.renamed AS r
WHERE f.path = r.path AND r.place > 1;
UPDATE intent.collected_files AS f SET path = r.redacted,
    earlier_digests = ARRAY(
        SELECT DISTINCT each FROM unnest(f.earlier_digests || r.others) AS each
        WHERE each <> f.digest)
FROM intent.renamed AS r WHERE f.path = r.path AND (r.path <> r.redacted OR r.others IS NOT NULL);
UPDATE intent.collected_files SET source = intent.redact(source)
WHERE source <> intent.redact(source);
"""

# Rows of a file that was known under two addresses: those of the newest row stay.
QUARANTINE = """
DELETE FROM intent.quarantine AS q USING (
    SELECT source, row_number, row_number() OVER (
        PARTITION BY intent.redact(source), row_number
        ORDER BY state <> 'held' DESC, found_at DESC, source) AS place
    FROM intent.quarantine) AS ranked
WHERE q.source = ranked.source AND q.row_number = ranked.row_number AND ranked.place > 1;
UPDATE intent.quarantine SET source = intent.redact(source)
WHERE source <> intent.redact(source);
"""

DROP = "DROP TABLE intent.renamed; DROP FUNCTION intent.redact"

RECEIPTS = """
UPDATE intent.runs
SET receipt = jsonb_set(receipt, '{run_url}', to_jsonb(
    regexp_replace(receipt->>'run_url', '^(https?://)[^/?#]*@', '\\1', 'i')))
WHERE receipt->>'run_url' ~* '^https?://[^/?#]*@';
"""

# A shop gives its tools roles of their own, which are members of intent_analyst. The owner of the
# function sees and may end those whose role was granted to it.
READERS = """
CREATE OR REPLACE FUNCTION intent.end_overdue_readers(minutes double precision) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid))::integer
    FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid
    WHERE pg_has_role(r.oid, 'intent_analyst', 'MEMBER') AND NOT r.rolsuper
      AND r.rolname NOT IN (
          current_user, 'intent_extract', 'intent_pipeline', 'intent_migrator',
          'intent_shop_owner', 'mlflow', 'airflow')
      AND pg_has_role(r.oid, 'USAGE')
      AND a.xact_start < clock_timestamp() - minutes * interval '1 minute'
$$;
COMMENT ON FUNCTION intent.end_overdue_readers IS
    'Ends sessions of analysts whose transaction is older than that, and counts them.';
"""

READERS_BEFORE = """
CREATE OR REPLACE FUNCTION intent.end_overdue_readers(minutes double precision) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::integer
    FROM pg_stat_activity
    WHERE usename = 'intent_analyst' AND pg_has_role(usesysid, 'USAGE')
      AND xact_start < clock_timestamp() - minutes * interval '1 minute'
$$;
COMMENT ON FUNCTION intent.end_overdue_readers IS
    'Ends sessions of the analyst whose transaction is older than that, and counts them.';
"""


def upgrade() -> None:
    """Clean the addresses, and replace the function."""
    for statements in (REDACT, LEDGER, QUARANTINE, DROP, RECEIPTS, READERS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Put the function back; what was a secret stays away."""
    op.execute(READERS_BEFORE)
