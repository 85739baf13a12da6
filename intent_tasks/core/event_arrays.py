"""Events as arrays: what happened to whom and when, in the order of customers and time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.vocabulary import CODED, Ints, Vocabulary, codes_of, event_code

FACTS = ("price_log", "has_price", "quantity_log", "rating", "has_rating", "hour_sin", "hour_cos")
"""Numbers of an event that are the same at every anchor; 0 where the shop does not record them."""

ABSENT = -1
"""Code of a product or a session that is null."""

Floats = npt.NDArray[np.float32]
_DAY = 86_400


@dataclass(frozen=True)
class History:
    """Events as arrays of shape (n,), sorted by customer and time.

    Args:
        keys: customer_key of each code in `customer`, shape (customers,).
        customer: code of the customer.
        occurred: Unix seconds.
        ingested: Unix seconds.
        day: shop day, counted from 1970-01-01.
        coded: codes of each event, shape (n, len(CODED)).
        facts: shape (n, len(FACTS)).
        product: code of the product, whether or not the vocabulary knows it.
        session: code of the session.
        row: place of the event in the table it came from.
    """

    keys: npt.NDArray[Any]
    customer: Ints
    occurred: npt.NDArray[np.int64]
    ingested: npt.NDArray[np.int64]
    day: Ints
    coded: Ints
    facts: Floats
    product: Ints
    session: Ints
    row: npt.NDArray[np.int64]

    @property
    def codes(self) -> dict[str, Ints]:
        """Column → the codes of each event."""
        return dict(zip(CODED, self.coded.T, strict=True))

    @property
    def price(self) -> Floats:
        """The price, -1 where there is none."""
        log, known = (self.facts[:, FACTS.index(name)] for name in ("price_log", "has_price"))
        return np.asarray(np.where(known > 0, np.expm1(log * _PRICE), -1.0), np.float32)

    @property
    def is_purchase(self) -> npt.NDArray[np.bool_]:
        """Which events are purchases."""
        return np.asarray(self.codes["event_type"] == event_code("purchase"))

    def known_at(self, start: int, end: int) -> "History":
        """Return what had arrived before `end` and happened from `start` up to it."""
        return self.only((self.ingested < end) & (self.occurred >= start) & (self.occurred < end))

    def without(self, rows: npt.NDArray[np.integer]) -> "History":
        """Return all events but those in these rows of the table; -1 is none."""
        return self.only(~np.isin(self.row, rows))

    def only(self, kept: npt.NDArray[Any]) -> "History":
        """Return the events that are kept."""
        names = ("customer", "occurred", "ingested", "day", "coded", "facts")
        more = ("product", "session", "row")
        values = (getattr(self, name) for name in (*names, *more))
        places = np.flatnonzero(kept) if kept.dtype == bool else kept
        return History(self.keys, *(np.take(each, places, axis=0) for each in values))

    def of_kind(self, kind: str) -> npt.NDArray[np.bool_]:
        """Return which events are of a type; `any`: all."""
        if kind == "any":
            return np.ones(len(self.customer), bool)
        return np.asarray(self.codes["event_type"] == event_code(kind))


_PRICE = 8.0  # brings logarithms of prices near 1


def history(events: pa.Table, vocabulary: Vocabulary, time_zone: str) -> History:
    """Return a snapshot table as arrays.

    Args:
        events: as `snapshots.read` returns them, sorted by customer, time and event_id.
        vocabulary: from `learn_vocabulary`.
        time_zone: IANA name of the shop's time zone.
    """
    customers = events["customer_key"].combine_chunks().dictionary_encode()
    zoned = events["occurred_at"].cast(pa.timestamp("us", time_zone))
    local = _seconds(pc.local_timestamp(zoned))
    return History(
        keys=np.array(customers.dictionary.to_pylist(), dtype=object),
        customer=customers.indices.to_numpy().astype(np.int32),
        occurred=_seconds(events["occurred_at"]),
        ingested=_seconds(events["ingested_at"]),
        day=(local // _DAY).astype(np.int32),
        coded=codes_of(events, vocabulary),
        facts=_facts(events, local),
        product=_numbered(events["product_id"]),
        session=_numbered(events["session_id"]),
        row=np.arange(events.num_rows),
    )


def _facts(events: pa.Table, local: npt.NDArray[np.int64]) -> Floats:
    price, quantity, rating = (
        pc.fill_null(events[name].cast(pa.float64()), -1.0).to_numpy()
        for name in ("price", "quantity", "rating")
    )
    hour = 2 * np.pi * (local % _DAY) / _DAY
    columns = [
        np.log1p(np.maximum(price, 0)) / _PRICE,
        price >= 0,
        np.log1p(np.maximum(quantity, 0)),
        np.where(rating >= 0, (rating - 3) / 2, 0),
        rating >= 0,
        np.sin(hour),
        np.cos(hour),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _seconds(instants: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(instants.cast(pa.int64()).to_numpy() // 1_000_000, np.int64)


def _numbered(values: pa.ChunkedArray) -> Ints:
    codes = values.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(codes, ABSENT).to_numpy(), np.int32)
