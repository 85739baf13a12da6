"""Events as arrays, sorted by customer and time."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.arrays import BoolArray, Float32Array, Int32Array, Int64Array, IntegerArray
from intent_tasks.core.vocabulary import (
    ABSENT,
    CODE_COLUMNS,
    Vocabulary,
    codes_of,
    dictionary,
    dictionary_index,
    event_code,
)

FIXED_NUMERIC = (
    "price_log",
    "has_price",
    "quantity_log",
    "rating",
    "has_rating",
    "hour_sin",
    "hour_cos",
)
"""Numeric inputs of an event that are the same at every anchor; 0 where the value is null."""

DAY_SECONDS = 86_400
HOUR_SECONDS = 3600
BLOCK_EVENTS = 40_000
"""Number of events that are converted at once: their arrays fit into the cache of a processor."""

_PRICE_LOG_SCALE = 8.0  # brings logarithms of prices near 1


@dataclass(frozen=True)
class EventArrays:
    """Events as arrays of shape (n,), sorted by customer and time.

    Args:
        keys: customer_key of each code in `customer`, shape (customers,).
        customer: code of the customer.
        occurred: Unix seconds.
        ingested: Unix seconds.
        day: shop day, counted from 1970-01-01.
        coded: codes of each event, shape (n, len(CODE_COLUMNS)).
        fixed_numeric: shape (n, len(FIXED_NUMERIC)).
        product: code of the product, also of products outside the vocabulary.
        session: code of the session.
        row: row of the event in its table.
    """

    keys: npt.NDArray[Any]
    customer: Int32Array
    occurred: Int64Array
    ingested: Int64Array
    day: Int32Array
    coded: Int32Array
    fixed_numeric: Float32Array
    product: Int32Array
    session: Int32Array
    row: Int64Array

    @property
    def codes_by_column(self) -> dict[str, Int32Array]:
        """Column → the code of each event."""
        return dict(zip(CODE_COLUMNS, self.coded.T, strict=True))

    @property
    def price(self) -> Float32Array:
        """The price, -1 where it is null."""
        log, present = (
            self.fixed_numeric[:, FIXED_NUMERIC.index(name)] for name in ("price_log", "has_price")
        )
        return np.asarray(np.where(present > 0, np.expm1(log * _PRICE_LOG_SCALE), -1.0), np.float32)

    @property
    def is_purchase(self) -> BoolArray:
        """Which events are purchases."""
        return self.is_type("purchase")

    def is_type(self, *event_types: str) -> BoolArray:
        """Return which events are of one of some types."""
        codes = self.codes_by_column["event_type"]
        return np.asarray(np.logical_or.reduce([codes == event_code(each) for each in event_types]))

    def drop_rows(self, rows: IntegerArray) -> "EventArrays":
        """Return the events without these rows of the table; -1 is ignored."""
        return self.select(~np.isin(self.row, rows))

    def select(self, chosen: npt.NDArray[Any]) -> "EventArrays":
        """Return some of the events, given as a mask or as indices."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        columns = [each.name for each in fields(self) if each.name != "keys"]
        return EventArrays(
            self.keys, *(np.take(getattr(self, name), index, axis=0) for name in columns)
        )


