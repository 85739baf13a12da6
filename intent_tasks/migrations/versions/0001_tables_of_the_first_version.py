"""Tables of the first version."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables of the first version."""
    op.create_table(
        "customer_keys",
        sa.Column(
            "customer_id", sa.Text(), nullable=False, comment="the shop's id of the customer"
        ),
        sa.Column("customer_key", sa.Text(), nullable=False, comment="keyed HMAC of customer_id"),
        sa.Column("key_id", sa.Text(), nullable=False, comment="name of the HMAC key"),
        sa.PrimaryKeyConstraint("customer_id"),
        sa.UniqueConstraint("customer_key"),
        schema="intent",
        comment="The only place where customer_id and customer_key meet.",
    )
    op.create_table(
        "erasures",
        sa.Column(
            "customer_key", sa.Text(), nullable=False, comment="keyed HMAC of the erased customer"
        ),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False, comment="when, UTC"),
        sa.PrimaryKeyConstraint("customer_key"),
        schema="intent",
        comment="Tombstones: extracts and publishing leave these customers out.",
    )
    op.create_table(
        "feedback_metrics",
        sa.Column(
            "as_of_date",
            sa.Date(),
            nullable=False,
            comment="shop day at whose end the prediction was made",
        ),
        sa.Column("role", sa.Text(), nullable=False, comment="champion or challenger"),
        sa.Column("horizon_days", sa.Integer(), nullable=False, comment="days after as_of_date"),
        sa.Column(
            "slice", sa.Text(), nullable=False, comment="all, or column=value such as band=hot"
        ),
        sa.Column("metric", sa.Text(), nullable=False, comment="name of the metric"),
        sa.Column(
            "restatement", sa.Integer(), nullable=False, comment="0 first; higher replaces lower"
        ),
        sa.Column(
            "value",
            sa.Double(),
            nullable=True,
            comment="value; null when it is not defined, as AUC without buyers",
        ),
        sa.Column("low", sa.Double(), nullable=True, comment="lower end of the 95 % interval"),
        sa.Column("high", sa.Double(), nullable=True, comment="upper end of the 95 % interval"),
        sa.Column(
            "baseline",
            sa.Double(),
            nullable=True,
            comment="the same metric of predicting the base rate for all",
        ),
        sa.Column("customer_count", sa.Integer(), nullable=False, comment="customers measured on"),
        sa.Column("buyer_count", sa.Integer(), nullable=False, comment="of them, who purchased"),
        sa.Column("model_version", sa.Integer(), nullable=False, comment="version that predicted"),
        sa.Column(
            "known_until", sa.Date(), nullable=False, comment="shop day whose end this was known at"
        ),
        sa.PrimaryKeyConstraint(
            "as_of_date", "role", "horizon_days", "slice", "metric", "restatement"
        ),
        schema="intent",
        comment="How right the predictions were, per day, role, horizon and slice.",
    )
    op.create_table(
        "outcomes",
        sa.Column(
            "as_of_date",
            sa.Date(),
            nullable=False,
            comment="shop day at whose end the prediction was made",
        ),
        sa.Column(
            "customer_id", sa.Text(), nullable=False, comment="the shop's id of the customer"
        ),
        sa.Column("horizon_days", sa.Integer(), nullable=False, comment="days after as_of_date"),
        sa.Column(
            "purchased", sa.Boolean(), nullable=False, comment="whether they purchased within it"
        ),
        sa.Column(
            "purchase_count", sa.Integer(), nullable=False, comment="purchase events within it"
        ),
        sa.Column(
            "known_until", sa.Date(), nullable=False, comment="shop day whose end this was known at"
        ),
        sa.PrimaryKeyConstraint("as_of_date", "customer_id", "horizon_days"),
        schema="intent",
        comment="What came true, of predicted customers, once the horizon and the lag have passed.",
    )
    op.create_table(
        "predictions",
        sa.Column(
            "as_of_date",
            sa.Date(),
            nullable=False,
            comment="shop day at whose end the prediction was made",
        ),
        sa.Column(
            "customer_id", sa.Text(), nullable=False, comment="the shop's id of the customer"
        ),
        sa.Column(
            "role",
            sa.Text(),
            nullable=False,
            comment="champion, or challenger scored in its shadow",
        ),
        sa.Column(
            "probability_1d",
            sa.Double(),
            nullable=False,
            comment="probability of a purchase within 1 days after as_of_date",
        ),
        sa.Column(
            "probability_3d",
            sa.Double(),
            nullable=False,
            comment="probability of a purchase within 3 days after as_of_date",
        ),
        sa.Column(
            "probability_7d",
            sa.Double(),
            nullable=False,
            comment="probability of a purchase within 7 days after as_of_date",
        ),
        sa.Column(
            "probability_14d",
            sa.Double(),
            nullable=False,
            comment="probability of a purchase within 14 days after as_of_date",
        ),
        sa.Column(
            "band",
            sa.Text(),
            nullable=False,
            comment="hot, warm, cool, cold: by lift over base rate",
        ),
        sa.Column(
            "reasons",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="events that moved the score most: type, product, date, effect",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="the same as a sentence"),
        sa.Column(
            "fallback_level", sa.Text(), nullable=False, comment="model, recent or base_rate"
        ),
        sa.Column(
            "channel",
            sa.Text(),
            nullable=True,
            comment="channel of the customer's last event; null: not known",
        ),
        sa.Column(
            "model_version", sa.Integer(), nullable=False, comment="version of the registered model"
        ),
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="MLflow run that trained the version"
        ),
        sa.Column(
            "scored_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when these rows were published, UTC",
        ),
        sa.CheckConstraint("band IN ('hot', 'warm', 'cool', 'cold')", name="band_known"),
        sa.CheckConstraint(
            "fallback_level IN ('model', 'recent', 'base_rate')", name="fallback_level_known"
        ),
        sa.CheckConstraint("role IN ('champion', 'challenger')", name="role_known"),
        sa.CheckConstraint("probability_14d BETWEEN 0 AND 1", name="probability_14d_range"),
        sa.CheckConstraint("probability_1d BETWEEN 0 AND 1", name="probability_1d_range"),
        sa.CheckConstraint("probability_3d BETWEEN 0 AND 1", name="probability_3d_range"),
        sa.CheckConstraint("probability_7d BETWEEN 0 AND 1", name="probability_7d_range"),
        sa.PrimaryKeyConstraint("as_of_date", "customer_id", "role"),
        schema="intent",
        comment="What each customer is about to do. One row per day, customer and role.",
        postgresql_partition_by="RANGE (as_of_date)",
    )
    op.create_table(
        "promotions",
        sa.Column(
            "promotion_id", sa.BigInteger(), autoincrement=True, nullable=False, comment="number"
        ),
        sa.Column(
            "model_version", sa.Integer(), nullable=False, comment="version that became champion"
        ),
        sa.Column(
            "from_version",
            sa.Integer(),
            nullable=True,
            comment="version that served before; null: none",
        ),
        sa.Column(
            "approved_by",
            sa.Text(),
            nullable=True,
            comment="tag approved_by of the version; null: not stated",
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="tag reason of the version; null: not stated",
        ),
        sa.Column("evidence", sa.Text(), nullable=True, comment="address of the evidence page"),
        sa.Column(
            "seen_for_date", sa.Date(), nullable=False, comment="shop day that first used it"
        ),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the pipeline saw the alias, UTC",
        ),
        sa.PrimaryKeyConstraint("promotion_id"),
        schema="intent",
        comment="Each time the pipeline found the alias champion on another version.",
    )
    op.create_table(
        "runs",
        sa.Column("step", sa.Text(), nullable=False, comment="step of the pipeline"),
        sa.Column("as_of_date", sa.Date(), nullable=False, comment="shop day the step worked for"),
        sa.Column(
            "bucket", sa.Integer(), nullable=False, comment="bucket of customers; -1: all of them"
        ),
        sa.Column(
            "receipt",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="ids, counts, paths and digests",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the step was last done, UTC",
        ),
        sa.PrimaryKeyConstraint("step", "as_of_date", "bucket"),
        schema="intent",
        comment="Ledger: one row per finished step and day; says what is true after a crash.",
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("runs", schema="intent")
    op.drop_table("promotions", schema="intent")
    op.drop_table("predictions", schema="intent")
    op.drop_table("outcomes", schema="intent")
    op.drop_table("feedback_metrics", schema="intent")
    op.drop_table("erasures", schema="intent")
    op.drop_table("customer_keys", schema="intent")
