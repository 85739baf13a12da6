"""Snapshots come back as they were written, or are refused by name."""

import resource
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from intent_tasks.definition import Definition
from intent_tasks.errors import BadInput
from intent_tasks.stores import score_files, snapshots

DAY = date(2026, 6, 10)
NEXT = DAY + timedelta(days=1)
DEFINITION = Definition(history_days=2)
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def arrivals(*ids, at=NOON, ingested=None):
    rows = [
        {
            "customer_key": f"{n:08x}".ljust(32, "0"),
            "event_id": name,
            "event_type": "view",
            "occurred_at": at,
            "ingested_at": ingested or at,
        }
        for n, name in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, snapshots.SCHEMA)


def write(home, day, events):
    return snapshots.write_day(home, day, events, bucket_count=2, warehouse_rows=events.num_rows)


def read(home, day=NEXT, buckets=(0, 1)):
    return snapshots.read(home, DEFINITION, day, buckets)


def test_what_was_written_is_read_whole_and_per_bucket(tmp_path):
    events = arrivals("e0", "e1", "e2", "e3")
    write(tmp_path, DAY, events)
    write(tmp_path, NEXT, arrivals())
    assert read(tmp_path).equals(events)
    parts = [read(tmp_path, buckets=[b])["event_id"].to_pylist() for b in (0, 1)]
    assert parts == [["e0", "e2"], ["e1", "e3"]]
    assert snapshots.days(tmp_path) == [DAY, NEXT]


def test_columns_that_files_of_an_earlier_release_lack_are_null(tmp_path, monkeypatch):
    events = arrivals("e0", "e1")
    earlier = snapshots.SCHEMA
    for name in ("title", "picture"):
        earlier = earlier.remove(earlier.get_field_index(name))
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "SCHEMA", earlier)
        write(tmp_path, DAY, events.select(earlier.names))
    write(tmp_path, NEXT, arrivals("e2"))
    assert read(tmp_path).column("title").to_pylist() == [None] * 3
    assert read(tmp_path).schema == snapshots.SCHEMA


def test_writing_again_gives_the_same_digest_and_leaves_no_rubbish(tmp_path):
    first = write(tmp_path, DAY, arrivals("e0", "e1"))
    assert write(tmp_path, DAY, arrivals("e0", "e1")) == first
    write(tmp_path, DAY, arrivals("e0", "e2"))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_an_event_that_is_sent_on_two_days_counts_once(tmp_path):
    late = NOON + timedelta(days=1)
    write(tmp_path, DAY, arrivals("e0", "e1"))
    write(tmp_path, NEXT, arrivals("e0", ingested=late))
    got = read(tmp_path)
    assert got["event_id"].to_pylist() == ["e0", "e1"]
    assert got["ingested_at"].to_pylist() == [NOON, NOON], "the first arrival counts"


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        ({"price": 10.0}, {"price": 10.0}, 0),
        ({"price": 10.0}, {"price": 1000.0}, 1),
        ({"price": None}, {"price": 1000.0}, 1),
        ({"quantity": 1}, {"quantity": 2}, 1),
        ({"device": "phone"}, {"device": "laptop"}, 0),
    ],
)
def test_a_later_copy_with_another_price_is_counted_in_the_log(
    tmp_path, caplog, first, later, expected
):
    late = NOON + timedelta(days=1)
    for day, changes, at in ((DAY, first, NOON), (NEXT, later, late)):
        rows = [row | changes for row in arrivals("e0", "e1", ingested=at).to_pylist()[:1]]
        write(tmp_path, day, pa.Table.from_pylist(rows, snapshots.SCHEMA))
    [row] = read(tmp_path).to_pylist()
    assert {name: row[name] for name in first} == first
    messages = [f"{n} later copies" for n in (expected,) if n]
    assert [record.getMessage()[:14] for record in caplog.records] == messages


@pytest.mark.parametrize(
    "other", [{"customer_key": "bbbb"}, {"event_type": "purchase"}, {"product_id": "p9"}]
)
def test_an_id_that_stands_for_another_event_on_another_day_loses_none(tmp_path, other):
    late = NOON + timedelta(days=1)
    write(tmp_path, DAY, arrivals("e0", "e1"))
    rows = arrivals("e0", ingested=late).to_pylist()
    write(tmp_path, NEXT, pa.Table.from_pylist([rows[0] | other, rows[0]], snapshots.SCHEMA))
    got = read(tmp_path).to_pylist()
    assert sorted(row["event_id"] for row in got) == ["e0", "e0", "e1"]
    [found] = [row for row in got if all(row[n] == value for n, value in other.items())]
    assert found["ingested_at"] == late


def test_events_outside_the_days_are_not_read(tmp_path):
    write(tmp_path, DAY, arrivals("old", at=NOON - timedelta(days=1)))
    write(tmp_path, NEXT, arrivals("future", at=NOON + timedelta(days=2)))
    assert read(tmp_path).num_rows == 0


@contextmanager
def most_bytes_of_a_file(most):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_whose_last_bytes_have_no_room_leaves_no_rubbish(tmp_path):
    with most_bytes_of_a_file(100), pytest.raises(OSError, match="too large"):
        write(tmp_path, DAY, arrivals("a", "b"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_file_is_refused_by_name(tmp_path):
    written = write(tmp_path, DAY, arrivals("e0"))
    write(tmp_path, NEXT, arrivals())
    damaged = written["files"][0]["path"]
    (path,) = tmp_path.rglob(damaged)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=damaged):
        read(tmp_path)


def test_a_missing_day_is_named(tmp_path):
    write(tmp_path, DAY, arrivals("e0"))
    with pytest.raises(BadInput, match=str(NEXT)):
        read(tmp_path)


def test_scores_that_are_not_those_of_the_ledger_are_refused(tmp_path):
    scores = score_files.SCHEMA.empty_table()
    digest = score_files.write(tmp_path, DAY, 0, scores)
    assert score_files.read(tmp_path, DAY, 0, digest).equals(scores)
    with pytest.raises(BadInput, match="not those in the ledger"):
        score_files.read(tmp_path, DAY, 0, "0" * 64)
    with pytest.raises(BadInput, match="no scores of bucket 1"):
        score_files.read(tmp_path, DAY, 1)
