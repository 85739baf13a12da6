"""An event of a source that comes twice stays whole once, and is never put together of halves."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.core.rules import CHANGED_DUPLICATE
from intent_tasks.formats import files
from tests.unit.own_format import layout, lines

ORDERS = {
    "event_id": "id",
    "customer_id": "who",
    "event_type": {"constant": "purchase"},
    "product_id": "lines.sku",
    "price": "lines.price",
    "occurred_at": {"field": "at", "time": "iso"},
}


def order(number, *skus, **changes):
    """Return an order of these products."""
    basket = [{"sku": sku, "price": 5.0} for sku in skus]
    return {"id": number, "who": "a", "at": "2026-06-30", "lines": basket} | changes


def read(tmp_path, *rows, kind="json"):
    """Return the batch that these orders make."""
    own = layout(tmp_path, ORDERS, each="lines")
    if kind == "json":
        [batch] = files.read(lines(tmp_path / "orders.json", rows), own)
        return batch
    pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / "orders.parquet")
    [batch] = files.read(tmp_path / "orders.parquet", own)
    return batch


@pytest.mark.parametrize("kind", ["json", "parquet"])
@pytest.mark.parametrize(
    "copy",
    [("A", "B", "C"), ("A",), ("A", "X"), (), ("B", "A")],
    ids=["one more", "one fewer", "another", "none", "in another order"],
)
def test_a_copy_with_other_products_is_left_out_whole_and_named(tmp_path, copy, kind):
    batch = read(tmp_path, order("o1", "A", "B"), order("o1", *copy), order("o2", "A"), kind=kind)
    assert batch.events["event_id"].to_pylist() == ["o1", "o1/1", "o2"]
    assert batch.events["product_id"].to_pylist() == ["A", "B", "A"]
    assert batch.sources.to_pylist() == ["o1", "o1", "o2"]
    assert [(row.number, row.rule) for row in batch.bad] == [(2, CHANGED_DUPLICATE)]
    assert (batch.repeated, batch.judged) == (0, 3)


def test_a_copy_that_says_the_same_is_counted(tmp_path):
    batch = read(tmp_path, order("o1", "A", "B"), order("o2", "A"), order("o1", "A", "B"))
    assert batch.events["event_id"].to_pylist() == ["o1", "o1/1", "o2"]
    assert (batch.repeated, batch.bad) == (2, [])


@pytest.mark.parametrize(("at", "same"), [("2026-06-30T00:00:09", True), ("2026-07-02", False)])
def test_a_copy_may_be_a_little_later_and_is_else_another_event(tmp_path, at, same):
    batch = read(tmp_path, order("o1", "A"), order("o1", "A", at=at))
    assert (batch.repeated, len(batch.bad)) == ((1, 0) if same else (0, 1))
    assert batch.events["occurred_at"][0].as_py().day == 30


def test_a_copy_of_an_event_that_cannot_be_used_takes_its_place(tmp_path):
    batch = read(tmp_path, order("o1", "A", at="never"), order("o1", "A"))
    assert batch.events["event_id"].to_pylist() == ["o1"]
    assert [row.rule for row in batch.bad] == ["occurred_at cannot be read"]


def test_an_id_that_is_made_for_a_row_of_another_event_is_given_once(tmp_path):
    batch = read(tmp_path, order("o1", "A", "B"), order("o1/1", "C"))
    assert batch.events["event_id"].to_pylist() == ["o1", "o1/1"]
    assert batch.repeated + len(batch.bad) == 1


def hit(second, name="view_item", *items, **more):
    """Return an event of Google Analytics."""
    return {
        "event_timestamp": str(1795168800000000 + second * 1_000_000), "event_name": name,
        "user_pseudo_id": "7.1", "event_bundle_sequence_id": "3",
        "items": [{"item_id": item, "price": 4.0, "quantity": "1"} for item in items or ("A",)],
    } | more  # fmt: skip


def ids(tmp_path, rows):
    """Return the ids that rows of Google Analytics get, and how many were repeated."""
    [batch] = files.read(lines(tmp_path / "events.json", rows), "ga4")
    assert batch.bad == []
    return batch.events["event_id"].to_pylist(), batch.repeated


def test_an_event_has_one_id_in_the_intraday_and_the_daily_table(tmp_path):
    early = [hit(n, batch_event_index=str(n), batch_page_id="9") for n in range(6)]
    daily = [row | {"traffic_source": {"medium": "cpc"}, "user_id": "u1"} for row in early]
    random.Random(5).shuffle(daily)
    one, two = ids(tmp_path, early)[0], ids(tmp_path, daily)[0]
    assert sorted(one) == sorted(two)
    assert ids(tmp_path, [*daily, *early]) == (two, 6)


def test_events_that_google_tells_apart_are_two(tmp_path):
    twice = [hit(1, batch_event_index="1"), hit(1, batch_event_index="2")]
    assert len(ids(tmp_path, twice)[0]) == 2
    together = [hit(1, "add_to_cart", "A"), hit(1, "add_to_cart", "B")]
    assert len(ids(tmp_path, together)[0]) == 2
    assert ids(tmp_path, [hit(1), hit(1)])[1] == 1


@pytest.mark.parametrize("place", ["ecommerce", "event_params"])
def test_a_transaction_counts_once_however_often_its_page_is_loaded(tmp_path, place):
    def bought(second, transaction, *items, name="purchase"):
        told = {"ecommerce": {"transaction_id": transaction}}
        if place == "event_params":
            value = {"string_value": transaction, "int_value": None}
            told = {"event_params": [{"key": "transaction_id", "value": value}]}
        return hit(second, name, *items, **told)

    rows = [bought(1, "T1", "A", "B"), bought(90_000, "T1", "A", "B", "C"), bought(2, "T2", "A")]
    named, repeated = ids(tmp_path, rows)
    assert named == ["purchase:T1", "purchase:T1/1", "purchase:T2"]
    assert repeated == 3
    unset = [
        bought(3, "(not set)", "A"),
        bought(4, "(not set)", "A"),
        bought(5, "T1", name="refund"),
    ]
    named, repeated = ids(tmp_path, [*rows[:1], *unset])
    assert (len(named), repeated) == (5, 0), "nobody's transaction, and what is no purchase"


def test_ids_are_the_same_as_parquet(tmp_path):
    rows = [hit(1, "purchase", "A", "B", ecommerce={"transaction_id": "T1"}), hit(2)]
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pylist(json.loads(json.dumps(rows))), path)
    [batch] = files.read(path, "ga4")
    assert batch.events["event_id"].to_pylist() == ids(tmp_path, rows)[0]
