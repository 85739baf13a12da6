"""The stage of a customer follows from their events in the week after an anchor."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.stages import stages
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import MAIN_HORIZON_DAYS, STAGES, Definition
from intent_tasks.steps import score
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
END = Definition().day_end(ANCHOR)
PRODUCTS = 3
"""Looked at in one category, by somebody who compares; of fewer nobody is said to."""
ORDER = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]


def event(customer, days, kind="view", product="p1", category="shoes"):
    at = END + timedelta(days=days)
    row = {"customer_key": customer, "event_type": kind, "product_id": product}
    row |= {"event_id": f"{customer}{days}{product}", "category_path": category}
    return row | {"occurred_at": at, "ingested_at": at}


def stage_of(*rows):
    """Return the stage of the only customer who did something before the anchor."""
    before = [event("a", -n - 1.0) for n in range(9)]  # so that the category is known
    table = pa.Table.from_pylist([*before, *rows], SCHEMA).sort_by(ORDER)
    everything = event_arrays(table, learn_vocabulary([table]), "UTC")
    place = everything.keys.tolist().index("a")
    return STAGES[stages(everything, np.array([place]), ANCHOR, Definition())[0]]


def test_no_event_within_the_week_makes_the_stage_leaving():
    assert stage_of() == "leaving"
    assert stage_of(event("a", MAIN_HORIZON_DAYS + 0.5, "purchase")) == "leaving"
    assert stage_of(event("b", 1, "purchase")) == "leaving"


def test_a_purchase_makes_the_stage_ready():
    assert stage_of(event("a", 1, "cart"), event("a", 2, "purchase")) == "ready"
    assert stage_of(event("a", 2, "purchase"), event("a", 3, "cart")) == "ready"


def test_several_products_of_a_category_or_a_cart_make_the_stage_comparing():
    looks = [event("a", 1 + n / 9, product=f"p{n}") for n in range(PRODUCTS)]
    assert stage_of(*looks) == "comparing"
    assert stage_of(event("a", 1, "cart")) == "comparing"


def test_any_other_event_makes_the_stage_browsing():
    same = [event("a", 1 + n / 9) for n in range(PRODUCTS)]
    scattered = [event("a", 1 + n / 9, product=f"p{n}", category=f"c{n}") for n in range(PRODUCTS)]
    others = [event("b", 1 + n / 9, product=f"p{n}") for n in range(PRODUCTS - 1)]
    few = [event("a", 1 + n / 9, product=f"p{n}") for n in range(PRODUCTS - 1)]
    for rows in (same, scattered, few, [*others, event("a", 1, product="p9")]):
        assert stage_of(*rows) == "browsing"


@pytest.mark.parametrize(
    ("kinds", "is_known"),
    [(("purchase", "refund", "review"), False), (("purchase", "cart"), True), (("view",), True)],
)
def test_no_stage_is_predicted_where_a_shop_records_no_browsing(kinds, is_known):
    rows = [event("a", -n - 1.0, kind) for n, kind in enumerate(kinds)]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(ORDER)
    everything = event_arrays(table, learn_vocabulary([table]), "UTC")
    found = score._stages(np.array([0, 3]), everything).to_pylist()
    assert found == (["browsing", "leaving"] if is_known else [None, None])