def event_arrays(events: pa.Table, vocabulary: Vocabulary, time_zone: str) -> EventArrays:
    """Convert a snapshot table to arrays.

    Args:
        events: from `snapshots.read`, sorted by customer, time and event_id.
        vocabulary: from `learn_vocabulary`.
        time_zone: IANA name of the shop's time zone.
    """
    customer, keys = _codes_of_runs(events["customer_key"])
    occurred = _seconds(events["occurred_at"])
    local = _local_seconds(occurred, time_zone)
    products = dictionary(events["product_id"])
    with_products = events.set_column(
        events.column_names.index("product_id"), "product_id", products
    )
    return EventArrays(
        keys=np.array(keys.to_pylist(), dtype=object),
        customer=customer,
        occurred=occurred,
        ingested=_seconds(events["ingested_at"]),
        day=(local // DAY_SECONDS).astype(np.int32),
        coded=codes_of(with_products, vocabulary),
        fixed_numeric=_fixed_numeric(events, local),
        product=dictionary_index(products, ABSENT),
        session=_codes_of_runs(events["session_id"])[0],
        row=np.arange(events.num_rows),
    )


def float32_columns(columns: Sequence[npt.NDArray[Any]]) -> Float32Array:
    """Return columns of shape (n,) as one array of shape (n, len(columns))."""
    values = np.empty((len(columns[0]), len(columns)), np.float32)
    for n, column in enumerate(columns):
        values[:, n] = column
    return values


def _fixed_numeric(events: pa.Table, local: Int64Array) -> Float32Array:
    """Return the fixed numeric inputs; in blocks, so that their arrays fit into the cache."""
    values = np.empty((events.num_rows, len(FIXED_NUMERIC)), np.float32)
    for start in range(0, len(values), BLOCK_EVENTS):
        block = slice(start, start + BLOCK_EVENTS)
        values[block] = _fixed_numeric_of_block(events.slice(start, BLOCK_EVENTS), local[block])
    return values


def _fixed_numeric_of_block(events: pa.Table, local: Int64Array) -> Float32Array:
    price, quantity, rating = (
        pc.fill_null(events[name].cast(pa.float64()), -1.0).to_numpy()
        for name in ("price", "quantity", "rating")
    )
    second = local % DAY_SECONDS
    sine, cosine = _hours()
    return float32_columns(
        [
            np.log1p(np.maximum(price, 0)) / _PRICE_LOG_SCALE,
            price >= 0,
            np.log1p(np.maximum(quantity, 0)),
            np.where(rating >= 0, (rating - 3) / 2, 0),
            rating >= 0,
            sine[second],
            cosine[second],
        ]
    )


@cache
def _hours() -> tuple[Float32Array, Float32Array]:
    """Return sine and cosine of the hour at each second of a day."""
    hour = 2 * np.pi * np.arange(DAY_SECONDS) / DAY_SECONDS
    return np.sin(hour).astype(np.float32), np.cos(hour).astype(np.float32)


def _local_seconds(instants: Int64Array, time_zone: str) -> Int64Array:
    """Return Unix seconds as seconds of a clock in a time zone.

    Arrow converts each whole hour once, and the instants of an hour in which the clock changes.
    """
    if not len(instants):
        return instants
    hours = instants // HOUR_SECONDS
    first = int(hours.min())
    starts = np.arange(first, int(hours.max()) + 2) * HOUR_SECONDS
    offsets = _convert(starts, time_zone) - starts
    local = instants + offsets[hours - first]
    if (changes := np.diff(offsets) != 0).any():
        moved = np.flatnonzero(changes[hours - first])
        local[moved] = _convert(instants[moved], time_zone)
    return local


def _convert(instants: Int64Array, time_zone: str) -> Int64Array:
    zoned = pa.array(instants).cast(pa.timestamp("s", time_zone))
    return np.asarray(pc.local_timestamp(zoned).cast(pa.int64()).to_numpy())


def _seconds(instants: pa.ChunkedArray) -> Int64Array:
    return np.asarray(instants.cast(pa.int64()).to_numpy() // 1_000_000, np.int64)


def _codes_of_runs(values: pa.ChunkedArray) -> tuple[Int32Array, pa.Array]:
    """Return the codes of values that come in runs, ABSENT for a null; and the distinct values."""
    runs = pc.run_end_encode(values.combine_chunks())
    encoded = runs.values.dictionary_encode()  # of far fewer values
    lengths = np.diff(runs.run_ends.to_numpy(), prepend=0)
    return np.repeat(dictionary_index(encoded, ABSENT), lengths), encoded.dictionary
