"""From events to the arrays a model reads: one function for training and for scoring.

A model reads two levels: events, and steps. A step is a shop day with events; days without events
are gaps between steps. `Encoded` holds events and steps ragged, of all customers of an anchor.
`Encoded.batch` returns the rows that a model reads at once, with padded steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    IntegerArray,
)
from intent_tasks.core.event_arrays import (
    BLOCK_EVENTS,
    DAY_SECONDS,
    FIXED_NUMERIC,
    EventArrays,
    float32_columns,
)
from intent_tasks.core.event_counts import FAR_DAYS, CustomerEvents, run_starts
from intent_tasks.core.features import FEATURES, features_of
from intent_tasks.core.vocabulary import CODE_COLUMNS, PAD
from intent_tasks.definition import Definition

ANCHOR_NUMERIC = ("hours_to_anchor_log", "hours_to_previous_log", "repeat_view", "starts_session")
"""Numeric inputs of an event that depend on the anchor."""

NUMERIC = (*FIXED_NUMERIC, *ANCHOR_NUMERIC)
"""Numeric inputs of an event."""

STEP = (
    "present",
    "days_to_previous_log",
    "days_to_next_log",
    "next_is_tomorrow",
    "days_to_anchor_log",
    "weekday_sin",
    "weekday_cos",
    "event_count_log",
)
"""Numeric inputs of a step; `next` is the anchor for the last step."""

NO_STEP = -1
"""Step index of an event that pads."""
_LOG_HOURS = 8.0  # brings logarithms of hours near 1

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Encoded:
    """The inputs of a model for n customers, ragged.

    Args:
        customers: code of each customer, shape (n,).
        features: hand-made features, shape (n, len(FEATURES)).
        events: all events; `place` selects from them.
        place: indices of the known events, by customer and time, shape (m,).
        anchor_numeric: numeric inputs of the known events, shape (m, len(ANCHOR_NUMERIC)).
        steps_back: number of later steps of the same customer, for each known event, shape (m,).
        event_end: end of each customer's known events, shape (n + 1,); [0] is 0.
        step: numeric inputs of the steps, by customer and time, shape (s, len(STEP)).
        step_end: end of each customer's steps, shape (n + 1,); [0] is 0.
        ends: the anchor of each customer in Unix seconds, shape (n,).
    """

    customers: Int32Array
    features: Float32Array
    events: EventArrays
    place: Int32Array
    anchor_numeric: Float32Array
    steps_back: Int32Array
    event_end: Int64Array
    step: Float32Array
    step_end: Int64Array
    ends: Int64Array

    @property
    def owner(self) -> Int64Array:
        """Index of the customer of each known event, shape (m,)."""
        return np.repeat(np.arange(len(self.customers)), self.event_count)

    @property
    def customer_events(self) -> CustomerEvents:
        """The known events, to be counted."""
        known = self.events.select(self.place)
        return CustomerEvents(known, len(self.customers), self.owner, self.ends)

    @property
    def event_count(self) -> Int64Array:
        """Number of known events of each customer, shape (n,)."""
        return np.diff(self.event_end)

    @property
    def event_age_days(self) -> Float32Array:
        """Days from each known event to its anchor, shape (m,)."""
        logs = self.anchor_numeric[:, ANCHOR_NUMERIC.index("hours_to_anchor_log")]
        return np.asarray(np.expm1(logs * _LOG_HOURS) / 24, np.float32)

    @property
    def step_count(self) -> Int64Array:
        """Number of steps of each customer, shape (n,)."""
        return np.diff(self.step_end)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes; of the events only the codes."""
        own = (
            self.features,
            self.place,
            self.anchor_numeric,
            self.steps_back,
            self.step,
            self.events.coded,
        )
        return sum(values.nbytes for values in own)

    def latest(self, chosen: IntegerArray, length: int) -> tuple[Int64Array, BoolArray]:
        """Return the indices of the latest known events of some customers.

        Args:
            chosen: customers, shape (b,).
            length: L, events of each.

        Returns:
            Indices, oldest first, 0 where there is no event; and a mask. Shape (b, L) each.
        """
        return _last(self.event_end, chosen, length)

    def read(self, chosen: IntegerArray, length: int, steps: int) -> tuple[Int64Array, Int64Array]:
        """Return the known events that a model reads, and the row of each, shape (e,) each.

        Args:
            chosen: customers, shape (b,).
            length: maximum number of events of each, the latest.
            steps: maximum number of steps of each, the latest.
        """
        end = self.event_end[chosen + 1]
        count = np.minimum(end - self.event_end[chosen], length)
        row = np.repeat(np.arange(len(chosen)), count)
        index = np.arange(len(row)) + (end - count.cumsum())[row]
        near = self.steps_back[index] < steps
        return index[near], row[near]

    def batch(
        self,
        chosen: IntegerArray,
        length: int,
        steps: int,
        room: Callable[[int], int] = int,
    ) -> Arrays:
        """Return the inputs of a network: e events of b customers in a row, newest last.

        Args:
            chosen: customers, shape (b,).
            length: maximum number of events of each, the latest.
            steps: S, the latest steps that are read.
            room: from the number of events to the padded number.

        Returns:
            codes (e, len(CODE_COLUMNS)), numeric (e, len(NUMERIC)), place (e,): row × S + step of
            each event, NO_STEP for padding, steps (b, S, len(STEP)), the newest last,
            features (b, len(FEATURES)).
        """
        index, row = self.read(chosen, length, steps)
        known, count, padded = self.place[index], len(index), room(len(index))
        codes = np.full((padded, len(CODE_COLUMNS)), PAD, np.int32)
        codes[:count] = self.events.coded[known]
        numeric = np.zeros((padded, len(NUMERIC)), np.float32)
        numeric[:count, : len(FIXED_NUMERIC)] = self.events.fixed_numeric[known]
        numeric[:count, len(FIXED_NUMERIC) :] = self.anchor_numeric[index]
        place = np.full(padded, NO_STEP, np.int32)
        place[:count] = (row + 1) * steps - 1 - self.steps_back[index]
        days, present = _last(self.step_end, chosen, steps)
        return {
            "codes": codes,
            "numeric": numeric,
            "place": place,
            "steps": self.step[days] * present[:, :, None],
            "features": self.features[chosen],
        }


