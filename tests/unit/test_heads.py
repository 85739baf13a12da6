"""Delimited files as spreadsheets write them: their head shows how they are to be read."""

import codecs

import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import files
from tests.unit.own_format import PLAIN, layout

NAMES = ("event_id", "customer_id", "event_type", "occurred_at", "price", "query_text")
ROWS = [
    ("e1", "c1", "view", "2026-06-30T12:00:00Z", "1.5", "blå; grøn"),
    ("e2", "c2", "search", "2026-06-30T13:00:00Z", "", "a,b"),
]


def written(delimiter, *, before="", end="\n"):
    """Return a file of two events as text, each text of more than one word in quotation marks."""
    lines = [delimiter.join([*row[:-1], f'"{row[-1]}"']) for row in (NAMES, *ROWS)]
    return before + "".join(line + end for line in lines)


def read(path, name="native"):
    """Return the events of a file, columns of `NAMES`, and the lines that they begin in."""
    [batch] = files.read(path, name)
    assert batch.bad == []
    return batch.events.select(NAMES).to_pylist(), batch.numbers.to_pylist()


@pytest.fixture
def plain(tmp_path):
    """Return the events of the plainest file of them."""
    path = tmp_path / "plain.csv"
    path.write_text(written(","))
    rows, numbers = read(path)
    assert (rows[0]["query_text"], numbers) == ("blå; grøn", [2, 3])
    return rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("before", "skipped"),
    [
        ("", 0),
        ("sep={}\n", 1),
        ('"sep={}"\n', 1),
        ("SEP={}\n\n", 2),
        ("\n \n\n", 3),
        (";;;\n", 1),
        (",,\n\t\n", 2),
    ],
)
def test_the_header_proves_the_delimiter(tmp_path, plain, before, skipped, delimiter, end):
    path = tmp_path / "events.csv"
    before = before.format(delimiter).replace("\n", end)
    path.write_bytes(written(delimiter, before=before, end=end).encode())
    assert read(path) == (plain, [skipped + 2, skipped + 3])


@pytest.mark.parametrize("name", ["events.tsv", "events.txt", "events.csv"])
@pytest.mark.parametrize("delimiter", ["\t", ";", ","])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_byte_order_mark_proves_the_encoding(tmp_path, plain, name, delimiter, encoding):
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    path = tmp_path / name
    data = written(delimiter, end="\r\n").encode(encoding)
    path.write_bytes(marks.get(encoding, codecs.BOM_UTF8) + data)
    assert read(path) == (plain, [2, 3])


def test_a_byte_order_mark_counts_more_than_the_encoding_of_the_format(tmp_path):
    path = tmp_path / "events.csv"
    name = layout(tmp_path, PLAIN, encoding="latin-1")
    path.write_bytes(codecs.BOM_UTF8 + "user.id,item,price,at\nJürg,A,1,2026-06-30\n".encode())
    [batch] = files.read(path, name)
    assert batch.events["customer_id"].to_pylist() == ["Jürg"]


def test_the_delimiter_of_the_format_comes_first(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user.id|item|price|at\nu1|A;B,C|1|2026-06-30\n")
    [batch] = files.read(path, layout(tmp_path, PLAIN, delimiter="|"))
    assert batch.events["product_id"].to_pylist() == ["A;B,C"]


def test_a_file_without_header_proves_no_delimiter(tmp_path):
    path = tmp_path / "yoochoose-clicks.dat"
    path.write_text("\n1;2014-04-07T10:51:09.277Z;214536502;0\n")
    with pytest.raises(BadInput, match="has 1 columns instead of"):
        list(files.read(path, "yoochoose"))
    path.write_text("sep=;\n\n1;2014-04-07T10:51:09.277Z;214536502;0\n")
    [batch] = files.read(path, "yoochoose")
    assert (batch.events["customer_id"].to_pylist(), batch.numbers.to_pylist()) == (["1"], [3])


def test_a_line_that_is_no_text_costs_no_other_line(tmp_path):
    path = tmp_path / "events.csv"
    path.write_bytes(written(";").encode() + b"e3;c\xff;view;2026-06-30T12:00:00Z;;\n")
    [batch] = files.read(path, "native")
    assert [row.number for row in batch.bad] == [4]
    path.write_bytes(b"\n\xff" + written(";").encode())
    with pytest.raises(BadInput, match="is not a CSV file in the encoding"):
        list(files.read(path, "native"))


@pytest.mark.parametrize("cut", [b"\0", b"\xd8"])
def test_utf_16_that_is_cut_is_refused_by_name(tmp_path, cut):
    path = tmp_path / "events.txt"
    path.write_bytes(codecs.BOM_UTF16_LE + written("\t").encode("utf-16-le") + cut)
    with pytest.raises(BadInput, match=r"events\.txt is not a CSV file"):
        list(files.read(path, "native"))


def test_a_file_of_another_format_is_refused_as_its_own_delimiter_shows_it(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("a;b;c\n1;2;3\n")
    with pytest.raises(BadInput, match=r"it lacks event_id, customer_id.* Its columns: a;b;c"):
        list(files.read(path, "native"))
