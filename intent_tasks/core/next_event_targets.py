"""Targets of pretraining: what customers do next after an anchor.

The *next event* is the first event after the anchor, within the longest horizon. The *next product*
is the first product after the anchor with which the customer had no event before: products that
customers already saw need no recommendation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.arrays import BoolArray, Int32Array, Int64Array, IntegerArray
from intent_tasks.core.encoding import Encoded, encode, join
from intent_tasks.core.event_arrays import EventArrays
from intent_tasks.core.event_counts import run_starts
from intent_tasks.core.vocabulary import FIRST_CODE, PAD
from intent_tasks.definition import HORIZONS_DAYS, Definition

NO_PRODUCT = -1
"""Product number of an event without product, or with one that is not ranked."""
RECENT_PRODUCTS = 20
"""Latest distinct products of a customer that the ranking reads."""
MAX_PRODUCTS = 50_000
"""Number of ranked products, the most frequent; each costs a vector."""


@dataclass(frozen=True)
class NextEventTargets:
    """What n customers do next.

    Args:
        gap: horizon of the next event; the number of horizons if there is none. Shape (n,).
        event_type: code of its type; PAD if there is none. Shape (n,).
        category: code of the next known category; PAD if there is none. Shape (n,).
        product: number of the next product, or NO_PRODUCT. Shape (n,).
        has_product: whether there is a next product, ranked or not. Shape (n,).
        recent_products: numbers of the latest distinct products, newest first,
            shape (n, RECENT_PRODUCTS).
    """

    gap: Int32Array
    event_type: Int32Array
    category: Int32Array
    product: Int32Array
    has_product: BoolArray
    recent_products: Int32Array

    def select(self, chosen: IntegerArray) -> "NextEventTargets":
        """Return the targets of some customers."""
        return NextEventTargets(*(getattr(self, each.name)[chosen] for each in fields(self)))


def frequent_products(tables: Sequence[pa.Table]) -> list[str]:
    """Return the ids of the ranked products of some event tables, most frequent first."""
    ids = pa.chunked_array([chunk for table in tables for chunk in table["product_id"].chunks])
    counted = pc.value_counts(ids.cast(pa.string()).drop_null())
    counts = pa.table({"id": counted.field("values"), "count": counted.field("counts")})
    ordered = counts.sort_by([("count", "descending"), ("id", "ascending")])
    products: list[str] = ordered["id"].to_pylist()
    return products[:MAX_PRODUCTS]


def product_numbers(events: pa.Table, products: Sequence[str]) -> Int32Array:
    """Return the index of the product of each event in `products`, or NO_PRODUCT; shape (n,)."""
    index = pc.index_in(events["product_id"], pa.array(products, pa.string()))
    return np.asarray(pc.fill_null(index, NO_PRODUCT).to_numpy(), np.int32)


def product_categories(everything: EventArrays, numbers: Int32Array, count: int) -> Int32Array:
    """Return the category code of each of `count` products, PAD where no event has it."""
    categories = np.full(count, PAD, np.int32)
    ranked = numbers >= 0
    codes = everything.codes_by_column["category_path"]
    np.maximum.at(categories, numbers[ranked], codes[ranked])
    return categories


def next_event_targets(
    everything: EventArrays, numbers: Int32Array, definition: Definition, anchors: Sequence[date]
) -> tuple[Encoded, NextEventTargets]:
    """Return the encoded customers of some anchors, and what they do next.

    Args:
        everything: events; those after an anchor are targets, however late they arrived.
        numbers: from `product_numbers`, of each event of `everything`.
        definition: population, history and time zone.
        anchors: shop days.
    """
    encoded = [encode(everything, definition, day) for day in anchors]
    parts = [
        _targets(everything, numbers, definition, each, day)
        for each, day in zip(encoded, anchors, strict=True)
    ]
    columns = [
        np.concatenate([getattr(part, each.name) for part in parts])
        for each in fields(NextEventTargets)
    ]
    return join(encoded), NextEventTargets(*columns)


def _targets(
    everything: EventArrays,
    numbers: Int32Array,
    definition: Definition,
    encoded: Encoded,
    anchor: date,
) -> NextEventTargets:
    ends = [definition.day_end(anchor + timedelta(days=h)) for h in (0, *HORIZONS_DAYS)]
    limits = np.array([int(end.timestamp()) for end in ends])
    inside = (everything.occurred >= limits[0]) & (everything.occurred < limits[-1])
    later = np.flatnonzero(inside & np.isin(everything.customer, encoded.customers))
    owner = np.searchsorted(encoded.customers, everything.customer[later])
    count = len(encoded.customers)
    first = _first(owner, later, count)
    codes = everything.codes_by_column
    category = codes["category_path"]
    named = category[later] >= FIRST_CODE
    first_category = _first(owner[named], later[named], count)
    new = _is_new_product(everything, encoded, owner, later)
    first_product = _first(owner[new], later[new], count)
    gap = np.searchsorted(limits[1:], everything.occurred, side="right")
    return NextEventTargets(
        gap=_at(gap, first, len(HORIZONS_DAYS)),
        event_type=_at(codes["event_type"], first, PAD),
        category=_at(category, first_category, PAD),
        product=_at(numbers, first_product, NO_PRODUCT),
        has_product=first_product >= 0,
        recent_products=_recent_products(numbers, encoded),
    )


def _first(owner: Int64Array, events: Int64Array, count: int) -> Int64Array:
    """Return the first of the events of each of `count` customers, -1 for none."""
    first = np.full(count, -1)
    customers, index = np.unique(owner, return_index=True)
    first[customers] = events[index]
    return first


def _at(values: IntegerArray, index: Int64Array, absent: int) -> Int32Array:
    return np.where(index >= 0, np.append(values, absent)[index], absent).astype(np.int32)


def _is_new_product(
    everything: EventArrays, encoded: Encoded, owner: Int64Array, later: Int64Array
) -> BoolArray:
    """Return which later events have a product that the customer had no event with before."""
    products = int(everything.product.max(initial=0)) + 2
    before = encoded.owner * products + everything.product[encoded.place]
    now = everything.product[later]
    return np.asarray((now >= 0) & ~np.isin(owner * products + now, before))


def _recent_products(numbers: Int32Array, encoded: Encoded) -> Int32Array:
    """Return each customer's latest distinct products, newest first, (n, RECENT_PRODUCTS)."""
    recent = np.full((len(encoded.customers), RECENT_PRODUCTS), NO_PRODUCT, np.int32)
    number, owner = numbers[encoded.place][::-1], encoded.owner[::-1]
    owner, number = owner[number >= 0], number[number >= 0]
    _, index = np.unique(owner * (MAX_PRODUCTS + 1) + number, return_index=True)
    index = np.sort(index)  # newest first within a customer, customers in reverse
    owner, number = owner[index], number[index]
    starts = np.flatnonzero(run_starts(owner))
    position = np.arange(len(owner)) - np.repeat(starts, np.diff(np.append(starts, len(owner))))
    fits = position < RECENT_PRODUCTS
    recent[owner[fits], position[fits]] = number[fits]
    return recent