def of_every(inputs: Arrays, first: int, step: int) -> Arrays:
    """Return the inputs of every `step`-th row.

    Args:
        inputs: from `Encoded.batch`.
        first: first row, below `step`.
        step: distance between rows.
    """
    steps = inputs["steps"].shape[1]
    row, back = np.divmod(inputs["place"], steps)
    kept = (row % step == first) & (inputs["place"] != NO_STEP)
    return {
        "codes": inputs["codes"][kept],
        "numeric": inputs["numeric"][kept],
        "place": (row[kept] // step) * steps + back[kept],
        "steps": inputs["steps"][first::step],
        "features": inputs["features"][first::step],
    }


def _last(end: Int64Array, chosen: IntegerArray, count: int) -> tuple[Int64Array, BoolArray]:
    """Return the indices of each customer's last items, shape (b, count), and which exist."""
    index = end[chosen + 1][:, None] - count + np.arange(count)[None, :]
    inside = index >= end[chosen][:, None]
    return np.where(inside, index, 0), inside


def encode(everything: EventArrays, definition: Definition, anchor: date) -> Encoded:
    """Encode the population of an anchor from the events known at its end.

    Args:
        everything: events; those that arrived or happened after the anchor are ignored.
        definition: population, history and time zone.
        anchor: shop day.
    """
    start = int(definition.day_start(definition.first_history_day(anchor)).timestamp())
    end = int(definition.day_end(anchor).timestamp())
    known = (everything.ingested < end) & (everything.occurred >= start)
    known &= everything.occurred < end
    active = known & (everything.occurred >= end - definition.population_days * DAY_SECONDS)
    is_active = np.zeros(len(everything.keys), bool)
    is_active[everything.customer[active]] = True
    customers = np.flatnonzero(is_active)
    place = np.flatnonzero(known & is_active[everything.customer]).astype(np.int32)
    owner = (np.cumsum(is_active) - 1)[everything.customer[place]]
    event_end = np.append(0, np.cumsum(np.bincount(owner, minlength=len(customers))))
    ends = np.full(len(customers), end)
    today = (anchor - date(1970, 1, 1)).days
    hand_made = np.empty((len(customers), len(FEATURES)), np.float32)
    anchor_numeric = np.empty((len(place), len(ANCHOR_NUMERIC)), np.float32)
    steps_back = np.empty(len(place), np.int32)
    steps, step_counts = [], []
    for first, last in _blocks_of_customers(event_end):
        index = slice(event_end[first], event_end[last])
        block = everything.select(place[index])
        events = CustomerEvents(block, last - first, owner[index] - first, ends[first:last])
        hand_made[first:last] = features_of(events)
        anchor_numeric[index] = _anchor_numeric(events)
        steps_back[index] = events.days_back
        steps.append(_steps(events, today))
        step_counts.append(np.bincount(events.owner[events.starts_day], minlength=events.count))
    return Encoded(
        customers=customers.astype(np.int32),
        features=hand_made,
        events=everything,
        place=place,
        anchor_numeric=anchor_numeric,
        steps_back=steps_back,
        event_end=event_end,
        step=np.concatenate(steps),
        step_end=np.append(0, np.cumsum(np.concatenate(step_counts))),
        ends=ends,
    )


def _blocks_of_customers(event_end: Int64Array) -> list[tuple[int, int]]:
    """Return first customer and end of blocks of about `BLOCK_EVENTS` events; at least one."""
    limits = np.arange(BLOCK_EVENTS, event_end[-1], BLOCK_EVENTS)
    inner = np.unique(np.searchsorted(event_end, limits))
    bounds = [0, *inner.tolist(), len(event_end) - 1]
    return [(a, b) for a, b in pairwise(bounds) if a < b or b == 0]


def _anchor_numeric(events: CustomerEvents) -> Float32Array:
    """Return the numeric inputs of known events, shape (m, len(ANCHOR_NUMERIC))."""
    gap = np.maximum(_since_previous(events.events.occurred), 0)
    gap[events.is_first] = FAR_DAYS * DAY_SECONDS
    return float32_columns(
        [
            np.log1p(events.seconds_before / 3600) / _LOG_HOURS,
            np.log1p(gap / 3600) / _LOG_HOURS,
            events.is_repeated_view,
            events.starts_session,
        ]
    )


def _steps(events: CustomerEvents, today: int) -> Float32Array:
    """Return the numeric inputs of the steps, shape (s, len(STEP))."""
    starts = np.flatnonzero(events.starts_day)
    owner, day = events.owner[starts], events.events.day[starts]
    is_first = run_starts(owner)
    last = np.append(is_first[1:], True)[: len(starts)]
    previous = np.where(is_first, int(FAR_DAYS), _since_previous(day))
    following = np.where(last, today + 1, np.append(day[1:], 0)[: len(day)]) - day
    week = 2 * np.pi * np.arange(7) / 7
    return float32_columns(
        [
            np.ones(len(day)),
            _log(np.maximum(previous, 1)) / 4,
            _log(np.maximum(following, 1)) / 4,
            following == 1,
            _log(1 + np.maximum(today - day, 0)) / 4,
            np.sin(week)[day % 7],
            np.cos(week)[day % 7],
            _log(np.diff(starts, append=len(events.owner))) / 4,
        ]
    )


def _log(values: IntegerArray) -> Float64Array:
    """Return the logarithms of numbers of days or events, each distinct one computed once."""
    return np.asarray(np.log(np.arange(1, 1 + values.max(initial=1)))[values - 1])


def _since_previous(values: IntegerArray) -> IntegerArray:
    return np.diff(values, prepend=values[:1])


def join(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate several anchors of the same events."""
    events = np.cumsum([0, *(len(part.place) for part in parts)])
    steps = np.cumsum([0, *(len(part.step) for part in parts)])
    event_ends = [p.event_end[1:] + n for p, n in zip(parts, events, strict=False)]
    step_ends = [p.step_end[1:] + n for p, n in zip(parts, steps, strict=False)]
    joined = {
        each.name: np.concatenate([getattr(part, each.name) for part in parts])
        for each in fields(Encoded)
        if each.name not in ("events", "event_end", "step_end")
    }
    return Encoded(
        **joined,
        events=parts[0].events,
        event_end=np.concatenate([[0], *event_ends]),
        step_end=np.concatenate([[0], *step_ends]),
    )
