"""From events to the arrays a model reads: one function for training and for scoring."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.definition import EVENT_TYPES, Definition

PAD, UNKNOWN = 0, 1
FIRST_CODE = 2
CODED = ("event_type", "product_id", "category_path", "channel")
"""Columns that are read as codes."""
SIZES = {"product_id": 2000, "category_path": 300, "channel": 30}
"""Most frequent values that get a code of their own."""
LEAST_COUNT = 5
"""A value that was seen less often is UNKNOWN."""

NUMERIC = (
    "hours_to_anchor_log",
    "hours_to_previous_log",
    "price_log",
    "has_price",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
)
WINDOWS_DAYS = (1, 3, 7, 14, 30, 90)
COUNTED = ("any", "cart", "purchase")
STATICS = (
    *(f"{kind}_count_{days}d_log" for kind in COUNTED for days in WINDOWS_DAYS),
    *(f"days_since_{kind}_log" for kind in COUNTED),
    "days_since_first_log",
    "history_length_log",
)
"""Hand-made features of a customer's past: of the network and of the baselines."""

_DAY = 86_400
_FAR_DAYS = 400.0
_SPAN = 2**34  # seconds; keeps (customer, time) in one integer

Vocabulary = dict[str, dict[str, int]]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class History:
    """Events as arrays of shape (n,), sorted by customer and time.

    `keys` has shape (customers,): the customer_key of each code in `customer`. Times are Unix
    seconds. `row` is the place of the event in the table it came from.
    """

    keys: npt.NDArray[Any]
    customer: Ints
    occurred: npt.NDArray[np.int64]
    ingested: npt.NDArray[np.int64]
    codes: dict[str, Ints]
    price: Floats
    row: npt.NDArray[np.int64]

    @property
    def is_purchase(self) -> npt.NDArray[np.bool_]:
        """Which events are purchases, shape (n,)."""
        return np.asarray(self.codes["event_type"] == event_code("purchase"))

    def known_at(self, start: int, end: int) -> "History":
        """Return what had arrived before `end` and happened from `start` up to it."""
        return self._only((self.ingested < end) & (self.occurred >= start) & (self.occurred < end))

    def without(self, rows: npt.NDArray[np.integer]) -> "History":
        """Return all events but those in these rows of the table; -1 is none."""
        return self._only(~np.isin(self.row, rows))

    def _only(self, kept: npt.NDArray[np.bool_]) -> "History":
        return History(
            self.keys,
            self.customer[kept],
            self.occurred[kept],
            self.ingested[kept],
            {name: values[kept] for name, values in self.codes.items()},
            self.price[kept],
            self.row[kept],
        )


@dataclass(frozen=True)
class Encoded:
    """What a model reads about n customers at one anchor.

    Args:
        customers: code of each customer, shape (n,).
        codes: column → codes of the last L events, oldest first, 0 before the first, shape (n, L).
        numeric: of the same events, shape (n, L, len(NUMERIC)).
        statics: features of the whole past, shape (n, len(STATICS)).
        rows: where each event is in the table it came from, -1 for padding, shape (n, L).
    """

    customers: Ints
    codes: dict[str, Ints]
    numeric: Floats
    statics: Floats
    rows: npt.NDArray[np.int64]

    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by the names of the network's inputs."""
        return {**self.codes, "numeric": self.numeric, "statics": self.statics}


def event_code(event_type: str) -> int:
    """Return the code of an event type; these are the same in every vocabulary."""
    return FIRST_CODE + EVENT_TYPES.index(event_type)


def learn_vocabulary(events: pa.Table) -> Vocabulary:
    """Return the codes of the values that are frequent enough, most frequent first."""
    vocabulary = {"event_type": {name: event_code(name) for name in EVENT_TYPES}}
    for column, size in SIZES.items():
        counts = pc.value_counts(events[column].drop_null()).to_pylist()
        frequent = sorted((-c["counts"], c["values"]) for c in counts if c["counts"] >= LEAST_COUNT)
        vocabulary[column] = {value: FIRST_CODE + n for n, (_, value) in enumerate(frequent[:size])}
    return vocabulary


def vocabulary_sizes(vocabulary: Vocabulary) -> dict[str, int]:
    """Return how many codes each column has, PAD and UNKNOWN among them."""
    return {column: FIRST_CODE + len(codes) for column, codes in vocabulary.items()}


def history(events: pa.Table, vocabulary: Vocabulary) -> History:
    """Return a snapshot table as arrays.

    Args:
        events: as `snapshots.read` returns them, sorted by customer, time and event_id.
        vocabulary: from `learn_vocabulary`.
    """
    customers = events["customer_key"].combine_chunks().dictionary_encode()
    return History(
        keys=np.array(customers.dictionary.to_pylist(), dtype=object),
        customer=customers.indices.to_numpy().astype(np.int32),
        occurred=_seconds(events["occurred_at"]),
        ingested=_seconds(events["ingested_at"]),
        codes={name: _codes(events[name], vocabulary[name]) for name in CODED},
        price=pc.fill_null(events["price"], -1.0).to_numpy().astype(np.float32),
        row=np.arange(events.num_rows),
    )


