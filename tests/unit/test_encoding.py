"""What the model reads at an anchor: all that was known then, and nothing of later."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.anchors import NEVER, first_purchases, split_days
from intent_tasks.core.encoding import (
    PAD,
    UNKNOWN,
    encode,
    event_code,
    history,
    learn_vocabulary,
)
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
DEFINITION = Definition(time_zone="Europe/Berlin")
END = DEFINITION.day_end(ANCHOR)
LENGTH = 4


def event(customer="a", hours_before=1.0, **changes):
    at = END - timedelta(hours=hours_before)
    row = {"customer_key": customer, "event_type": "view", "product_id": "p1", "price": 10.0}
    row |= {"category_path": "shoes", "channel": "ads", "occurred_at": at, "ingested_at": at}
    return row | changes


def table(rows):
    numbered = [{"event_id": f"e{n}"} | row for n, row in enumerate(rows)]
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(numbered, SCHEMA).sort_by(order)


VOCABULARY = learn_vocabulary(table([event()] * 5 + [event(product_id="rare")]))
PAST = [event(hours_before=h) for h in (1, 5, 30)] + [
    event("b", 2, event_type="cart", product_id="rare", price=None, category_path=None)
]


def read(rows):
    known = history(table(rows), VOCABULARY)
    return known, encode(known, DEFINITION, ANCHOR, LENGTH)


def arrays(rows, customer="a"):
    known, encoded = read(rows)
    (row,) = np.flatnonzero(known.keys[encoded.customers] == customer)
    return {name: values[row] for name, values in encoded.inputs().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize(
    "future",
    [
        event(hours_before=-0.001, event_type="purchase"),
        event(hours_before=-100, event_type="purchase"),
        event(hours_before=3, event_type="purchase", ingested_at=END),
        event(hours_before=3, event_type="purchase", ingested_at=END + timedelta(days=30)),
    ],
    ids=["a moment after", "days after", "arrived at the anchor", "arrived a month later"],
)
def test_nothing_of_the_future_is_read(future):
    assert_same(arrays([*PAST, future]), arrays(PAST))


def test_the_last_moment_before_the_anchor_is_read():
    last = event(hours_before=1e-3, event_type="purchase")
    assert arrays([*PAST, last])["event_type"][-1] == event_code("purchase")


def test_a_customer_is_read_the_same_alone_and_among_others():
    others = [event(f"c{n}", n + 1) for n in range(9)]
    assert_same(arrays(PAST), arrays([*PAST, *others]))


def test_the_latest_events_come_last_and_padding_before_the_first():
    got = arrays([event(hours_before=h, event_type=k) for h, k in ((9, "view"), (1, "cart"))])
    assert list(got["event_type"]) == [PAD, PAD, event_code("view"), event_code("cart")]
    assert not got["numeric"][:2].any()
    many = [event(hours_before=h, event_type="view") for h in range(2, 9)]
    newest = event(hours_before=1, event_type="search")
    assert arrays([*many, newest])["event_type"][-1] == event_code("search")


def test_rare_missing_and_unseen_values_are_unknown():
    got = arrays(PAST, "b")
    assert got["product_id"][-1] == UNKNOWN, "seen once"
    assert got["category_path"][-1] == UNKNOWN, "null"
    assert arrays([event(product_id="never seen")])["product_id"][-1] == UNKNOWN
    assert got["event_type"][-1] == event_code("cart")


def test_the_population_is_whoever_did_something_lately():
    long_ago = event("old", 24 * 31)
    known, encoded = read([*PAST, long_ago])
    assert list(known.keys[encoded.customers]) == ["a", "b"]


def test_nobody_is_no_error():
    _, encoded = read([event("old", 24 * 31)])
    assert encoded.inputs()["event_type"].shape == (0, LENGTH)


def bought_in(*days_after):
    """Return in which horizon a customer purchases first, who buys at these days after."""
    rows = [event(), *(event(hours_before=-24 * d, event_type="purchase") for d in days_after)]
    known, encoded = read(rows)
    return int(first_purchases(known, encoded.customers, ANCHOR, DEFINITION)[0])


def test_a_label_is_the_first_horizon_with_a_purchase():
    assert bought_in(0.5) == HORIZONS_DAYS.index(1)
    assert bought_in(2.9, 0.9) == HORIZONS_DAYS.index(1)
    assert bought_in(1.0) == HORIZONS_DAYS.index(3), "the end of a day belongs to the next"
    assert bought_in(6.9) == HORIZONS_DAYS.index(7)
    assert bought_in(13.9) == HORIZONS_DAYS.index(14)
    assert bought_in(14.0) == NEVER
    assert bought_in() == NEVER


def test_a_purchase_just_before_the_anchor_is_history_and_no_label():
    known, encoded = read([event(hours_before=0.01, event_type="purchase")])
    assert first_purchases(known, encoded.customers, ANCHOR, DEFINITION)[0] == NEVER


def test_a_day_with_25_hours_ends_when_the_shop_says():
    day = date(2026, 10, 25)
    assert DEFINITION.day_end(day) - DEFINITION.day_start(day) == timedelta(hours=25)
    assert DEFINITION.day_end(day) == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_parts_are_in_the_order_of_time_with_a_gap_of_the_longest_horizon():
    parts = split_days(date(2026, 1, 1), date(2026, 3, 1))
    gap = timedelta(days=max(HORIZONS_DAYS))
    assert parts.calibrate[0] - parts.train[-1] > gap
    assert parts.test[0] - parts.calibrate[-1] > gap
    assert parts.train[0] == date(2026, 1, 1)
    assert parts.test[-1] == date(2026, 3, 1)


def test_too_few_days_cannot_be_split():
    assert split_days(date(2026, 1, 1), date(2026, 1, 30)) is None
