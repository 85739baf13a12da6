"""One judge of the shop's types: what it calls readable is read, and the rest refused alike."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from intent_tasks.commands import check_source
from intent_tasks.errors import Refused
from intent_tasks.steps import extract, validate
from intent_tasks.stores import postgres, snapshots
from intent_tasks.stores.extracting import source

pytestmark = pytest.mark.database

DAY = date(2026, 6, 30)
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)


@pytest.fixture
def settings(settings):
    """Settings that read two days of history, for speed."""
    return settings.model_copy(update={"history_days": 2})


def run(settings, *statements):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def view(settings, *more, event_id="'e'", customer_id="'c'", event_type="'view'",
         occurred_at="timestamptz '2026-06-30 12:00Z'", **columns):  # fmt: skip
    """Make `shop.events` of one row, columns as expressions of SQL."""
    columns = {"event_id": event_id, "customer_id": customer_id, "event_type": event_type,
               "occurred_at": occurred_at} | columns  # fmt: skip
    picked = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    run(settings, *more, f"CREATE VIEW shop.events AS SELECT {picked}")


def known(settings):
    extract.run(settings, DAY)
    return snapshots.read(settings.home, settings.definition, DAY, range(2)).to_pylist()


def problems(settings):
    lines = check_source.check(settings, NOW).lines
    return [line for line in lines if line.startswith("PROBLEM") and "history" not in line]


NULLS = [
    ("numeric", "bigint", "bigint"), ("numeric(12, 2)", "numeric", "numeric"),
    ("double precision", "int", "smallint"), ("real", "smallint", "real"),
    ("bigint", "double precision", "int"), ("money", "numeric(5, 0)", "double precision"),
]  # fmt: skip
"""Types of price, quantity and rating."""


@pytest.mark.parametrize("kinds", NULLS)
def test_a_null_stays_null_whatever_the_type(settings, kinds):
    names = ("price", "quantity", "rating")
    nulls = {name: f"NULL::{kind}" for name, kind in zip(names, kinds, strict=True)}
    view(settings, **nulls)
    assert problems(settings) == []
    receipt = extract.run(settings, DAY)
    assert (receipt["rows_in_snapshot"], receipt["rows_quarantined"]) == (1, 0)
    assert "values_unreadable" not in receipt
    [row] = known(settings)
    assert [row[name] for name in names] == [None, None, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("price", "'NaN'::numeric"), ("price", "'Infinity'::numeric"),
        ("price", "'-Infinity'::numeric"), ("price", "10::numeric ^ 400"),
        ("price", "1 / 10::numeric(1000, 0) ^ 400"), ("quantity", "3000000000::bigint"),
        ("quantity", "-3000000000::bigint"), ("quantity", "'NaN'::float8"),
        ("quantity", "'Infinity'::float8"), ("rating", "'NaN'::numeric"),
    ],
)  # fmt: skip
def test_a_value_that_no_column_can_hold_is_null_and_counted(settings, name, value):
    view(settings, event_type="'purchase'", **{name: value})
    receipt = extract.run(settings, DAY)
    assert (receipt["rows_in_snapshot"], receipt["rows_quarantined"]) == (1, 0)
    [row] = known(settings)
    assert (row["event_type"], row[name]) == ("purchase", None)
    if not value.startswith("1 /"):
        assert receipt["values_unreadable"] == {f"{name} cannot be read": 1}


def test_an_event_without_a_time_is_not_of_the_year_1(settings):
    view(settings, occurred_at="NULL::timestamptz", ingested_at="timestamptz '2026-06-30 12:00Z'")
    assert extract.run(settings, DAY)["rows_quarantined"] == 1
    with postgres.reading(settings.pipeline_url) as connection:
        rules = connection.exec_driver_sql("SELECT rule FROM intent.quarantine").scalars().all()
    assert rules == ["occurred_at is missing"]


READABLE = [
    ("'7'::text", "7"), ("'7'::varchar(3)", "7"), ("'7'::char(10)", "7"), ("7", "7"),
    ("7::bigint", "7"), ("7::smallint", "7"), ("7::numeric", "7"), ("7.00::numeric(12, 2)", "7"),
    ("7::float8", "7"), ("1e15::float8", "1000000000000000"), ("'seven'::shop.word", "seven"),
    ("7::shop.outer_number", "7"), ("'b'::shop.letter", "b"),
    ("'5a0e1c2e-0f6b-4f0a-9d8e-1c2b3a4d5e6f'::uuid", "5a0e1c2e-0f6b-4f0a-9d8e-1c2b3a4d5e6f"),
]  # fmt: skip
TYPES = (
    "CREATE DOMAIN shop.word AS text CHECK (VALUE <> '')",
    "CREATE DOMAIN shop.number AS bigint",
    "CREATE DOMAIN shop.outer_number AS shop.number",
    "CREATE DOMAIN shop.moment AS timestamptz",
    "CREATE DOMAIN shop.amount AS numeric(12, 2)",
    "CREATE TYPE shop.letter AS ENUM ('a', 'b')",
    "CREATE TYPE shop.kind AS ENUM ('view', 'cart')",
)


IDS = ("event_id", "product_id", "session_id", "channel", "device")


@pytest.mark.parametrize("first", range(0, len(READABLE), len(IDS)))
def test_an_id_of_any_type_that_is_a_text_or_number_is_read(settings, first):
    expected = dict(zip(IDS, READABLE[first : first + len(IDS)], strict=False))
    values = {name: value for name, (value, _) in expected.items()}
    view(settings, *TYPES, **values, customer_id=READABLE[first][0],
         event_type="'cart'::shop.kind", price="9.5::shop.amount",
         occurred_at="timestamptz '2026-06-30 12:00Z'::shop.moment")  # fmt: skip
    sold = f"CREATE TABLE shop.products AS SELECT {values['product_id']} AS product_id, "
    run(settings, f"{sold} 'x' AS brand, 2::money AS price")
    assert problems(settings) == []
    [row] = known(settings)
    assert {name: row[name] for name in expected} == {
        name: text for name, (_, text) in expected.items()
    }
    assert (row["price"], row["event_type"], row["brand"]) == (9.5, "cart", "x")
    assert validate.run(settings, DAY)["failed"] == []


UNREADABLE = [
    ("occurred_at", "timestamp '2026-06-30 12:00'", "is TIMESTAMP and must be timestamp with time "
     "zone: say in a view in which zone it is, such as occurred_at AT TIME ZONE 'Europe/Stock"),
    ("occurred_at", "date '2026-06-30'", "is DATE and must be timestamp with time zone: say in a"),
    ("customer_id", "ARRAY['c']", "and must be text: join it in a view"),
    ("customer_id", "'c'::bytea", "is BYTEA and must be text: write it as text in a view"),
    ("product_id", "'{}'::jsonb", "is JSONB and must be text: take one text out of it in a view"),
    ("product_id", "point(1, 2)", "and must be text: cast it in a view"),
    ("price", "'9.99'::text", "is TEXT and must be a number: cast it in a view"),
    ("quantity", "true", "is BOOLEAN and must be a number"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), UNREADABLE)
def test_what_cannot_be_read_is_refused_in_the_same_words_everywhere(
    settings, name, value, message
):
    view(settings, **{name: value})
    [problem] = problems(settings)
    words = problem.removeprefix("PROBLEM  ").strip()
    assert words.startswith(f"shop.events.{name} is ")
    assert message in words
    for step in (extract, validate):
        with pytest.raises(Refused) as refused:
            step.run(settings, DAY)
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (
            "customers",
            "'c' AS customer_id, localtimestamp AS created_at",
            "created_at AT TIME ZONE",
        ),
        ("customers", "'c' AS customer_id, 1 AS consent_personalisation", "such as consent_person"),
        ("products", "'p' AS product_id, '{}'::jsonb AS title", "such as title ->> 'en'"),
        ("products", "'p' AS product_id, 1 AS in_stock", "such as in_stock = 1"),
    ],
)
def test_check_source_calls_a_problem_what_validate_refuses(settings, table, columns, message):
    view(settings)
    run(settings, f"CREATE VIEW shop.{table} AS SELECT {columns}")
    [problem] = problems(settings)
    assert message in problem
    with pytest.raises(Refused) as refused:
        validate.run(settings, DAY)
    assert problem.removeprefix("PROBLEM  ").strip() in str(refused.value)


def test_numbers_of_products_meet_those_of_events_whatever_their_types(settings):
    view(settings, product_id="7::bigint", price="9.5::numeric")
    run(settings, "CREATE VIEW shop.products AS SELECT 7.00::numeric(9, 2) AS product_id, "
        "'Acme' AS brand, NULL::numeric AS price")  # fmt: skip
    assert [row["brand"] for row in known(settings)] == ["Acme"]
    assert validate.run(settings, DAY)["failed"] == []


def test_a_wide_column_reads_as_a_narrow_one(settings):
    view(settings, price="12.25::numeric", quantity="3::bigint", rating="5::numeric")
    with source.warehouse(settings) as warehouse:
        [block] = list(warehouse.stream([DAY]))
    assert block.schema.field("price").type == pa.float64()
    assert block.schema.field("quantity").type == pa.int32()
    assert [block[name][0].as_py() for name in ("price", "quantity", "rating")] == [12.25, 3, 5]
