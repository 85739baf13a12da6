"""Every table of the contract, with unit and meaning in `comment=`.

Migrations, loads, Great Expectations suites and `docs/tables.md` all take their columns from here.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from intent_tasks.definition import (
    BANDS,
    EVENT_TYPES,
    FALLBACK_LEVELS,
    HORIZONS_DAYS,
    LEAST_GROUP,
    QUARANTINE_STATES,
    ROLES,
    STAGES,
)

SHOP = "shop"
INTENT = "intent"

shop_metadata = MetaData(schema=SHOP)
"""The shop's own tables, or views over them: we only read them, except in a simulated shop."""

intent_metadata = MetaData(schema=INTENT)
"""Our tables."""

Instant = DateTime(timezone=True)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


# ── The source ────────────────────────────────────────────────────────────────────────────────────

events = Table(
    "events",
    shop_metadata,
    Column("event_id", Text, nullable=False, comment="unique id of the event"),
    Column("customer_id", Text, nullable=False, comment="the shop's id of the customer"),
    Column("session_id", Text, comment="visit the event belongs to"),
    Column("event_type", Text, nullable=False, comment=f"one of {', '.join(EVENT_TYPES)}"),
    Column("product_id", Text, comment="product looked at, carted, bought, reviewed"),
    Column("quantity", Integer, comment="pieces, of cart, remove, purchase and refund"),
    Column("price", Double, comment="price of one piece in `currency`"),
    Column("currency", Text, comment="ISO 4217 code"),
    Column("query_text", Text, comment="words of a search"),
    Column("review_text", Text, comment="words of a review"),
    Column("rating", Integer, comment="stars of a review, 1 to 5"),
    Column("channel", Text, comment="where the visit came from: direct, ads, e-mail, …"),
    Column("device", Text, comment="desktop, mobile, tablet, …"),
    Column("occurred_at", Instant, nullable=False, comment="when it happened, UTC"),
    Column("ingested_at", Instant, comment="when the warehouse got it, UTC; null: occurred_at"),
    Index("events_ingested_at", "ingested_at"),
    comment="One thing a customer did.",
)

products = Table(
    "products",
    shop_metadata,
    Column("product_id", Text, primary_key=True, comment="the shop's id of the product"),
    Column("category_path", Text, comment="categories from the root, joined by dots"),
    Column("brand", Text, comment="brand"),
    Column("price", Double, comment="today's price of one piece"),
    Column("title", Text, comment="title shown to customers; the model reads its first words"),
    Column("description", Text, comment="description shown to customers"),
    Column("in_stock", Boolean, comment="whether it can be bought today"),
    Column("image_embedding", ARRAY(Double), comment="embedding of the main picture"),
    comment="What the shop sells.",
)

customers = Table(
    "customers",
    shop_metadata,
    Column("customer_id", Text, primary_key=True, comment="the shop's id of the customer"),
    Column("created_at", Instant, comment="when the account was made, UTC"),
    Column("country", Text, comment="ISO 3166 code"),
    Column("consent_personalisation", Boolean, comment="may be predicted"),
    Column("consent_marketing", Boolean, comment="may be sent offers"),
    Column("suppressed", Boolean, comment="must not be contacted whatever the consent"),
    comment="Who buys.",
)

# ── Ours ──────────────────────────────────────────────────────────────────────────────────────────

_AS_OF = "shop day at whose end the prediction was made"

customer_keys = Table(
    "customer_keys",
    intent_metadata,
    Column("customer_id", Text, primary_key=True, comment="the shop's id of the customer"),
    Column("customer_key", Text, nullable=False, unique=True, comment="keyed HMAC of customer_id"),
    Column("key_id", Text, nullable=False, comment="name of the HMAC key"),
    comment="The only place where customer_id and customer_key meet.",
)

runs = Table(
    "runs",
    intent_metadata,
    Column("step", Text, primary_key=True, comment="step of the pipeline"),
    Column("as_of_date", Date, primary_key=True, comment="shop day the step worked for"),
    Column("bucket", Integer, primary_key=True, comment="bucket of customers; -1: all of them"),
    Column("receipt", JSONB, nullable=False, comment="ids, counts, paths and digests"),
    Column("finished_at", Instant, nullable=False, comment="when the step was last done, UTC"),
    comment="Ledger: one row per finished step and day; says what is true after a crash.",
)

