"""Files in formats that a shop wrote itself: which files fit, and the messages about the others."""

import json

import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import files, mapping
from tests.unit.own_format import layout, lines

SOLD = {
    "customer_id": "who",
    "event_type": {"constant": "purchase"},
    "occurred_at": {"field": "at", "time": ["iso", "%m/%d/%Y %H:%M"]},
}


@pytest.mark.parametrize(
    ("times", "right"),
    [
        (["03/04/2026 10:00", "13/04/2026 10:00"], False),
        (["03/04/2026 10:00", "12/04/2026 10:00"], True),
        (["03/04/2026 10:00", "13/04/2026 10:00", "04/13/2026 10:00"], True),
        (["03/04/2026 10:00", "never"], True),
    ],
)
def test_a_file_with_day_and_month_exchanged_is_refused_where_that_is_sure(tmp_path, times, right):
    path = tmp_path / "log.csv"
    path.write_text("who,at\n" + "".join(f"a,{time}\n" for time in times))
    own = layout(tmp_path, SOLD)
    if right:
        [batch] = files.read(path, own)
        assert batch.events["occurred_at"][0].as_py().month == 3
        return
    with pytest.raises(BadInput, match=r"times as %d/%m/%Y %H:%M, .*copy one and change it"):
        list(files.read(path, own))
    other = json.loads(json.dumps(SOLD).replace("%m/%d", "%d/%m"))
    [batch] = files.read(path, layout(tmp_path, other))
    assert [at.month for at in batch.events["occurred_at"].to_pylist()] == [4, 4]


def test_a_format_cannot_ask_for_both_orders_of_day_and_month(tmp_path):
    both = SOLD | {"occurred_at": {"field": "at", "time": ["%d.%m.%Y", "%m.%d.%Y"]}}
    with pytest.raises(BadInput, match=r"no row shows which one is right; make two formats"):
        list(files.read(tmp_path / "log.csv", layout(tmp_path, both)))


def test_what_is_joined_must_be_there_whole_for_a_file_to_fit(tmp_path):
    joined = SOLD | {"event_id": {"fields": ["order", "item"], "join": "-"}}
    own = layout(tmp_path, joined)
    path = tmp_path / "log.csv"
    path.write_text("who,at,order\na,2026-06-30,1\n")
    with pytest.raises(BadInput, match=r"it lacks item\. Its columns: who, at, order"):
        list(files.read(path, own))
    path.write_text("who,at,order,item\na,2026-06-30,1,2\na,2026-06-30,,2\n")
    [batch] = files.read(path, own)
    assert batch.events["event_id"].to_pylist() == ["1-2"]
    assert [row.rule for row in batch.bad] == ["event_id is missing"]
    first_of = layout(tmp_path, joined | {"event_id": {"fields": ["item", "order"]}})
    path.write_text("who,at,order\na,2026-06-30,1\n")
    [batch] = files.read(path, first_of)
    assert batch.events["event_id"].to_pylist() == ["1"]


