"""What is read from the shop as Arrow: every value as it is, one state, named errors."""

import math
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from intent_tasks.errors import Refused
from intent_tasks.formats import files
from intent_tasks.stores import postgres, simulated_shop
from intent_tasks.stores.extracting import source
from intent_tasks.tables import events

pytestmark = pytest.mark.database

DAY = date(2026, 6, 30)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
TEXTS = ["", " ", "NULL", r"\N", r"\.", '"', 'a "quoted",\ttext\r\nof two lines', "日本語 🙂",
         "x" * 70_000, None]  # fmt: skip
WHOLE = [0, -1, -(2**31), 2**31 - 1, None]
NUMBERS = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, None]
TIMES = [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
         datetime(2026, 3, 29, 1, 30, 0, 1, UTC),
         datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]  # fmt: skip
VALUES = {"session_id": TEXTS, "review_text": TEXTS, "quantity": WHOLE, "price": NUMBERS,
          "occurred_at": TIMES}  # fmt: skip


def _row(number):
    row = {column.name: None for column in events.columns}
    row |= {"event_id": f"e{number:03}", "customer_id": "c", "event_type": "view"}
    row |= {"ingested_at": NOON + timedelta(microseconds=number)}
    return row | {name: values[number % len(values)] for name, values in VALUES.items()}


def _add(settings, rows):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        postgres.copy_in(connection, events, pa.Table.from_pylist(rows, files.SCHEMA))


@pytest.fixture
def settings(settings):
    """Settings whose shop has tables and no events."""
    simulated_shop.load(settings, "a shop", "no events", [files.SCHEMA.empty_table()])
    return settings


def _read(warehouse):
    return pa.concat_tables(warehouse.stream([DAY])).sort_by("event_id")


def test_every_value_is_read_as_it_is_and_what_is_no_number_as_null(settings):
    rows = [_row(number) for number in range(40)]
    _add(settings, rows)
    with source.warehouse(settings) as warehouse:
        found = _read(warehouse)
    assert found.schema.equals(files.SCHEMA)
    for row in rows:
        row["price"] = row["price"] if math.isfinite(row["price"] or 0) else None
    assert repr(found.to_pylist()) == repr(pa.Table.from_pylist(rows, files.SCHEMA).to_pylist())


def test_all_that_is_read_at_once_is_one_state(settings):
    _add(settings, [_row(0)])
    with source.warehouse(settings) as warehouse:
        assert warehouse.arrived([DAY])[DAY].rows == 1
        _add(settings, [_row(1)])
        assert _read(warehouse).num_rows == warehouse.arrived([DAY])[DAY].rows == 1


def test_a_query_that_ends_half_way_is_no_short_result(settings):
    query = "SELECT n / (300000 - n) AS part FROM generate_series(1, 300000) AS n"
    with (
        pytest.raises(Refused, match=r"refuses to read: division by zero \(SQLSTATE 22012\)"),
        postgres.arrow(settings.shop_url, query) as reader,
    ):
        reader.read_all()


def test_an_error_of_who_reads_keeps_its_name(settings):
    with (
        pytest.raises(pa.ArrowInvalid, match="Failed to parse"),
        postgres.arrow(settings.shop_url, "SELECT 'one' AS number") as reader,
    ):
        reader.read_all()["number"].cast(pa.int64())