predictions = Table(
    "predictions",
    intent_metadata,
    Column("as_of_date", Date, primary_key=True, comment=_AS_OF),
    Column("customer_id", Text, primary_key=True, comment="the shop's id of the customer"),
    Column("role", Text, primary_key=True, comment="champion, or challenger scored in its shadow"),
    *(
        Column(
            f"probability_{h}d",
            Double,
            nullable=False,
            comment=f"probability of a purchase within {h} days after as_of_date",
        )
        for h in HORIZONS_DAYS
    ),
    Column("band", Text, nullable=False, comment="hot, warm, cool, cold: by lift over base rate"),
    Column(
        "stage",
        Text,
        comment="browsing, comparing, ready, leaving: the likeliest; null: it was not told",
    ),
    Column(
        "reasons", JSONB, comment="events that moved the score most: type, product, date, effect"
    ),
    Column("reason", Text, comment="the same as a sentence"),
    Column("fallback_level", Text, nullable=False, comment="model, recent or base_rate"),
    Column("channel", Text, comment="channel of the customer's last event; null: not known"),
    Column("model_version", Integer, nullable=False, comment="version of the registered model"),
    Column("run_id", Text, nullable=False, comment="MLflow run that trained the version"),
    Column("scored_at", Instant, nullable=False, comment="when these rows were published, UTC"),
    _one_of("role", ROLES),
    _one_of("band", tuple(BANDS)),
    _one_of("stage", STAGES),
    _one_of("fallback_level", FALLBACK_LEVELS),
    *(
        CheckConstraint(f"probability_{h}d BETWEEN 0 AND 1", name=f"probability_{h}d_range")
        for h in HORIZONS_DAYS
    ),
    postgresql_partition_by="RANGE (as_of_date)",
    comment="What each customer is about to do. One row per day, customer and role.",
)

outcomes = Table(
    "outcomes",
    intent_metadata,
    Column("as_of_date", Date, primary_key=True, comment=_AS_OF),
    Column("customer_id", Text, primary_key=True, comment="the shop's id of the customer"),
    Column("horizon_days", Integer, primary_key=True, comment="days after as_of_date"),
    Column("purchased", Boolean, nullable=False, comment="whether they purchased within it"),
    Column("purchase_count", Integer, nullable=False, comment="purchase events within it"),
    Column("known_until", Date, nullable=False, comment="shop day whose end this was known at"),
    comment="What came true, of predicted customers, once the horizon and the lag have passed.",
)

feedback_metrics = Table(
    "feedback_metrics",
    intent_metadata,
    Column("as_of_date", Date, primary_key=True, comment=_AS_OF),
    Column("role", Text, primary_key=True, comment="champion or challenger"),
    Column("horizon_days", Integer, primary_key=True, comment="days after as_of_date"),
    Column("slice", Text, primary_key=True, comment="all, or column=value such as band=hot"),
    Column("metric", Text, primary_key=True, comment="name of the metric"),
    Column("restatement", Integer, primary_key=True, comment="0 first; higher replaces lower"),
    Column("value", Double, comment="value; null when it is not defined, as AUC without buyers"),
    Column("low", Double, comment="lower end of the 95 % interval"),
    Column("high", Double, comment="upper end of the 95 % interval"),
    Column("baseline", Double, comment="the same metric of predicting the base rate for all"),
    Column("customer_count", Integer, nullable=False, comment="customers measured on"),
    Column("buyer_count", Integer, nullable=False, comment="of them, who purchased"),
    Column("model_version", Integer, nullable=False, comment="version that predicted"),
    Column("known_until", Date, nullable=False, comment="shop day whose end this was known at"),
    CheckConstraint(f"customer_count >= {LEAST_GROUP}", name="customer_count_is_no_small_group"),
    comment="How right the predictions were, per day, role, horizon and slice.",
)