@pytest.mark.parametrize(
    ("events", "more", "message"),
    [
        (
            {"occurred_at": {"field": "at", "time": "iso", "zone": "Europe/Pari"}},
            {},
            r"shapes\.1\.events\.occurred_at\.zone: there is no time zone 'Europe/Pari'",
        ),
        (
            {"event_type": {"field": "what", "patterns": {"(": "view"}}},
            {},
            r"event_type\.patterns: '\(' is no regular expression: .*missing \)",
        ),
        ({}, {"delimiter": "::"}, r"shapes\.1\.delimiter: '::' is not one character"),
        ({"price": {"constant": "free"}}, {}, r"shapes\.1: events\.price: 'free' is not of the ty"),
        (
            {},
            {"products": {"product_id": "sku", "price": {"constant": "1,5"}}},
            r"products\.price: '1,5' is not",
        ),
        ({}, {"header": ["who", "at", "who"]}, r"shapes\.1: header names who twice\."),
        ({"product_id": "sku"}, {"header": ["who", "at"]}, r"header does not name sku\."),
        (
            {"occurred_at": {"field": "at", "time": "unix"}},
            {},
            r"occurred_at: 'unix' is none of iso, seconds, milliseconds, microseconds, nor",
        ),
        ({"occurred_at": {"field": "at", "time": "%H:%M:%S.%f"}}, {}, r"%f' is none of .*%f: iso"),
        ({"occurred_at": {"field": "at", "time": "%Y-%m-%d %Z"}}, {}, r"%Z: %z where times name"),
        (
            {},
            {"products": {"product_id": "sku", "in_stock": "left"}},
            r"products: files fill no column in_stock; columns: brand, category_path",
        ),
        ({}, {"shape": 1}, r"shapes\.1\.shape: there is no such setting\.$"),
    ],
)
def test_a_mistake_in_a_format_is_named_with_its_place(tmp_path, events, more, message):
    with pytest.raises(BadInput, match=message):
        mapping.load(layout(tmp_path, SOLD | events, **more))


