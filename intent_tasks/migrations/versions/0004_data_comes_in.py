"""Data comes in: collected files, results of the contract, quarantine and erasure."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make what is needed to collect, check, set aside and erase."""
    _complete_tombstones()
    _make_erasure_requests()
    _make_exports()
    _make_model_versions()
    _hide_small_groups()
    _decide_on_quarantine()
    op.execute(OLD_PARTITIONS)
    op.execute(CONSERVATION)
    _make_collected_files()
    _make_contract_results()


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP VIEW intent.conservation")
    op.drop_table("collected_files", schema="intent")
    op.execute("REVOKE ALL ON intent.quarantine FROM intent_shop_owner")
    op.execute("REVOKE ALL ON SCHEMA intent FROM intent_shop_owner")
    op.drop_table("contract_results", schema="intent")
    for column in reversed(QUARANTINE_COLUMNS):
        op.drop_column("quarantine", column.name, schema="intent")
    op.execute("DROP FUNCTION intent.drop_predictions_before")
    op.drop_constraint("customer_count_is_no_small_group", "feedback_metrics", schema="intent")
    for table in ("model_versions", "exports", "erasure_requests"):
        op.drop_table(table, schema="intent")
    for column in ("model_versions", "removed", "finished_at", "key_id"):
        op.drop_column("erasures", column, schema="intent")


def _complete_tombstones() -> None:
    """Add the key's name, how far the erasure is and which versions were trained before it."""
    for column in (
        sa.Column("key_id", sa.Text, comment="name of the HMAC key it was made with"),
        sa.Column(
            "finished_at", Instant, comment="when every place was cleared, UTC; null: not yet"
        ),
        sa.Column("removed", postgresql.JSONB, comment="rows that were removed, by place"),
        sa.Column(
            "model_versions",
            sa.ARRAY(sa.Integer),
            comment="versions whose training read events of the customer",
        ),
    ):
        op.add_column("erasures", column, schema="intent")
    op.execute(
        "UPDATE intent.erasures "
        "SET key_id = coalesce((SELECT max(key_id) FROM intent.customer_keys), 'k1')"
    )
    op.alter_column("erasures", "key_id", nullable=False, schema="intent")
    op.alter_column(
        "erasures",
        "erased_at",
        existing_comment="when, UTC",
        comment="when the erasure was begun, UTC",
        schema="intent",
    )


def _make_erasure_requests() -> None:
    op.create_table(
        "erasure_requests",
        sa.Column("request_id", sa.BigInteger, autoincrement=True, comment="number"),
        sa.Column("customer_id", sa.Text, comment="whom to erase; null once it is done"),
        sa.Column(
            "requested_by", sa.Text, comment="who asked, such as the system that forwards it"
        ),
        sa.Column(
            "requested_at",
            Instant,
            nullable=False,
            server_default=sa.func.now(),
            comment="when it was asked for, UTC",
        ),
        sa.Column("customer_key", sa.Text, comment="keyed HMAC of the customer, once it is done"),
        sa.Column("done_at", Instant, comment="when the customer was erased, UTC; null: not yet"),
        sa.PrimaryKeyConstraint("request_id"),
        schema="intent",
        comment="Who asked to be erased: the shop inserts customer_id, intent_erase does the rest.",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON intent.erasure_requests TO intent_pipeline")


def _make_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("export_id", sa.BigInteger, autoincrement=True, comment="number"),
        sa.Column(
            "as_of_date",
            sa.Date,
            nullable=False,
            comment="shop day at whose end the prediction was made",
        ),
        sa.Column("purpose", sa.Text, nullable=False, comment="personalisation or marketing"),
        sa.Column("band", sa.Text, comment="band that was asked for; null: all of them"),
        sa.Column("path", sa.Text, nullable=False, comment="file that was written"),
        sa.Column(
            "customer_count", sa.Integer, comment="customers in the file; null: never finished"
        ),
        sa.Column(
            "without_consent_count", sa.Integer, comment="customers left out for want of a yes"
        ),
        sa.Column("exported_by", sa.Text, nullable=False, comment="who made it"),
        sa.Column("exported_at", Instant, nullable=False, comment="when, UTC"),
        sa.Column("removed_at", Instant, comment="when retention deleted the file, UTC"),
        sa.PrimaryKeyConstraint("export_id"),
        schema="intent",
        comment="Lists of customers that left the database: what, when, where to, by whom.",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON intent.exports TO intent_pipeline")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA intent TO intent_pipeline")
    op.execute("GRANT SELECT ON intent.exports TO intent_analyst")


