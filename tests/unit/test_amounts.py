"""Numbers as people write them: signs and codes of currencies, thousands, negatives, parts."""

import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import files, mapping
from tests.unit.own_format import layout, lines

EVENTS = {
    "customer_id": "who",
    "event_type": {"constant": "purchase"},
    "occurred_at": {"field": "at", "time": "iso"},
}


def read(tmp_path, rows, **columns):
    """Return the batch that rows make in a format with these columns."""
    own = layout(tmp_path, EVENTS | columns)
    rows = [{"who": "a", "at": "2026-06-30"} | row for row in rows]
    [batch] = files.read(lines(tmp_path / "log.jsonl", rows), own)
    assert batch.bad == []
    return batch


POINT = {
    "$19.99": 19.99, "19.99 USD": 19.99, "USD 19.99": 19.99, "€5": 5, "5 €": 5, "1,299.00": 1299,
    "$1,299,000": 1299000, "1'299.50 CHF": 1299.5, "1 299.00": 1299, "1\u00a0299.00 zł": 1299,
    "1,23,456.00": 123456, "kr 5": 5, "5,-": 5, "5.-": 5, ".5 €": 0.5, "-$5.00": -5, "$-5": -5,
    "(5.00)": -5, "($5.00)": -5, "5.00-": -5, "\u22125": -5, "US$7.50": 7.5, "$5 USD": 5, " 7 ": 7,
}  # fmt: skip
COMMA = {
    "1.299,00 €": 1299, "€ 1.299,00": 1299, "19,99": 19.99, "19,99 EUR": 19.99, "1.299": 1299,
    "-5,00 €": -5, "(5,00)": -5, "1 299,00 kr": 1299, "5 €": 5, "5,- €": 5,
}  # fmt: skip
UNSURE = {
    None: ["1,299", "$1,299", "1.299 €", "1.299,00", "12,5", "£5 EUR", "-(5)", "(5", "--5", "€",
           "five", "1,29,9.0", "5 pcs", "NaN", "inf"],
    ",": ["19.99", "1,299.00", "$19.99"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("decimal", "amount"),
    [(None, POINT), (".", POINT), (",", COMMA)],
    ids=["none", "point", "comma"],
)
def test_an_amount_is_read_as_it_is_written(tmp_path, decimal, amount):
    price = {"field": "p"} | ({"decimal": decimal} if decimal else {})
    rows = [{"p": text} for text in amount]
    numbers = layout(tmp_path, EVENTS | {"price": price | {"absolute": True}})
    path = lines(tmp_path / "log.jsonl", [{"who": "a", "at": "2026-06-30"} | row for row in rows])
    [batch] = files.read(path, numbers)
    assert batch.events["price"].to_pylist() == [abs(number) for number in amount.values()]
    assert (batch.unreadable, batch.bad) == ([], [])


@pytest.mark.parametrize("decimal", [None, ","])
def test_an_amount_that_may_be_two_numbers_is_none_and_counted(tmp_path, decimal):
    price = {"field": "p"} | ({"decimal": decimal} if decimal else {})
    texts = UNSURE[decimal]
    batch = read(tmp_path, [{"p": text} for text in texts], price=price)
    assert batch.events["price"].to_pylist() == [None] * len(texts)
    assert [(lost.column, lost.rows) for lost in batch.unreadable] == [("price", len(texts))]


def test_a_format_that_names_its_point_has_thousands_with_a_comma(tmp_path):
    price = {"field": "p", "decimal": "."}
    batch = read(tmp_path, [{"p": "1,299"}, {"p": "1.299 €"}], price=price)
    assert batch.events["price"].to_pylist() == [1299, 1.299]


def test_a_sign_that_stands_for_one_currency_fills_the_column(tmp_path):
    texts = ["5 €", "£5", "$5", "¥5", "5 SEK", "5 kr", "5"]
    rows = [{"p": text} for text in texts]
    batch = read(tmp_path, rows, price="p")
    assert batch.events["currency"].to_pylist() == ["EUR", "GBP", None, None, "SEK", None, None]
    batch = read(tmp_path, [row | {"c": "usd"} for row in rows[2:3]], price="p", currency="c")
    assert batch.events["currency"].to_pylist() == ["usd"]


def test_a_price_in_another_currency_than_the_row_names_is_none_and_counted(tmp_path):
    rows = [{"p": "5 €", "c": "USD"}, {"p": "5 €", "c": "eur"}, {"p": "5 €"}]
    batch = read(tmp_path, rows, price="p", currency="c")
    assert batch.events["price"].to_pylist() == [None, 5, 5]
    assert batch.events["currency"].to_pylist() == ["USD", "eur", "EUR"]
    assert [(lost.column, lost.rows, lost.first) for lost in batch.unreadable] == [("price", 1, 1)]


def test_cents_totals_of_lines_and_discounts_become_the_price_that_was_paid(tmp_path):
    rows = [
        {"p": 1999, "total": "59.97", "n": 3, "off": "6.00", "coupon": "$0.99"},
        {"p": 500, "total": "(10.00)", "n": -2},
        {"p": None, "total": "5", "n": 0},
        {"p": "x", "total": "5", "n": None, "off": "x"},
    ]
    batch = read(tmp_path, rows, price={"field": "p", "divide_by": 100})
    assert batch.events["price"].to_pylist() == [19.99, 5, None, None]
    batch = read(tmp_path, rows, price={"field": "total", "divide_by": "n"})
    assert batch.events["price"].to_pylist() == [19.99, 5, None, None]
    assert [(lost.column, lost.rows, lost.first) for lost in batch.unreadable] == [("price", 2, 3)]
    less = ["off", "coupon"]
    batch = read(tmp_path, rows[:1], price={"field": "total", "divide_by": "n", "less": less})
    assert batch.events["price"].to_pylist() == [17.66]
    per_piece = {"field": "p", "divide_by": 100, "less": {"field": "off", "absolute": True}}
    batch = read(tmp_path, [{"p": 1000, "off": "-50"}, rows[3]], price=per_piece)
    assert batch.events["price"].to_pylist() == [9.5, None]


def test_a_discount_above_the_price_sets_the_row_aside_and_is_no_price(tmp_path):
    own = layout(tmp_path, EVENTS | {"price": {"field": "p", "less": "off"}})
    row = {"who": "a", "at": "2026-06-30", "p": "5", "off": "6"}
    [batch] = files.read(lines(tmp_path / "log.jsonl", [row, row | {"off": "5"}]), own)
    assert batch.events["price"].to_pylist() == [0]
    assert [row.rule for row in batch.bad] == ["price is below 0"]


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ({"field": "p", "divide_by": 0}, r"events\.price\.divide_by.*greater than 0"),
        ({"field": "p", "decimal": ";"}, r"events\.price\.decimal: Input should be '\.' or ','"),
        (
            {"field": "p", "less": [{"fild": "x"}]},
            r"price\.less\.1\.fild: there is no such setting",
        ),
        ({"fields": ["p", {"key": "x"}]}, r"price\.fields\.2.*give either field, fields or"),
    ],
)
def test_a_mistake_in_how_a_number_is_read_is_named_with_its_place(tmp_path, price, message):
    with pytest.raises(BadInput, match=message):
        mapping.load(layout(tmp_path, EVENTS | {"price": price}))
