"""Rows with lists and objects in them, as JSON lines and as Parquet."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files
from tests.unit.own_format import PLAIN, layout, lines, view

CLICKS = {
    "customer_id": "session",
    "event_type": {"field": "events.type", "map": {"clicks": "view", "orders": "purchase"}},
    "product_id": "events.aid",
    "occurred_at": {"field": "events.ts", "time": "milliseconds"},
}


def inside(events, outer):
    """Return a format whose fields of `events` are in one more object."""
    return json.loads(json.dumps(events).replace("events.", f"{outer}.events."))


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


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"user": [{"id": "u1"}]}, "the field user is a list: name it as `each`, or join it"),
        ({"user": "u1"}, "the field user is no object"),
        ({"user": {"id": {"is": "u1"}}}, "the field user.id is an object: name a field inside it"),
        ({"user": []}, "customer_id is missing"),
    ],
)
@pytest.mark.parametrize("before", [0, 60], ids=["first", "after a sample"])
def test_json_of_another_kind_than_the_format_says_is_set_aside(tmp_path, changes, rule, before):
    own = layout(tmp_path, PLAIN)
    rows = [view()] * before + [view(**changes), view()]
    [batch] = files.read(lines(tmp_path / "log.json", rows), own)
    assert [(row.number, row.rule) for row in batch.bad] == [(before + 1, rule)]
    assert batch.events.num_rows == before + 1
    assert json.loads(batch.bad[0].payload) == view(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"x"\n', r"the line is no JSON object, as in line 1"),
        ("7\n", r"the line is no JSON object, as in line 1"),
        (json.dumps([view(), view()]), r"is a JSON array; one object a line is needed.*jq -c"),
        (json.dumps([view()], indent=1), r"is a JSON array; one object a line is needed.*jq -c"),
        (json.dumps(view(user=[{}])), r"the field user is a list: name it as `each`"),
    ],
)
def test_json_that_is_not_one_object_a_line_is_refused_with_what_to_do(tmp_path, text, message):
    path = tmp_path / "log.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        list(files.read(path, layout(tmp_path, PLAIN)))


def test_the_elements_of_a_list_may_be_what_an_event_is_about(tmp_path):
    own = layout(tmp_path, PLAIN, each="item")
    [batch] = files.read(lines(tmp_path / "log.jsonl", [view(item=["a", "b"]), view(item=7)]), own)
    assert batch.events["product_id"].to_pylist() == ["a", "b", "7"]


NUMBERS = [10.0, 10.5, 7, 1e15, 1e20, 12345678901.5, 0.00001, -3.0, 2.0**53]
NAMES = ["10", "10.5", "7", "1000000000000000", "1e+20", "1.23456789015e+10", "0.00001", "-3",
         "9007199254740992"]  # fmt: skip


@pytest.mark.parametrize("more", [[], ["A7"], [True]], ids=["numbers", "a text", "a truth"])
def test_a_number_is_the_same_id_whatever_else_its_block_holds(tmp_path, more):
    rows = [view(item=item) for item in [*NUMBERS, *more]]
    for some in (rows, [view(item=1.5)] * 60 + rows):
        [batch] = files.read(lines(tmp_path / "log.jsonl", some), layout(tmp_path, PLAIN))
        assert batch.events["product_id"].to_pylist()[-len(rows) :][: len(NAMES)] == NAMES
    pq.write_table(pa.Table.from_pylist(rows[: len(NUMBERS)]), tmp_path / "log.parquet")
    [batch] = files.read(tmp_path / "log.parquet", layout(tmp_path, PLAIN))
    assert batch.events["product_id"].to_pylist() == NAMES
    for item, name in zip(NUMBERS, NAMES, strict=True):
        [batch] = files.read(
            lines(tmp_path / "one.jsonl", [view(item=item)]), layout(tmp_path, PLAIN)
        )
        assert batch.events["product_id"].to_pylist() == [name]


@pytest.mark.parametrize("outer", [None, "basket"], ids=["plain", "inside another"])
def test_a_list_that_is_not_named_as_each_is_named_in_parquet_too(tmp_path, outer):
    events, name = (inside(CLICKS, outer), "basket.events") if outer else (CLICKS, "events")
    path = tmp_path / "clicks.parquet"
    pq.write_table(pa.Table.from_pylist([session(1, 2, outer)]), path)
    with pytest.raises(BadInput, match=f"it has a list in {name}, to be named as `each`"):
        list(files.read(path, layout(tmp_path, events)))
    [batch] = files.read(path, layout(tmp_path, events, each=name))
    assert batch.events.num_rows == 2