def _make_model_versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model_version", sa.Integer, comment="version of the registered model"),
        sa.Column(
            "as_of_date",
            sa.Date,
            nullable=False,
            comment="shop day as of which it was trained",
        ),
        sa.Column(
            "first_day", sa.Date, nullable=False, comment="first shop day whose events it read"
        ),
        sa.Column(
            "last_day", sa.Date, nullable=False, comment="last shop day whose events it read"
        ),
        sa.Column(
            "snapshot_digest",
            sa.Text,
            nullable=False,
            comment="digest of the snapshots it read",
        ),
        sa.Column("run_id", sa.Text, nullable=False, comment="MLflow run that trained it"),
        sa.PrimaryKeyConstraint("model_version"),
        schema="intent",
        comment="Which days each model version learned from.",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON intent.model_versions TO intent_pipeline")
    op.execute("GRANT SELECT ON intent.model_versions TO intent_analyst")


def _hide_small_groups() -> None:
    op.create_check_constraint(
        "customer_count_is_no_small_group",
        "feedback_metrics",
        "customer_count >= 10",
        schema="intent",
    )


def _make_collected_files() -> None:
    counts = {
        "blocks_done": (sa.Integer, "blocks that are committed"),
        "last_row": (sa.BigInteger, "number of the last row of them"),
        "rows_loaded": (sa.BigInteger, "events that are in shop.events"),
        "rows_repeated": (sa.BigInteger, "events whose event_id was there"),
        "rows_ignored": (sa.BigInteger, "rows that are no events"),
        "rows_quarantined": (sa.BigInteger, "rows that were set aside"),
    }
    texts = {
        "path": "whole address of the file",
        "source": "folder or prefix that was collected",
        "format": "how it is written",
        "version": "ETag or time of change; empty: not known",
        "digest": "SHA-256 of the content, decompressed",
        "state": "loading, loaded, or copy of a loaded file",
    }
    op.create_table(
        "collected_files",
        *(sa.Column(name, sa.Text, nullable=False, comment=said) for name, said in texts.items()),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, comment="size as it is stored"),
        *(sa.Column(n, kind, nullable=False, comment=said) for n, (kind, said) in counts.items()),
        sa.Column("started_at", Instant, nullable=False, comment="when it was begun, UTC"),
        sa.Column(
            "changed_at",
            Instant,
            nullable=False,
            comment="when its last block was committed, UTC",
        ),
        sa.PrimaryKeyConstraint("path"),
        sa.CheckConstraint("state IN ('loading', 'loaded', 'copy')", name="state_known"),
        schema="intent",
        comment="Ledger of collected files: each is loaded once, block by block.",
    )
    op.create_index("collected_files_digest", "collected_files", ["digest"], schema="intent")
    # Events, ledger and rows set aside are one transaction, so one role writes all three: the
    # owner of the shop. It gains two tables of ours, and the pipeline still only reads the shop.
    op.execute("GRANT USAGE ON SCHEMA intent TO intent_shop_owner")
    op.execute("GRANT SELECT, INSERT, UPDATE ON intent.collected_files TO intent_shop_owner")
    op.execute("GRANT SELECT, INSERT, DELETE ON intent.quarantine TO intent_shop_owner")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON intent.collected_files TO intent_pipeline")
    op.execute("GRANT SELECT ON intent.collected_files TO intent_analyst")


