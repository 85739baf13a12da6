"""A value that an event can do without costs the value, never the event, and is counted."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.formats import files

HEADER = (
    "event_id,customer_id,event_type,occurred_at,product_id,price,quantity,rating,ingested_at\n"
)
NAMES = HEADER.strip().split(",")
GOOD = ["e1", "c", "purchase", "2026-06-30T12:00:00Z", "p", "1.5", "2", "5", "2026-06-30T12:00:01Z"]

UNREADABLE = [
    ("price", "$19.99x"),
    ("price", "cheap"),
    ("price", "NaN"),
    ("price", "inf"),
    ("price", "1e999"),
    ("quantity", "NaN"),
    ("quantity", "two"),
    ("rating", "five"),
    ("ingested_at", "yesterday"),
]


def _with(column, value):
    return [value if name == column else usual for name, usual in zip(NAMES, GOOD, strict=True)]


@pytest.mark.parametrize(("column", "value"), UNREADABLE)
@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_an_optional_value_that_cannot_be_read_is_null_and_counted(tmp_path, column, value, end):
    path = tmp_path / f"events.{end}"
    rows = [_with(column, value), ["e2", *GOOD[1:]]]
    if end == "csv":
        path.write_text(HEADER + "".join(",".join(row) + "\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(dict(zip(NAMES, r, strict=True))) + "\n" for r in rows))
    [batch] = files.read(path, "native")
    assert batch.bad == []
    [lost, readable] = batch.events.to_pylist()
    assert (lost.pop(column), lost.pop("event_id")) == (None, "e1")
    assert lost.items() <= readable.items(), "nothing else of the event is lost"
    assert batch.unreadable == [(column, 1, 2, 2 if end == "csv" else 1)]


@pytest.mark.parametrize("column", ["event_id", "customer_id", "event_type", "occurred_at"])
def test_a_value_that_an_event_needs_still_sets_the_row_aside(tmp_path, column):
    path = tmp_path / "events.csv"
    bad = "never" if column == "occurred_at" else ""
    path.write_text(HEADER + ",".join(_with(column, bad)) + "\n" + ",".join(["e2", *GOOD[1:]]))
    [batch] = files.read(path, "native")
    assert batch.events["event_id"].to_pylist() == ["e2"]
    assert [row.number for row in batch.bad] == [2]
    assert batch.unreadable == []


def test_not_a_number_in_parquet_is_null_and_the_file_is_read(tmp_path):
    rows = [
        dict(zip(NAMES, ["e1", *GOOD[1:]], strict=True)) | {"event_id": f"e{n}"} for n in range(50)
    ]
    table = pa.Table.from_pylist(rows)
    nan = pa.array([float("nan")] * 49 + [2.5])
    for name in ("price", "quantity"):
        table = table.set_column(NAMES.index(name), name, nan)
    pq.write_table(table, tmp_path / "events.parquet")
    [batch] = files.read(tmp_path / "events.parquet", "native")
    assert (batch.bad, batch.events["price"].null_count) == ([], 49)
    assert batch.unreadable == [("quantity", 49, 50, 1), ("price", 49, 50, 1)]


def test_an_object_in_an_optional_column_of_parquet_is_null_and_counted(tmp_path):
    rows = [dict(zip(NAMES, GOOD, strict=True))]
    table = pa.Table.from_pylist(rows).append_column("channel", pa.array([{"a": "b"}]))
    pq.write_table(table, tmp_path / "events.parquet")
    [batch] = files.read(tmp_path / "events.parquet", "native")
    assert batch.events["channel"].to_pylist() == [None]
    assert batch.unreadable == [("channel", 1, 1, 1)]
