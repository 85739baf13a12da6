"""Ids that are integers too large for a double: each keeps its digits, in files of every kind."""

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.core.rules import BadRow
from intent_tasks.formats import files, mapping
from intent_tasks.formats.replay import read_row
from tests.unit.own_format import PLAIN, layout, lines

BIG = [2**53, 2**53 + 1, 2**63 + 1, 2**64 + 1, 10**25 + 1]
"""Integers that equal another one as doubles."""

OTHERS = [1.5, "a", 7]


def native(**columns):
    """Return a row of the native format."""
    usual = {"customer_id": "c", "event_type": "view", "occurred_at": "2026-06-30T12:00:00Z"}
    return usual | columns


@pytest.mark.parametrize("column", ["event_id", "customer_id", "session_id", "product_id"])
@pytest.mark.parametrize("end", ["jsonl", "csv"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("last", [0, 60], ids=["in the sample", "after the sample"])
def test_ids_keep_their_digits_beside_other_numbers(tmp_path, column, end, other, last):
    values = [*[other] * (1 + last), *BIG]
    rows = [native(event_id=f"e{n}") | {column: value} for n, value in enumerate(values)]
    if column == "event_id":
        rows[: last + 1] = rows[:1]
    if end == "csv":
        path = tmp_path / "events.csv"
        body = (",".join(map(str, row.values())) for row in rows)
        path.write_text("\n".join([",".join(rows[0]), *body]))
    else:
        path = lines(tmp_path / "events.jsonl", rows)
    [batch] = files.read(path, "native")
    assert batch.bad == []
    assert batch.events[column].to_pylist()[-len(BIG) :] == [str(value) for value in BIG]


@pytest.mark.parametrize("other", OTHERS)
def test_ids_inside_objects_and_lists_keep_their_digits(tmp_path, other):
    shape = {"product_id": "items.id", "customer_id": "user.id"}
    rows = [
        {"user": {"id": value}, "items": [{"id": other}, {"id": value}], "at": "2026-06-30"}
        for value in (other, *BIG)
    ]
    name = layout(tmp_path, PLAIN | shape, each="items")
    [batch] = files.read(lines(tmp_path / "events.jsonl", rows), name)
    for column in shape:
        assert batch.events[column].to_pylist()[3::2] == [str(value) for value in BIG]


@pytest.mark.parametrize("other", OTHERS)
def test_ids_in_a_text_that_holds_json_keep_their_digits(tmp_path, other):
    rows = [
        {"uuid": f"e{n}", "event": "Product Viewed", "distinct_id": "u", "timestamp": "2026-06-30",
         "properties": json.dumps({"product_id": value})}
        for n, value in enumerate((other, *BIG))
    ]  # fmt: skip
    [batch] = files.read(lines(tmp_path / "events.jsonl", rows), "posthog")
    assert batch.events["product_id"].to_pylist()[1:] == [str(value) for value in BIG]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([2**63 + 1, 2**63 + 3], pa.uint64()),
        pa.array([Decimal(10**25 + 1), Decimal(10**25 + 3)], pa.decimal128(38, 0)),
        pa.array([Decimal(10**25 + 1), Decimal(10**25 + 3)], pa.decimal128(38, 4)),
        pa.array([2**53 + 1, 2**53 + 3], pa.int64()),
    ],
    ids=lambda ids: str(ids.type),
)
def test_ids_in_parquet_keep_their_digits(tmp_path, ids):
    rows = pa.Table.from_pylist([native(), native()]).append_column("event_id", ids)
    pq.write_table(rows, tmp_path / "events.parquet")
    [batch] = files.read(tmp_path / "events.parquet", "native")
    assert batch.events["event_id"].to_pylist() == [str(int(value)) for value in ids.to_pylist()]


@pytest.mark.parametrize("value", BIG)
@pytest.mark.parametrize("more", [{}, {"tags": ["a"]}], ids=["flat", "nested"])
def test_a_row_that_was_set_aside_is_read_again_with_the_same_id(tmp_path, value, more):
    row = native(event_id=value, event_type="look") | more
    path = lines(tmp_path / "events.jsonl", [row, native(event_id="e")])
    [batch] = files.read(path, "native")
    [bad] = batch.bad
    assert isinstance(bad, BadRow)
    again = read_row(
        json.loads(bad.payload), bad.number, mapping.load("native"), "f", {"event_type": "view"}
    )
    assert again.events["event_id"].to_pylist() == [str(value)]