def test_a_format_without_shapes_says_what_it_needs(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text('about = "Ours."\nshapes = []\n')
    with pytest.raises(BadInput, match=r"shapes: give one \[\[shapes\]\] at least\.$"):
        mapping.load(str(path))
    path.write_text('about = "Ours."\n')
    with pytest.raises(BadInput, match=r"shapes: is missing\.$"):
        mapping.load(str(path))


def test_a_first_line_that_names_a_field_twice_is_refused_where_the_field_is_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("who,at,x,x\na,2026-06-30,1,2\n")
    [batch] = files.read(path, layout(tmp_path, SOLD))
    assert batch.events.num_rows == 1
    path.write_text("who,at,who\na,2026-06-30,b\n")
    with pytest.raises(BadInput, match="it names who twice"):
        list(files.read(path, layout(tmp_path, SOLD)))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_may_end_in_any_way(tmp_path, end):
    path = tmp_path / "log.csv"
    path.write_bytes(end.join(["who,at", "a,2026-06-30", "b", "c,2026-06-30", ""]).encode())
    [batch] = files.read(path, layout(tmp_path, SOLD))
    assert batch.events["customer_id"].to_pylist() == ["a", "c"]
    assert [row.number for row in batch.bad] == [3]


@pytest.mark.parametrize(
    ("way", "good", "bad"),
    [
        ("%Y-%m-%d", "2019-03-01", "2019-02-30"),
        ("%Y%m%d", "20190301", "20190229"),
        ("%d.%m.%y %H:%M", "1.3.19 10:00", "31.04.19 10:00"),
        ("%d %b %Y", "01 March 2019", "30 Feb 2019"),
        ("%m/%d/%Y %I:%M %p", "03/01/2019 1:00 PM", "02/29/2019 1:00 PM"),
        ("%Y-%m-%d %H:%M %z", "2019-03-01 03:00 +05:00", "2019-02-29 03:00 +05:00"),
        ("%Y-%m-%d%z", "2019-03-01Z", "2019-02-29Z"),
        ("%D", "03/01/19", "03/32/19"),
    ],
)
def test_a_day_that_no_month_has_cannot_be_read(tmp_path, way, good, bad):
    own = layout(tmp_path, SOLD | {"occurred_at": {"field": "at", "time": way}})
    path = tmp_path / "log.csv"
    path.write_text(f"who,at\na,{good}\nb,{bad}\n")
    [batch] = files.read(path, own)
    assert batch.events["customer_id"].to_pylist() == ["a"]
    assert [row.rule for row in batch.bad] == ["occurred_at cannot be read"]


def test_seconds_before_1970_are_a_time_before_1990(tmp_path):
    own = layout(tmp_path, SOLD | {"occurred_at": {"field": "at", "time": "seconds"}})
    path = tmp_path / "log.csv"
    path.write_text("who,at\na,1782820800\nb,-86400\n")
    [batch] = files.read(path, own)
    assert [row.rule for row in batch.bad] == ["occurred_at is before 1990"]


SAYS_MISSING = SOLD | {
    "customer_id": {"fields": ["who", "cookie"]},
    "price": "price",
    "product_id": {"field": "sku", "missing": ["NULL"]},
    "occurred_at": {"fields": ["at", "late"], "time": "iso"},
}


@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_texts_that_say_that_there_is_no_value_count_as_none(tmp_path, end):
    own = layout(tmp_path, SAYS_MISSING, missing=["NA", "NULL", "\\N"])
    path = tmp_path / f"log.{end}"
    rows = [
        {
            "who": "NA",
            "cookie": "c",
            "price": "NULL",
            "sku": "NA",
            "at": "\\N",
            "late": "2026-06-30",
        },
        {"who": "a", "cookie": "NA", "price": "1", "sku": "NULL", "at": "2026-06-29", "late": ""},
    ]
    if end == "csv":
        text = "\n".join(",".join(values) for values in (rows[0], *(r.values() for r in rows)))
        path.write_text(text)
    else:
        lines(path, rows)
    [batch] = files.read(path, own)
    rows = batch.events.select(["customer_id", "price", "product_id"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("c", None, "NA"), ("a", 1.0, None)]
    assert (batch.bad, [at.day for at in batch.events["occurred_at"].to_pylist()]) == ([], [30, 29])


TOLD = {"product_id": "sku", "title": "name"}


def test_text_that_is_no_utf_8_is_read_as_the_format_says_and_else_set_aside(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("who,at,sku,name\na,2026-06-30,1,café\nb,2026-06-30,2,tea\n".encode("latin-1"))
    [batch] = files.read(path, layout(tmp_path, SOLD, products=TOLD))
    assert [row.rule for row in batch.bad] == ["products.title is no UTF-8"]
    assert batch.products["title"].to_pylist() == ["tea"]
    [batch] = files.read(path, layout(tmp_path, SOLD, products=TOLD, encoding="latin-1"))
    assert batch.products["title"].to_pylist() == ["café", "tea"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "cp1252"])
def test_a_first_line_is_read_in_the_encoding_of_the_format(tmp_path, encoding):
    fields = SOLD | {"customer_id": "é"}
    path = tmp_path / "log.csv"
    path.write_bytes("é,at\r\nà,2026-06-30\r\n".encode(encoding))
    with pytest.raises(BadInput, match=r'names none: .*encoding = "latin-1"'):
        list(files.read(path, layout(tmp_path, fields)))
    own = layout(tmp_path, fields, encoding=encoding)
    [batch] = files.read(path, own)
    assert batch.events["customer_id"].to_pylist() == ["à"]
    path.write_bytes(path.read_bytes() + b"\x81,\x81")
    if encoding == "cp1252":
        with pytest.raises(BadInput, match=r'names none: .*encoding = "latin-1"'):
            list(files.read(path, own))


def test_an_encoding_that_is_none_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"encoding: there is no encoding 'latin1x'"):
        mapping.load(layout(tmp_path, SOLD, encoding="latin1x"))


def test_a_pattern_makes_a_shape_need_a_field(tmp_path):
    own = tmp_path / "ours.toml"
    shape = '[[shapes]]\n[shapes.events]\ncustomer_id = "who"\n'
    shape += 'occurred_at = { field = "at", time = "iso" }\nprice = "price"\nevent_type = '
    orders = '{ field = "order_id", patterns = { "." = "purchase" } }\n'
    views = '{ constant = "view" }\n'
    own.write_text(f'about = "Ours."\n{shape}{orders}{shape}{views}')
    path = tmp_path / "log.csv"
    for names, kind in (("who,at,order_id", "purchase"), ("who,at,page", "view")):
        path.write_text(f"{names}\na,2026-06-30,17\n")
        [batch] = files.read(path, str(own))
        assert batch.events["event_type"].to_pylist() == [kind]
        assert "price" in batch.absent, "a column that decides nothing"