def encode(everything: History, definition: Definition, anchor: date, length: int) -> Encoded:
    """Encode the population of an anchor from what was known at its end.

    Args:
        everything: events, also such as arrived or happened later: they are not looked at.
        definition: population, history and time zone.
        anchor: shop day.
        length: L, events of a customer that are read one by one.
    """
    start = int(definition.day_start(definition.first_history_day(anchor)).timestamp())
    end = int(definition.day_end(anchor).timestamp())
    known = everything.known_at(start, end)
    recent = known.occurred >= end - definition.population_days * _DAY
    customers = np.unique(known.customer[recent])
    first = np.searchsorted(known.customer, customers, side="left")
    after = np.searchsorted(known.customer, customers, side="right")
    index = after[:, None] - length + np.arange(length)[None, :]
    inside = index >= first[:, None]
    index = np.where(inside, index, 0)
    return Encoded(
        customers=customers.astype(np.int32),
        codes={n: np.where(inside, c[index], PAD).astype(np.int32) for n, c in known.codes.items()},
        numeric=_numeric(known, end)[index] * inside[:, :, None],
        statics=_statics(known, customers, first, after, end),
        rows=np.where(inside, known.row[index], -1),
    )


def _numeric(known: History, end: int) -> Floats:
    """Return the numbers of each event, shape (n, len(NUMERIC))."""
    previous = np.empty_like(known.occurred)
    previous[1:] = known.occurred[:-1]
    starts = np.ones(len(previous), bool)
    starts[1:] = known.customer[1:] != known.customer[:-1]
    gap = np.where(starts, _FAR_DAYS * _DAY, known.occurred - previous)
    hour = 2 * np.pi * ((end - known.occurred) % _DAY) / _DAY
    week = 2 * np.pi * (known.occurred % (7 * _DAY)) / (7 * _DAY)
    columns = [
        np.log1p((end - known.occurred) / 3600) / 8,
        np.log1p(np.maximum(gap, 0) / 3600) / 8,
        np.log1p(np.maximum(known.price, 0)) / 8,
        known.price >= 0,
        np.sin(hour),
        np.cos(hour),
        np.sin(week),
        np.cos(week),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _statics(
    known: History,
    customers: npt.NDArray[Any],
    first: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    end: int,
) -> Floats:
    counts, since = [], []
    for kind in COUNTED:
        chosen = _of_kind(known, kind)
        place = known.customer[chosen].astype(np.int64) * _SPAN + known.occurred[chosen]
        last = np.searchsorted(place, (customers.astype(np.int64) + 1) * _SPAN)
        for days in WINDOWS_DAYS:
            begun = np.searchsorted(place, customers.astype(np.int64) * _SPAN + end - days * _DAY)
            counts.append(np.log1p(last - begun))
        since.append(_days_since(place, customers, last, end))
    tenure = np.log1p((end - known.occurred[first]) / _DAY)
    return np.stack([*counts, *since, tenure, np.log1p(after - first)], axis=1).astype(np.float32)


def _of_kind(known: History, kind: str) -> npt.NDArray[np.bool_]:
    if kind == "any":
        return np.ones(len(known.customer), bool)
    return np.asarray(known.codes["event_type"] == event_code(kind))


def _days_since(
    place: npt.NDArray[np.int64],
    customers: npt.NDArray[Any],
    last: npt.NDArray[np.int64],
    end: int,
) -> npt.NDArray[Any]:
    if len(place) == 0:
        return np.full(len(customers), np.log1p(_FAR_DAYS))
    latest = place[np.maximum(last - 1, 0)]
    found = (last > 0) & (latest // _SPAN == customers)
    days = (end - latest % _SPAN) / _DAY
    return np.log1p(np.where(found, np.maximum(days, 0), _FAR_DAYS))


def _seconds(instants: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    seconds: npt.NDArray[np.int64] = (instants.cast(pa.int64()).to_numpy() // 1_000_000).astype(
        np.int64
    )
    return seconds


def _codes(values: pa.ChunkedArray, known: dict[str, int]) -> Ints:
    names = pa.array(list(known), pa.string())
    found = pc.index_in(values, value_set=names).combine_chunks()
    table = np.array([*known.values(), UNKNOWN], np.int32)
    places = pc.fill_null(found, len(known)).to_numpy()
    return np.asarray(table[places], np.int32)


def join(parts: Sequence[Encoded]) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs of several anchors one below the other."""
    inputs = [part.inputs() for part in parts]
    return {name: np.concatenate([i[name] for i in inputs]) for name in inputs[0]}
