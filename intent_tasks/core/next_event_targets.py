"""What customers do next after an anchor: what pretraining learns, with a label or without.

*Next* is the first event after the anchor, within the longest horizon. The *next product* is the
first product after it that the customer did nothing with before: what they know already, they find
without us.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.encoding import Encoded, encode, join
from intent_tasks.core.event_arrays import History
from intent_tasks.core.vocabulary import FIRST_CODE, PAD, Ints
from intent_tasks.definition import HORIZONS_DAYS, Definition

NOTHING = -1
"""Stands for no product, and for one that is not among those that are ranked."""
SEEN = 20
"""Latest different products of a customer that the ranking of products reads."""
MOST_PRODUCTS = 50_000
"""Most frequent products that are ranked; each costs a vector."""

Wide = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ahead:
    """What n customers do next.

    Args:
        gap: horizon of the next event; the number of horizons: none. Shape (n,).
        event_type: code of its type; PAD: there is none. Shape (n,).
        category: code of the next known category; PAD: there is none. Shape (n,).
        product: number of the next product among those ranked, or NOTHING. Shape (n,).
        some: whether there is a next product, ranked or not. Shape (n,).
        seen: numbers of the latest different products, newest first, shape (n, SEEN).
    """

    gap: Ints
    event_type: Ints
    category: Ints
    product: Ints
    some: npt.NDArray[np.bool_]
    seen: Ints

    def only(self, chosen: npt.NDArray[np.integer]) -> "Ahead":
        """Return that of some customers."""
        return Ahead(*(getattr(self, each.name)[chosen] for each in fields(self)))


def learn_products(tables: Sequence[pa.Table]) -> list[str]:
    """Return the products of some tables of events, most frequent first."""
    ids = pa.chunked_array([chunk for table in tables for chunk in table["product_id"].chunks])
    counted = pc.value_counts(ids.cast(pa.string()).drop_null())
    found = pa.table({"id": counted.field("values"), "count": counted.field("counts")})
    ordered = found.sort_by([("count", "descending"), ("id", "ascending")])
    kept: list[str] = ordered["id"].to_pylist()[:MOST_PRODUCTS]
    return kept


def numbers_of(events: pa.Table, products: Sequence[str]) -> Ints:
    """Return the number of the product of each event among `products`, shape (n,)."""
    found = pc.index_in(events["product_id"], pa.array(products, pa.string()))
    return np.asarray(pc.fill_null(found, NOTHING).to_numpy(), np.int32)


def kinds_of(everything: History, numbers: Ints, count: int) -> Ints:
    """Return the code of the category of each of `count` products, PAD where no event tells it."""
    kinds = np.full(count, PAD, np.int32)
    some = numbers >= 0
    np.maximum.at(kinds, numbers[some], everything.codes["category_path"][some])
    return kinds


def ahead_of(
    everything: History, numbers: Ints, definition: Definition, anchors: Sequence[date]
) -> tuple[Encoded, Ahead]:
    """Return the customers of some anchors: their pasts, and what they do next.

    Args:
        everything: events; those after an anchor are what comes next, however late they arrived.
        numbers: from `numbers_of`, of each event of `everything`.
        definition: population, history and time zone.
        anchors: shop days.
    """
    encoded = [encode(everything, definition, day) for day in anchors]
    parts = [
        _ahead(everything, numbers, definition, each, day)
        for each, day in zip(encoded, anchors, strict=True)
    ]
    columns = [np.concatenate([getattr(p, each.name) for p in parts]) for each in fields(Ahead)]
    return join(encoded), Ahead(*columns)


def _ahead(
    everything: History, numbers: Ints, definition: Definition, known: Encoded, anchor: date
) -> Ahead:
    ends = [definition.day_end(anchor + timedelta(days=h)) for h in (0, *HORIZONS_DAYS)]
    limits = np.array([int(end.timestamp()) for end in ends])
    inside = (everything.occurred >= limits[0]) & (everything.occurred < limits[-1])
    later = np.flatnonzero(inside & np.isin(everything.customer, known.customers))
    who = np.searchsorted(known.customers, everything.customer[later])
    count = len(known.customers)
    first = _first(who, later, count)
    codes = everything.codes
    category = codes["category_path"]
    named = category[later] >= FIRST_CODE
    of_category = _first(who[named], later[named], count)
    new = _is_new(everything, known, who, later)
    of_product = _first(who[new], later[new], count)
    gap = np.searchsorted(limits[1:], everything.occurred, side="right")
    return Ahead(
        gap=_at(gap, first, len(HORIZONS_DAYS)),
        event_type=_at(codes["event_type"], first, PAD),
        category=_at(category, of_category, PAD),
        product=_at(numbers, of_product, NOTHING),
        some=of_product >= 0,
        seen=_seen(numbers, known),
    )


def _first(who: Wide, places: Wide, count: int) -> Wide:
    """Return the first of the places of each of `count` customers, -1 where there is none."""
    first = np.full(count, -1)
    customers, index = np.unique(who, return_index=True)
    first[customers] = places[index]
    return first


def _at(values: npt.NDArray[np.integer], places: Wide, absent: int) -> Ints:
    return np.where(places >= 0, np.append(values, absent)[places], absent).astype(np.int32)


def _is_new(everything: History, known: Encoded, who: Wide, later: Wide) -> npt.NDArray[np.bool_]:
    """Return which later events are of a product that the customer did nothing with before."""
    products = int(everything.product.max(initial=0)) + 2
    before = known.owner * products + everything.product[known.place]
    now = everything.product[later]
    return np.asarray((now >= 0) & ~np.isin(who * products + now, before))


def _seen(numbers: Ints, known: Encoded) -> Ints:
    """Return the latest different products of each customer, newest first, shape (n, SEEN)."""
    seen = np.full((len(known.customers), SEEN), NOTHING, np.int32)
    number, who = numbers[known.place][::-1], known.owner[::-1]
    who, number = who[number >= 0], number[number >= 0]
    _, index = np.unique(who * (MOST_PRODUCTS + 1) + number, return_index=True)
    kept = np.sort(index)  # newest first within a customer, customers backwards
    who, number = who[kept], number[kept]
    begins = np.flatnonzero(np.append(True, who[1:] != who[:-1])[: len(who)])
    place = np.arange(len(who)) - np.repeat(begins, np.diff(np.append(begins, len(who))))
    fits = place < SEEN
    seen[who[fits], place[fits]] = number[fits]
    return seen
