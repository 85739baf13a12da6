"""Each line of delimited text is an event or is set aside, whatever its quotation marks say."""

import csv
import io

import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files
from intent_tasks.formats.quotations import AMBIGUOUS, STRAY

COLUMNS = "event_id,customer_id,event_type,product_id,query_text,price,occurred_at"
AT = "2026-06-30T10:00:00Z"


def line(number, query=""):
    return f"e{number},c{number},search,p,{query},1.5,{AT}"


def read(tmp_path, lines, columns=COLUMNS, end="\n"):
    path = tmp_path / "events.csv"
    path.write_text(end.join([columns, *lines]) + end, newline="")
    found = list(files.read(path, "native"))
    ids = [name for batch in found for name in batch.events["event_id"].to_pylist()]
    bad = {row.number: row.rule for batch in found for row in batch.bad}
    rows = sum(batch.rows_read for batch in found)
    return ids, bad, rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [16 << 20, 500, 137])
@pytest.mark.parametrize("second", [None, 12, 13, 25])
def test_a_stray_mark_costs_its_line_and_no_other(tmp_path, monkeypatch, end, block_bytes, second):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    stray = {3, second} - {None}
    lines = [line(n, '"24 inch' if n in stray else "") for n in range(30)]
    ids, bad, rows = read(tmp_path, lines, end=end)
    assert ids == [f"e{n}" for n in range(30) if n not in stray]
    assert bad == dict.fromkeys((n + 2 for n in sorted(stray)), STRAY)
    assert rows == 30


@pytest.mark.parametrize(
    "text",
    ['24" inch', '24 inch"', 'a "b" c', '"24"" inch"', '"24 inch"', '"a, b"', '"24" wide', '""'],
)
def test_a_mark_that_is_closed_or_inside_a_field_is_text(tmp_path, text):
    ids, bad, _ = read(tmp_path, [line(0), line(1, text), line(2)])
    assert (ids, bad) == (["e0", "e1", "e2"], {})


@pytest.mark.parametrize("block_bytes", [16 << 20, 300])
def test_texts_of_several_lines_are_one_record(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    text = 'Great,\n\nreally "great",\nfor 3,50, and, more, commas, here,\r\nbye'
    path = tmp_path / "events.csv"
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    names = ["review_text", "event_id", "customer_id", "event_type", "occurred_at", "query_text"]
    writer.writerow(names)
    for n in range(5):
        writer.writerow([text, f"e{n}", f"c{n}", "review", AT, text])
        writer.writerow([None, f"v{n}", f"c{n}", "view", AT, None])
    path.write_text(buffer.getvalue(), newline="")
    found = list(files.read(path, "native"))
    rows = [row for batch in found for row in batch.events.to_pylist()]
    assert [row["event_id"] for row in rows] == [f"{k}{n}" for n in range(5) for k in "ev"]
    assert (
        {row["review_text"] for row in rows} == {row["query_text"] for row in rows} == {text, None}
    )
    assert [batch.bad for batch in found] == [[]] * len(found)
    last = found[-1].last
    assert last == buffer.getvalue().count("\n"), "rows are numbered by the lines of the file"


def test_two_marks_that_would_close_each_other_are_two_lines(tmp_path):
    lines = [line(0), line(1, '"24 inch'), line(2, '30 inch"'), line(3)]
    ids, bad, _ = read(tmp_path, lines)
    assert (ids, bad) == (["e0", "e2", "e3"], {3: STRAY})


def test_lines_of_the_right_width_are_lines_though_none_of_them_is_an_event(tmp_path):
    broken = 'e2,c2,search,p,30 inch",1.5,never'
    ids, bad, _ = read(tmp_path, [line(0), line(1, '"24 inch'), broken, line(3)])
    assert ids == ["e0", "e3"]
    assert bad == {3: STRAY, 4: "occurred_at cannot be read"}


def test_events_inside_a_text_are_set_aside_with_it(tmp_path):
    text = f'"first\n{line(7)}\nlast"'
    ids, bad, rows = read(tmp_path, [line(0), *line(1, text).split("\n"), line(2)])
    assert ids == ["e0", "e2"]
    assert bad == dict.fromkeys((3, 4, 5), AMBIGUOUS)
    assert rows == 5


def test_a_text_of_several_lines_that_is_not_closed_right_is_set_aside_by_lines(tmp_path):
    ids, bad, _ = read(
        tmp_path, [line(0), 'e1,c1,review,p,"it is "so', f'so" good,1,{AT}', line(2)]
    )
    assert ids == ["e0", "e2"]
    assert bad == {3: "5 fields instead of 7", 4: "3 fields instead of 7"}


def test_empty_lines_are_no_rows_but_count_as_lines(tmp_path):
    ids, bad, rows = read(tmp_path, [line(0), "", "", "short", "", line(1)])
    assert (ids, bad, rows) == (["e0", "e1"], {5: "1 fields instead of 7"}, 3)


def test_a_file_of_stray_marks_alone_is_refused_by_name(tmp_path):
    with pytest.raises(BadInput, match=r"events\.csv has no usable line.*opened and not closed"):
        read(tmp_path, [line(n, '"') for n in range(20)])
