"""Parquet of every type and JSON of every kind is read, or named; nothing else happens."""

import json
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from intent_tasks.errors import BadInput
from intent_tasks.formats import files
from intent_tasks.formats.jsonlines import NO_OBJECT, TOO_DEEP
from intent_tasks.stores.collecting.totals import Totals

AT = datetime(2026, 6, 30, tzinfo=UTC)
IDS = [uuid.UUID(int=n + 1) for n in range(2)]
RANDOM = uuid.UUID("0b5c7c1e-9a3f-4d2e-8f1a-6b7c8d9e0f10")


def _events(**columns):
    usual = {
        "event_id": ["a", "b"],
        "customer_id": ["c", "c"],
        "event_type": ["view", "cart"],
        "occurred_at": pa.array([AT, AT], pa.timestamp("us", "UTC")),
    }
    return pa.table(usual | columns)


def _read(tmp_path, table, name="native"):
    path = tmp_path / "events.parquet"
    pq.write_table(table, path)
    [batch] = files.read(path, name)
    return batch


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (pa.array([i.bytes for i in IDS], pa.uuid()), [str(i) for i in IDS]),
        (pa.array([i.bytes for i in IDS], pa.binary(16)), [str(i) for i in IDS]),
        (pa.array([RANDOM.bytes, b"x" * 16], pa.binary(16)), [str(RANDOM), "x" * 16]),
        (pa.array([RANDOM.bytes, b"x" * 16], pa.binary()), [str(RANDOM), "x" * 16]),
        (pa.array([RANDOM.bytes, b"ab"], pa.large_binary()), [str(RANDOM), "ab"]),
        (
            pa.array([RANDOM.bytes, b"x"], pa.binary()).dictionary_encode(),
            [str(RANDOM), "x"],
        ),
        (pa.array([b"ab", b"cd"], pa.binary(2)), ["ab", "cd"]),
        (
            pa.array(["\u00e9" * 8, "ab\n\u20ac\u20ac\u20acwxyz"]).cast(pa.binary()),
            ["\u00e9" * 8, "ab\n\u20ac\u20ac\u20acwxyz"],
        ),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
        (pa.array(["x", "y"], pa.string_view()), ["x", "y"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([1, 2], pa.uint64()), ["1", "2"]),
        (pa.array([Decimal("1"), Decimal("2")], pa.decimal256(50, 0)), ["1", "2"]),
        (pa.array([1.0, 2.0], pa.float64()), ["1", "2"]),
        (pa.array([b"x", b"y"], pa.large_binary()), ["x", "y"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_an_id_of_any_type_is_its_text(tmp_path, ids, read):
    batch = _read(tmp_path, _events(event_id=ids))
    assert (batch.events["event_id"].to_pylist(), batch.bad) == (read, [])


ODD = {
    "map": pa.array([[("a", "b")]] * 2, pa.map_(pa.string(), pa.string())),
    "struct": pa.array([{"a": "b"}] * 2),
    "list of structs": pa.array([[{"a": 1}]] * 2),
    "list of lists": pa.array([[[1]]] * 2),
    "fixed bytes": pa.array([b"\xff\xfe"] * 2, pa.binary(2)),
    "bytes": pa.array([b"\xff", b"ok"]),
    "null": pa.nulls(2),
    "time": pa.array([time(1)] * 2, pa.time32("s")),
    "long time": pa.array([time(1)] * 2, pa.time64("ns")),
    "duration": pa.array([timedelta(microseconds=1)] * 2),
    "day": pa.array([date(2027, 1, 1)] * 2),
    "decimal": pa.array([Decimal("1.5")] * 2, pa.decimal256(60, 20)),
    "half": pa.array(np.array([1.5, 2.5], np.float16)),
    "truth": pa.array([True, None]),
    "list": pa.array([["a"], None]),
    "fixed list": pa.array([[1, 2]] * 2, pa.list_(pa.int64(), 2)),
    "dictionary": pa.array([1, 2]).dictionary_encode(),
    "nanoseconds": pa.array([2**62, 1], pa.timestamp("ns")),
    "seconds": pa.array([2**40, 1], pa.timestamp("s", "+02:00")),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("column", ["channel", "price", "quantity", "ingested_at"])
def test_an_odd_type_in_an_optional_column_costs_no_event(tmp_path, kind, column):
    if (column, kind) == ("channel", "fixed bytes"):
        with pytest.raises(BadInput, match="channel is no UTF-8"):
            _read(tmp_path, _events(channel=ODD[kind]))
        return
    batch = _read(tmp_path, _events(**{column: ODD[kind]}))
    kept = batch.events.num_rows
    assert kept + len(batch.bad) == batch.rows_read == 2
    lost = sum(lost.rows for lost in batch.unreadable)
    assert lost + kept - batch.events[column].null_count >= kept - ODD[kind].null_count, "counted"


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("column", ["customer_id", "occurred_at", "event_type"])
def test_an_odd_type_in_a_column_that_events_need_is_read_or_the_file_named(tmp_path, kind, column):
    batch = None
    with suppress(BadInput):
        batch = _read(tmp_path, _events(**{column: ODD[kind]}))
    assert batch is None or batch.events.num_rows + len(batch.bad) == 2


def test_bytes_that_are_neither_text_nor_uuid_set_their_row_aside(tmp_path):
    latin = "ein schöner Titel".encode("latin-1")[:16]
    batch = _read(tmp_path, _events(channel=pa.array([latin, RANDOM.bytes])))
    assert batch.events["channel"].to_pylist() == [str(RANDOM)]
    assert [row.rule for row in batch.bad] == ["channel is no UTF-8"]


def test_no_uuid_is_nobody(tmp_path):
    nil = pa.array([uuid.UUID(int=0).bytes, RANDOM.bytes], pa.binary(16))
    batch = _read(tmp_path, _events(customer_id=nil))
    expected = [str(uuid.UUID(int=0)), str(RANDOM)]
    assert batch.events["customer_id"].to_pylist() == expected


NO_NUMBERS = {
    "duration[us]": pa.array([timedelta(seconds=19)] * 2),
    "duration[ms]": pa.array([timedelta(days=7)] * 2, pa.duration("ms")),
    "time32[ms]": pa.array([time(1)] * 2, pa.time32("ms")),
    "date32[day]": pa.array([date(2027, 1, 1)] * 2),
    "timestamp[us, tz=UTC]": pa.array([AT] * 2),
    "bool": pa.array([True, False]),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize("column", ["price", "quantity"])
def test_a_type_that_is_no_number_is_named_and_not_loaded_as_one(tmp_path, kind, column):
    batch = _read(tmp_path, _events(**{column.title(): NO_NUMBERS[kind]}))
    assert batch.events[column].null_count == 2
    reason = f"Field {column} is of type {kind}, which is no number."
    assert (batch.unreadable, batch.reasons) == ([(column, 2, 2, 1)], {column: reason})
    totals = Totals()
    totals.count_batch("a.parquet", batch)
    assert reason in totals.summary()


def test_a_type_of_an_element_of_a_list_is_named(tmp_path):
    items = [[{"item_id": "A", "price": timedelta(seconds=3)}]]
    table = pa.table({"event_timestamp": [1795168800000000], "event_name": ["purchase"],
                      "user_pseudo_id": ["u"], "items": items})  # fmt: skip
    reasons = _read(tmp_path, table, "ga4").reasons
    assert reasons == {"price": "Field items.price is of type duration[us], which is no number."}


def _wrapped(elements):
    return {"list": [{"element": element} for element in elements]}


def test_lists_that_bigquery_wraps_are_lists(tmp_path):
    parameters = [{"key": "ga_session_id", "value": {"int_value": 7}}]
    items = [{"item_id": "A", "price": 2.5}, {"item_id": "B", "price": 3.5}]
    row = {
        "event_timestamp": 1795168800000000,
        "event_name": "purchase",
        "user_pseudo_id": "u",
        "event_params": _wrapped(parameters),
        "items": _wrapped(items),
    }
    plain = row | {
        "event_params": parameters,
        "items": items,
    }
    rows = []
    later = {"event_timestamp": 1795168800000005, "items": None}
    for some in ([row, row | later], [plain, plain | later]):
        batch = _read(tmp_path, pa.Table.from_pylist(some), "ga4")
        rows.append(batch.events.to_pylist())
    assert rows[0] == rows[1]
    assert [(e["product_id"], e["session_id"]) for e in rows[0]] == [
        ("A", "7"), ("B", "7"), (None, "7"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "table", [pa.table({}), _events().slice(0, 0)], ids=["no column", "no row"]
)
def test_a_file_of_nothing_is_refused_by_name(tmp_path, table):
    with pytest.raises(BadInput, match=r"events\.parquet"):
        _read(tmp_path, table)


@pytest.mark.parametrize("other", ["customer_id", "Customer_ID "])
@pytest.mark.parametrize("end", ["parquet", "csv"])
def test_two_columns_of_one_name_are_named(tmp_path, end, other):
    table = _events().rename_columns(
        {"customer_id": "CUSTOMER_ID"} if other != "customer_id" else {}
    )
    columns = [*table.columns, table[1], table[1], table[1]]
    twice = pa.Table.from_arrays(columns, [*table.column_names, other, "more", "more"])
    path = tmp_path / f"events.{end}"
    (pq.write_table if end == "parquet" else csv.write_csv)(twice, path)
    with pytest.raises(
        BadInput, match=r"events\.\w+ is not in this .*: it names customer_id twice\."
    ):
        list(files.read(path, "native"))


def test_two_columns_of_one_name_that_nothing_reads_cost_nothing(tmp_path):
    table = _events()
    names = [*table.column_names, "more", "more"]
    twice = pa.Table.from_arrays([*table.columns, table[0], table[0]], names)
    assert _read(tmp_path, twice).events.num_rows == 2


GOOD = {"event_id": "a", "customer_id": "c", "event_type": "view", "occurred_at": "2026-06-30"}


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ('"query_text": "\\ud83d shoes"', "query_text is no UTF-8"),
        ('"query_text": "\\udc00"', "query_text is no UTF-8"),
        ('"customer_id": "\\ud83d"', "customer_id is no UTF-8"),
        ('"query_text": "a\0b"', NO_OBJECT),
        ('"query_text": "a\\u0000b"', "query_text holds a NUL"),
        ('"more": ' + "[" * 5000 + "]" * 5000, None),
        ('"more": ' + '{"a":' * 5000 + "1" + "}" * 5000, None),
        ('"event_id": ' + "[" * 5000 + "]" * 5000, TOO_DEEP),
        ('"more": ' + "9" * 5000, None),
        ('"price": ' + "9" * 5000, None),
        ('"price": 1e999', None),
        ('"price": NaN', None),
        ('"price": -Infinity', None),
        ('"price": 1, "price": 2', None),
        ('"event_id": "b", "event_id": "z"', None),
        ('"more": "\\ud83d"', None),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
@pytest.mark.parametrize("before", [0, 60])
def test_a_line_of_json_is_an_event_or_set_aside(tmp_path, text, bad, before):
    first = "".join(json.dumps(GOOD | {"event_id": f"g{n}"}) + "\n" for n in range(before))
    odd = json.dumps(GOOD)[:-1] + ", " + text + "}\n"
    path = tmp_path / "events.jsonl"
    path.write_text(first + odd + json.dumps(GOOD | {"event_id": "z9"}) + "\n")
    [batch] = files.read(path, "native")
    expected = [(before + 1, bad)] if bad else []
    if len(text) > 4000:  # what is too deep depends on where it is
        assert batch.events.num_rows + len(batch.bad) == before + 2
        assert all(row.number == before + 1 for row in batch.bad)
        return
    assert [(row.number, row.rule) for row in batch.bad] == expected
    assert batch.events.num_rows == before + 2 - len(expected)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_json_may_end_in_any_way(tmp_path, end):
    path = tmp_path / "events.jsonl"
    lines = [json.dumps(GOOD | {"event_id": f"e{n}"}) for n in range(3)]
    path.write_bytes(end.join(["\ufeff" + lines[0], "broken", *lines[1:]]).encode())
    [batch] = files.read(path, "native")
    assert batch.events["event_id"].to_pylist() == ["e0", "e1", "e2"]
    assert [row.number for row in batch.bad] == [2]
