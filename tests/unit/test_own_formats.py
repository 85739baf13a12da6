"""Files in formats that a shop wrote itself: what fits them, and what is said of what does not."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.formats import blocks, files

CLICKS = {
    "customer_id": "session",
    "event_type": {"field": "events.type", "map": {"clicks": "view", "orders": "purchase"}},
    "product_id": "events.aid",
    "occurred_at": {"field": "events.ts", "time": "milliseconds"},
}


def _toml(value):
    """Return a value as TOML writes it; TOML knows JSON's texts, numbers and lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def layout(folder, events, **more):
    """Write a format of one shape to a file; return its name."""
    path = folder / "ours.toml"
    shape = "".join(f"{name} = {_toml(value)}\n" for name, value in more.items())
    path.write_text(f'about = "Ours."\n[[shapes]]\n{shape}events = {_toml(events)}\n')
    return str(path)


def inside(events, outer):
    """Return a format whose fields of `events` are in one more object."""
    return json.loads(json.dumps(events).replace("events.", f"{outer}.events."))


def lines(path, rows):
    """Write JSON lines; return their file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def session(number, count, outer=None):
    """Return a session with so many events, which may be in one more object."""
    clicks = [{"aid": n, "ts": 1659304800025 + n, "type": "clicks"} for n in range(count)]
    row = {"events": clicks}
    return {"session": number, **({outer: row} if outer else row)}


USUAL = pa.default_memory_pool()
COUNTED = pa.proxy_memory_pool(USUAL)  # never let go of: arrays may outlive a test


def most_memory(read):
    """Return the most bytes that Arrow held so far while something was read by this."""
    pa.set_memory_pool(COUNTED)
    try:
        read()
    finally:
        pa.set_memory_pool(USUAL)
    return COUNTED.max_memory()


@pytest.mark.parametrize("outer", [None, "basket"], ids=["plain", "inside another"])
def test_a_list_takes_memory_by_its_length_and_not_by_its_square(tmp_path, outer):
    events, each = (inside(CLICKS, outer), "basket.events") if outer else (CLICKS, "events")
    own = layout(tmp_path, events, each=each)
    path = lines(tmp_path / "clicks.jsonl", [session(7, 3000, outer), session(8, 0, outer)])
    found = []
    assert most_memory(lambda: found.extend(files.read(path, own))) < 20e6
    [batch] = found
    assert batch.events["product_id"].to_pylist() == [str(n) for n in range(3000)]
    assert batch.events["customer_id"].unique().to_pylist() == ["7"]
    assert [row.rule for row in batch.bad] == ["event_type is missing"]


def test_rows_with_long_lists_are_taken_in_parts(tmp_path, monkeypatch):
    own = layout(tmp_path, CLICKS, each="events")
    rows = [session(n, 4) for n in range(5)] + [session(5, 40), session(6, 1)]
    path = lines(tmp_path / "clicks.jsonl", rows)
    path.write_text("no JSON\n" + path.read_text() + "nor this\n")
    [whole] = files.read(path, own)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 10)
    parts = list(files.read(path, own))
    assert pa.concat_tables([part.events for part in parts]).equals(whole.events)
    assert [row for part in parts for row in part.bad] == whole.bad
    assert [part.events.num_rows for part in parts] == [8, 12, 40, 1]
    assert [part.last for part in parts] == [3, 6, 7, 9]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "clicks.parquet")
    same = list(files.read(tmp_path / "clicks.parquet", own))
    assert [part.last for part in same] == [2, 5, 6, 7]
