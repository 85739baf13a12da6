"""Readers never stop the pipeline: locks of its own, partitions without waiting, readers ended."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LOCKS = """
GRANT SELECT, INSERT, UPDATE ON intent.locks TO intent_pipeline, intent_shop_owner;
GRANT INSERT, UPDATE ON intent.tombstone_lock TO intent_pipeline;
GRANT INSERT ON intent.tombstone_lock TO intent_shop_owner;
"""

# CREATE TABLE … PARTITION OF waits for every reader of the parent. ATTACH waits for none.
PARTITIONS = """
CREATE OR REPLACE FUNCTION intent.ensure_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date := date_trunc('month', day);
    name text := format('predictions_%s', to_char(day, 'YYYYMM'));
BEGIN
    IF to_regclass(format('intent.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two days of a new month may be published at once.
    LOCK TABLE ONLY intent.predictions IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('intent.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE intent.%I (LIKE intent.predictions INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE intent.predictions ATTACH PARTITION intent.%I FOR VALUES FROM (%L) TO (%L)',
        name, month, month + interval '1 month');
END $$;
"""

OLD_PARTITIONS = """
CREATE OR REPLACE FUNCTION intent.drop_predictions_before(day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    partition record;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname, to_date(right(c.relname, 6), 'YYYYMM') AS month
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'intent.predictions'::regclass
    LOOP
        IF partition.month + interval '1 month' <= day THEN
            EXECUTE format('DROP TABLE intent.%I', partition.relname);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    -- Somebody reads: the caller deletes the rows, and the next night drops what is empty.
    RETURN 0;
END $$;
"""

READERS = """
CREATE FUNCTION intent.end_overdue_readers(minutes double precision) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::integer
    FROM pg_stat_activity
    WHERE usename = 'intent_analyst' AND pg_has_role(usesysid, 'USAGE')
      AND xact_start < clock_timestamp() - minutes * interval '1 minute'
$$;
COMMENT ON FUNCTION intent.end_overdue_readers IS
    'Ends sessions of the analyst whose transaction is older than that, and counts them.';
REVOKE ALL ON FUNCTION intent.end_overdue_readers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION intent.end_overdue_readers TO intent_pipeline;
"""


def upgrade() -> None:
    """Make the locks and the functions."""
    op.create_table(
        "locks",
        sa.Column(
            "name", sa.Text, primary_key=True, comment="what one transaction at a time may do"
        ),
        schema="intent",
        comment="Locked row by row: one row for each work that must not overlap itself.",
    )
    op.create_table(
        "tombstone_lock",
        sa.Column("no_rows", sa.Text, comment="never written"),
        schema="intent",
        comment="Locked as a whole: shared by who reads tombstones, alone by who adds one.",
    )
    for statements in (LOCKS, PARTITIONS, OLD_PARTITIONS, READERS):
        op.execute(statements)


def downgrade() -> None:
    """Undo it; the functions that were replaced work for the tables before as well."""
    op.execute("DROP FUNCTION intent.end_overdue_readers")
    for table in ("tombstone_lock", "locks"):
        op.drop_table(table, schema="intent")