QUARANTINE_COLUMNS = (
    sa.Column(
        "customer_key", sa.Text, comment="keyed HMAC of its customer, as far as it names one"
    ),
    sa.Column(
        "replayable",
        sa.Boolean,
        nullable=False,
        server_default="false",
        comment="whether the payload is whole; else it was cut, and only its source has it all",
    ),
    sa.Column(
        "digest",
        sa.Text,
        nullable=False,
        server_default="",
        comment="of the whole row: names it from day to day",
    ),
    sa.Column(
        "state",
        sa.Text,
        sa.CheckConstraint("state IN ('held', 'released', 'dropped')", name="state_known"),
        nullable=False,
        server_default="held",
        comment="held, released into the data, or dropped",
    ),
    sa.Column(
        "correction",
        postgresql.JSONB,
        comment="column → value that it was released with; null: none",
    ),
    sa.Column("decided_at", Instant, comment="when it was released or dropped, UTC"),
    sa.Column("decided_by", sa.Text, comment="who did"),
    sa.Column("reason", sa.Text, comment="why"),
)


OF_EARLIER_ROWS = ("replayable", "digest", "state")
"""Columns that have a default only for rows that were there before."""


def _decide_on_quarantine() -> None:
    """Add whose row it is, whether it is whole, and what was decided about it."""
    for column in QUARANTINE_COLUMNS:
        op.add_column("quarantine", column, schema="intent")
    for name in OF_EARLIER_ROWS:
        op.alter_column("quarantine", name, server_default=None, schema="intent")


def _make_contract_results() -> None:
    op.create_table(
        "contract_results",
        sa.Column("as_of_date", sa.Date, comment="shop day that was checked"),
        sa.Column("suite", sa.Text, comment="what was checked: events, predictions, …"),
        sa.Column("rule", sa.Text, comment="what was measured"),
        sa.Column("severity", sa.Text, nullable=False, comment="stop, quarantine or warn"),
        sa.Column("passed", sa.Boolean, nullable=False, comment="whether the rule was kept"),
        sa.Column("observed", sa.Double, comment="what was measured; null: nothing could be"),
        sa.Column("low", sa.Double, comment="least that is allowed; null: no such bound"),
        sa.Column("high", sa.Double, comment="most that is allowed; null: no such bound"),
        sa.Column(
            "failed_rows",
            sa.BigInteger,
            comment="rows that break it; null: it is about all of them",
        ),
        sa.Column("row_count", sa.BigInteger, nullable=False, comment="rows that were measured"),
        sa.Column("meaning", sa.Text, nullable=False, comment="what the rule measures, in words"),
        sa.Column(
            "page", sa.Text, nullable=False, comment="page in the Data Docs, below INTENT_HOME"
        ),
        sa.Column("checked_at", Instant, nullable=False, comment="when, UTC"),
        sa.PrimaryKeyConstraint("as_of_date", "suite", "rule"),
        schema="intent",
        comment="The contract, day by day: each rule, what was seen and what is allowed; "
        "counts only.",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON intent.contract_results TO intent_pipeline")
    op.execute("GRANT SELECT ON intent.contract_results TO intent_analyst")


OLD_PARTITIONS = """
CREATE FUNCTION intent.drop_predictions_before(day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION intent.drop_predictions_before IS
    'Drops the partitions of predictions that hold only days before this one.';
REVOKE ALL ON FUNCTION intent.drop_predictions_before FROM PUBLIC;
GRANT EXECUTE ON FUNCTION intent.drop_predictions_before TO intent_pipeline;
"""


CONSERVATION = """
CREATE VIEW intent.conservation AS
WITH arrived AS (
    SELECT as_of_date,
           (receipt->>'rows_in_warehouse')::bigint AS rows_in_warehouse,
           (receipt->>'rows_in_snapshot')::bigint AS rows_in_snapshot,
           (receipt->>'rows_quarantined')::bigint AS rows_quarantined,
           (receipt->>'rows_erased')::bigint AS rows_erased,
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
            CASE WHEN rows_in_warehouse <> rows_in_snapshot + rows_quarantined + rows_erased
                 THEN format('%s rows in the warehouse, but %s in the snapshot, %s in quarantine, '
                             '%s of erased customers', rows_in_warehouse, rows_in_snapshot,
                             rows_quarantined, rows_erased) END,
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
COMMENT ON VIEW intent.conservation IS
    'Per shop day: rows in the warehouse = in the snapshot + quarantined + erased; population ='
    ' scored + skipped; scored = published + erased + withdrawn. Whether all of it holds.';
GRANT SELECT ON intent.conservation TO intent_pipeline, intent_analyst;
"""