promotions = Table(
    "promotions",
    intent_metadata,
    Column("promotion_id", BigInteger, primary_key=True, autoincrement=True, comment="number"),
    Column("model_version", Integer, nullable=False, comment="version that became champion"),
    Column("from_version", Integer, comment="version that served before; null: none"),
    Column("approved_by", Text, comment="tag approved_by of the version; null: not stated"),
    Column("reason", Text, comment="tag reason of the version; null: not stated"),
    Column("evidence", Text, comment="address of the evidence page"),
    Column("seen_for_date", Date, nullable=False, comment="shop day that first used it"),
    Column("seen_at", Instant, nullable=False, comment="when the pipeline saw the alias, UTC"),
    comment="Each time the pipeline found the alias champion on another version.",
)

collected_files = Table(
    "collected_files",
    intent_metadata,
    Column("path", Text, primary_key=True, comment="whole address of the file"),
    Column("source", Text, nullable=False, comment="folder or prefix that was collected"),
    Column("format", Text, nullable=False, comment="how it is written"),
    Column("size_bytes", BigInteger, nullable=False, comment="size as it is stored"),
    Column("version", Text, nullable=False, comment="ETag or time of change; empty: not known"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the content, decompressed"),
    Column("state", Text, nullable=False, comment="loading, loaded, or copy of a loaded file"),
    Column("blocks_done", Integer, nullable=False, comment="blocks that are committed"),
    Column("last_row", BigInteger, nullable=False, comment="number of the last row of them"),
    Column("rows_loaded", BigInteger, nullable=False, comment="events that are in shop.events"),
    Column("rows_repeated", BigInteger, nullable=False, comment="events whose event_id was there"),
    Column("rows_ignored", BigInteger, nullable=False, comment="rows that are no events"),
    Column("rows_quarantined", BigInteger, nullable=False, comment="rows that were set aside"),
    Column("rows_read", BigInteger, nullable=False, comment="rows it holds, but header and blanks"),
    Column("rows_gone", BigInteger, nullable=False, comment="events of before, now gone; kept"),
    Column("values_unreadable", JSONB, nullable=False, comment="column → values read as null"),
    Column("earlier_digests", ARRAY(Text), nullable=False, comment="of its contents before"),
    Column("started_at", Instant, nullable=False, comment="when it was begun, UTC"),
    Column("changed_at", Instant, nullable=False, comment="when its last block was committed, UTC"),
    Column("table_name", Text, nullable=False, server_default="events", comment="table it fills"),
    Column(
        "format_digest",
        Text,
        nullable=False,
        server_default="",
        comment="SHA-256 of the format, as it was when the file was begun; empty: not known",
    ),
    _one_of("table_name", ("events", "products", "customers")),
    _one_of("state", ("loading", "loaded", "copy")),
    Index("collected_files_digest", "digest"),
    comment="Ledger of collected files: each content is loaded once, block by block.",
)

quarantine = Table(
    "quarantine",
    intent_metadata,
    Column("source", Text, primary_key=True, comment="file, or `shop.events` and the shop day"),
    Column(
        "row_number", Integer, primary_key=True, comment="line of the file, or place in the day"
    ),
    Column("row_key", Text, comment="event_id of the row, as far as it has one"),
    Column("customer_key", Text, comment="keyed HMAC of its customer, as far as it names one"),
    Column("rule", Text, nullable=False, comment="what is wrong with the row"),
    Column("payload", JSONB, nullable=False, comment="the row as it was found; can be replayed"),
    Column(
        "replayable",
        Boolean,
        nullable=False,
        comment="whether the payload is whole; else it was cut, and only its source has it all",
    ),
    Column("digest", Text, nullable=False, comment="of the whole row: names it from day to day"),
    Column("state", Text, nullable=False, comment="held, released into the data, or dropped"),
    Column("correction", JSONB, comment="column → value that it was released with; null: none"),
    Column("found_at", Instant, nullable=False, comment="when it was set aside, UTC"),
    Column("decided_at", Instant, comment="when it was released or dropped, UTC"),
    Column("decided_by", Text, comment="who did"),
    Column("reason", Text, comment="why"),
    _one_of("state", QUARANTINE_STATES),
    comment="Rows that could not be used, each with the rule that it breaks.",
)

erasures = Table(
    "erasures",
    intent_metadata,
    Column("customer_key", Text, primary_key=True, comment="keyed HMAC of the erased customer"),
    Column("key_id", Text, nullable=False, comment="name of the HMAC key it was made with"),
    Column("erased_at", Instant, nullable=False, comment="when the erasure was begun, UTC"),
    Column("finished_at", Instant, comment="when every place was cleared, UTC; null: not yet"),
    Column("removed", JSONB, comment="rows that were removed, by place"),
    Column(
        "model_versions",
        ARRAY(Integer),
        comment="versions whose training read events of the customer",
    ),
    comment="Tombstones: extracts and publishing leave these customers out.",
)

erasure_requests = Table(
    "erasure_requests",
    intent_metadata,
    Column("request_id", BigInteger, primary_key=True, autoincrement=True, comment="number"),
    Column("customer_id", Text, comment="whom to erase; null once it is done"),
    Column("requested_by", Text, comment="who asked, such as the system that forwards it"),
    Column(
        "requested_at",
        Instant,
        nullable=False,
        server_default=func.now(),
        comment="when it was asked for, UTC",
    ),
    Column("customer_key", Text, comment="keyed HMAC of the customer, once it is done"),
    Column("done_at", Instant, comment="when the customer was erased, UTC; null: not yet"),
    comment="Who asked to be erased: the shop inserts customer_id, intent_erase does the rest.",
)

exports = Table(
    "exports",
    intent_metadata,
    Column("export_id", BigInteger, primary_key=True, autoincrement=True, comment="number"),
    Column("as_of_date", Date, nullable=False, comment=_AS_OF),
    Column("purpose", Text, nullable=False, comment="personalisation or marketing"),
    Column("band", Text, comment="band that was asked for; null: all of them"),
    Column("path", Text, nullable=False, comment="file that was written"),
    Column("customer_count", Integer, comment="customers in the file; null: never finished"),
    Column("without_consent_count", Integer, comment="customers left out for want of a yes"),
    Column("exported_by", Text, nullable=False, comment="who made it"),
    Column("exported_at", Instant, nullable=False, comment="when, UTC"),
    Column("removed_at", Instant, comment="when retention deleted the file, UTC"),
    comment="Lists of customers that left the database: what, when, where to, by whom.",
)

model_versions = Table(
    "model_versions",
    intent_metadata,
    Column("model_version", Integer, nullable=False, comment="version of the registered model"),
    Column("as_of_date", Date, nullable=False, comment="shop day as of which it was trained"),
    Column("first_day", Date, nullable=False, comment="first shop day whose events it read"),
    Column("last_day", Date, nullable=False, comment="last shop day whose events it read"),
    Column("snapshot_digest", Text, nullable=False, comment="digest of the snapshots it read"),
    Column("run_id", Text, primary_key=True, comment="MLflow run that trained it"),
    comment="Which days each model version learned from; no other version is served.",
)

contract_results = Table(
    "contract_results",
    intent_metadata,
    Column("as_of_date", Date, primary_key=True, comment="shop day that was checked"),
    Column("suite", Text, primary_key=True, comment="what was checked: events, predictions, …"),
    Column("rule", Text, primary_key=True, comment="what was measured"),
    Column("severity", Text, nullable=False, comment="stop, quarantine or warn"),
    Column("passed", Boolean, nullable=False, comment="whether the rule was kept"),
    Column("observed", Double, comment="what was measured; null: nothing could be"),
    Column("low", Double, comment="least that is allowed; null: no such bound"),
    Column("high", Double, comment="most that is allowed; null: no such bound"),
    Column("failed_rows", BigInteger, comment="rows that break it; null: it is about all of them"),
    Column("row_count", BigInteger, nullable=False, comment="rows that were measured"),
    Column("meaning", Text, nullable=False, comment="what the rule measures, in words"),
    Column("page", Text, nullable=False, comment="page in the Data Docs, below INTENT_HOME"),
    Column("checked_at", Instant, nullable=False, comment="when, UTC"),
    comment="The contract, day by day: each rule, what was seen and what is allowed; counts only.",
)
