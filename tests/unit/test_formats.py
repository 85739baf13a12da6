import json
import tracemalloc
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files

ROCKET = "user_id,item_id,event,ts\n"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def _file(tmp_path, text):
    path = tmp_path / "events.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _read(tmp_path, text, name="retailrocket"):
    return list(files.read(_file(tmp_path, text), name))


def test_retailrocket_lines_become_events(tmp_path):
    [batch] = _read(tmp_path, ROCKET + "7,406,addtocart,1430836202\n8,9,transaction,1430838079\n")
    assert batch.bad == []
    assert batch.events.select(
        ["event_id", "customer_id", "event_type", "product_id", "occurred_at", "ingested_at"]
    ).to_pylist()[0] == {
        "event_id": "events.csv-2",
        "customer_id": "7",
        "event_type": "cart",
        "product_id": "406",
        "occurred_at": datetime(2015, 5, 5, 14, 30, 2, tzinfo=UTC),
        "ingested_at": None,
    }
    assert batch.events["event_type"].to_pylist() == ["cart", "purchase"]


def test_one_bad_line_among_good_ones_is_set_aside_with_its_number_and_text(tmp_path):
    lines = ["1,406,view,1430836202", "1,406,view,yesterday", "1,2", "3,4,view,1430838079"]
    [batch] = _read(tmp_path, ROCKET + "\n".join(lines))
    assert batch.events["customer_id"].to_pylist() == ["1", "3"]
    assert [(bad.number, bad.rule) for bad in batch.bad] == [
        (3, "occurred_at cannot be read"),
        (4, "2 fields instead of 4"),
    ]
    assert json.loads(batch.bad[0].payload)["ts"] == "yesterday"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("a,,view,2026-06-30T12:00:00Z,1", "customer_id is missing"),
        ("a,c,fly,2026-06-30T12:00:00Z,1", "event_type is unknown"),
        ("a,c,view,30.6.2026,1", "occurred_at cannot be read"),
        ("a,c,view,2026-06-30T12:00:00Z,-1", "price is below 0"),
        ("a,c\xff,view,2026-06-30T12:00:00Z,1", "customer_id is no UTF-8"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(tmp_path, line, rule):
    header = "event_id,customer_id,event_type,occurred_at,price\n"
    good = "b,c,view,2026-06-30T12:00:00+02:00,\n"
    [batch] = _read(tmp_path, (header + good + line).encode("latin-1"), "native")
    assert [bad.rule for bad in batch.bad] == [rule]
    assert batch.events["occurred_at"].to_pylist() == [datetime(2026, 6, 30, 10, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no usable line: it is empty"),
        (ROCKET, "has no usable line"),
        (
            ROCKET + "1,2,view,3\n1,2,fly,3\n1,2,fly,3\n",
            "often event_type is unknown, as in line 3",
        ),
        ("a,b\n1,2\n", "lacks visitorid, event, timestamp; or it lacks user_id.*columns: a, b"),
        ("user_id,item_id,event\n1,2,view\n", "lacks ts"),
        (b"PK\x03\x04\xff\xfe\x00", "is not a CSV file"),
        (b'user_id,item_id,event,ts\n1,"2,view,3\n', "has no usable line"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        _read(tmp_path, text)


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"There is no file .*nowhere\.csv"):
        list(files.read(tmp_path / "nowhere.csv", "native"))
    with pytest.raises(BadInput, match=r"no format 'rees'\. Formats: ga4, native, .*rees46"):
        _read(tmp_path, ROCKET, "rees")
    with pytest.raises(BadInput, match="cannot be read"):
        list(files.read(tmp_path, "native"))


def test_numbers_with_a_decimal_comma_are_read_as_the_format_says(tmp_path):
    layout = tmp_path / "own.toml"
    layout.write_text(
        'about = "A grocer."\n[[shapes]]\ndelimiter = ";"\n[shapes.events]\ncustomer_id = "c"\n'
        'event_type = { constant = "purchase" }\noccurred_at = { field = "t", time = "iso" }\n'
        'price = { field = "p", decimal = "," }\nquantity = { field = "q", decimal = "," }\n'
    )
    numbers = ["2,75;0,35", "1.234,50;2", "1\u00a0234,5;1,0", "12.345.678;3", "2.75;1", "2,7,5;1"]
    lines = "".join(f"k;2026-06-30;{pair}\n" for pair in numbers)
    [batch] = _read(tmp_path, f"c;t;p;q\n{lines}", str(layout))
    assert batch.events["price"].to_pylist() == [2.75, 1234.5, 1234.5, 12345678.0, None, None]
    assert batch.events["quantity"].to_pylist() == [1, 2, 1, 3, 1, 1]
    assert (batch.bad, batch.unreadable) == ([], [("price", 2, 6, 6)])


def test_the_last_whole_day_is_counted_in_the_zone_of_the_shop(tmp_path):
    # 1442613600 is 2015-09-18 22:00 UTC: in Berlin that day is over.
    path = _file(tmp_path, ROCKET + "1,2,view,1430836202\n1,2,view,1442613600\n")
    found = files.days(path, "retailrocket", "UTC", NOW)
    assert found == (date(2015, 5, 5), date(2015, 9, 17), 1)
    assert files.days(path, "retailrocket", "Europe/Berlin", NOW).last == date(2015, 9, 18)


def _days(tmp_path, rows_of_day, hours=tuple(range(24)), now=NOW):
    """Return the days of a file with so many rows on each day, spread over its hours."""
    lines = [
        f"1,2,view,{int(datetime(*day, hours[n % len(hours)], 30, tzinfo=UTC).timestamp())}"
        for day, rows in rows_of_day.items()
        for n in range(rows)
    ]
    return files.days(_file(tmp_path, ROCKET + "\n".join(lines)), "retailrocket", "UTC", now)


def test_stray_days_before_and_after_are_no_days_of_the_shop(tmp_path):
    strays = {(2037, 4, 8): 1, (2018, 8, 28): 2, (2017, 12, 4): 9, (2016, 6, 1): 1}
    strays |= {(2017, 12, day): 1 for day in range(6, 31)}
    usual = {(2017, 11, 30): 150, (2017, 12, 1): 250, (2017, 12, 2): 200, (2017, 12, 3): 180}
    found = _days(tmp_path, usual | strays)
    assert found == (date(2017, 11, 30), date(2017, 12, 3), 1 + 2 + 9 + 25)


def test_what_is_after_now_is_not_recorded_however_much_it_is(tmp_path):
    usual = {(2026, 6, day): 24 for day in range(1, 31)}
    found = _days(tmp_path, usual | {(2026, 7, 1): 12, (2037, 4, 8): 5000})
    assert found == (date(2026, 6, 1), date(2026, 6, 30), 5012)
    with pytest.raises(BadInput, match=r"Every event of .* is after 2026-07-01"):
        _days(tmp_path, {(2037, 4, 8): 5})


def test_a_few_rows_of_the_day_after_tell_that_a_day_was_recorded_to_its_end(tmp_path):
    usual = {(2026, 6, 1): 100, (2026, 6, 2): 100}
    office = range(8, 18)
    assert _days(tmp_path, usual, office).last == date(2026, 6, 1)
    assert _days(tmp_path, usual | {(2026, 6, 3): 3}, office).last == date(2026, 6, 2)


def test_a_shop_that_grows_begins_with_its_quiet_days(tmp_path):
    grown = {(2026, 6, day): 4 * day for day in range(1, 31)}
    assert _days(tmp_path, grown)[:2] == (date(2026, 6, 1), date(2026, 6, 30))


def test_batches_hold_all_lines_of_a_large_file_whatever_their_size(tmp_path, monkeypatch):
    lines = [f"{n},1,view,143083620{n}" for n in range(8)]
    lines[5] = "5,1"
    whole = _read(tmp_path, ROCKET + "\n".join(lines))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 40)
    batches = _read(tmp_path, ROCKET + "\n".join(lines))
    assert len(batches) > 2
    ids = [i for batch in batches for i in batch.events["event_id"].to_pylist()]
    assert ids == whole[0].events["event_id"].to_pylist()
    assert [i.split("-")[1] for i in ids] == ["2", "3", "4", "5", "6", "8", "9"]
    assert [bad.number for batch in batches for bad in batch.bad] == [7]
    assert [batch.last for batch in batches] == sorted(batch.last for batch in batches)
    assert batches[-1].last == 9


def test_of_a_parquet_file_only_what_is_being_read_is_in_memory(tmp_path):
    path = tmp_path / "events.parquet"
    rows, size = 20_000, 50
    ids = pa.array([f"{n:0{size}}" for n in range(rows)])
    kinds = pa.array(["view"] * rows)
    times = pa.array([datetime(2026, 6, 30, tzinfo=UTC)] * rows)
    names = ["event_id", "customer_id", "event_type", "occurred_at"]
    table = pa.table([ids, ids, kinds, times], names)
    pq.write_table(table, path, row_group_size=1000, compression="none", use_dictionary=False)
    tracemalloc.start()  # Arrow reads through Python, so it sees what is held of the file
    try:
        assert sum(batch.events.num_rows for batch in files.read(path, "native")) == rows
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < rows * size < path.stat().st_size / 2


def test_an_id_that_comes_again_is_counted_and_not_set_aside(tmp_path):
    text = "event_id,customer_id,event_type,occurred_at\n" + "a,c,view,2026-06-30\n" * 3
    [batch] = _read(tmp_path, text, "native")
    assert (batch.events.num_rows, batch.repeated, batch.bad) == (1, 2, [])
