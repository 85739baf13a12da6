"""From events to the arrays a model reads: one function for training and for scoring.

A past is read on two levels: events, and the shop days on which there were any (steps). Days
without events are gaps between steps. What is known at an anchor is kept ragged; `Encoded.batch`
takes as many rows out of it as a model reads at once: their events stay ragged, their steps are
padded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import ABSENT, FACTS, Floats, History
from intent_tasks.core.event_counts import Past
from intent_tasks.core.features import FEATURES, STATICS, features
from intent_tasks.core.vocabulary import CODED, PAD, Ints, event_code
from intent_tasks.definition import Definition

TOLD = ("hours_to_anchor_log", "hours_to_previous_log", "again", "starts_session")
"""Numbers of an event that hang on what else is known at the anchor."""

NUMERIC = (*FACTS, *TOLD)
"""Numbers of an event."""

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
"""Numbers of a step; `next` is the anchor for the last one."""

_READ = [FEATURES.index(name) for name in STATICS]
NOTHING = -1
"""Place of what is none."""
_DAY = 86_400
_FAR_DAYS = 400.0
_LOG_HOURS = 8.0
"""What logarithms of hours are divided by, so that they are about 1 at most."""

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Encoded:
    """What a model reads about n customers at one anchor, ragged.

    Args:
        customers: code of each customer, shape (n,).
        statics: hand-made features that the network reads, shape (n, len(STATICS)).
        features: all hand-made features of the whole past, shape (n, len(FEATURES)).
        events: all events; `place` says where in them.
        place: known events by customer and time, shape (m,).
        told: numbers of the known events, shape (m, len(TOLD)).
        steps_back: how many later steps the customer of each known event has, shape (m,).
        event_end: end of each customer's events among the known, shape (n + 1,); [0] is 0.
        step: numbers of the steps, by customer and time, shape (s, len(STEP)).
        step_end: end of each customer's steps, shape (n + 1,); [0] is 0.
        ends: the anchor of each customer in Unix seconds, shape (n,).
    """

    customers: Ints
    statics: Floats
    features: Floats
    events: History
    place: Ints
    told: Floats
    steps_back: Ints
    event_end: npt.NDArray[np.int64]
    step: Floats
    step_end: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """Place of the customer of each known event, shape (m,)."""
        return np.repeat(np.arange(len(self.customers)), self.event_count)

    @property
    def past(self) -> Past:
        """What is known, as entries that can be counted."""
        return Past(self.events.only(self.place), len(self.customers), self.owner, self.ends)

    @property
    def event_count(self) -> npt.NDArray[np.int64]:
        """Known events of each customer, shape (n,)."""
        return np.diff(self.event_end)

    @property
    def event_age_days(self) -> Floats:
        """How long before its anchor each known event happened, shape (m,)."""
        logs = self.told[:, TOLD.index("hours_to_anchor_log")]
        return np.asarray(np.expm1(logs * _LOG_HOURS) / 24, np.float32)

    @property
    def step_count(self) -> npt.NDArray[np.int64]:
        """Steps of each customer, shape (n,)."""
        return np.diff(self.step_end)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, without what anchors share of the events."""
        own = (
            self.statics,
            self.features,
            self.place,
            self.told,
            self.steps_back,
            self.step,
            self.events.coded,
        )
        return sum(values.nbytes for values in own)

    def latest(
        self, chosen: npt.NDArray[np.integer], length: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return where the latest events are among the known, and which of them there are.

        Args:
            chosen: which customers, shape (b,).
            length: L, events of each.

        Returns:
            Shape (b, L) each, oldest first; 0 where there is none.
        """
        return _last(self.event_end, chosen, length)

    def read(
        self, chosen: npt.NDArray[np.integer], length: int, steps: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return which of the known events a model reads, and of whom they are, shape (e,) each.

        Args:
            chosen: which customers, shape (b,).
            length: most events of each, the latest.
            steps: most steps of each, the latest.
        """
        end = self.event_end[chosen + 1]
        count = np.minimum(end - self.event_end[chosen], length)
        row = np.repeat(np.arange(len(chosen)), count)
        index = np.arange(len(row)) + (end - count.cumsum())[row]
        near = self.steps_back[index] < steps
        return index[near], row[near]

    def batch(
        self,
        chosen: npt.NDArray[np.integer],
        length: int,
        steps: int,
        room: Callable[[int], int] = int,
    ) -> Arrays:
        """Return the inputs of a network: e events of b customers one after the other, newest last.

        Args:
            chosen: which customers, shape (b,).
            length: most events of each that are read, the latest.
            steps: S, the latest steps that are read.
            room: how many events there is room for, where there are so many.

        Returns:
            codes (e, len(CODED)), numeric (e, len(NUMERIC)), place: row × S + step of each event,
            -1 where there is none (e,), steps (b, S, len(STEP)), the last one the newest,
            statics (b, len(STATICS)).
        """
        index, row = self.read(chosen, length, steps)
        known, count, most = self.place[index], len(index), room(len(index))
        codes = np.full((most, len(CODED)), PAD, np.int32)
        codes[:count] = self.events.coded[known]
        numeric = np.zeros((most, len(NUMERIC)), np.float32)
        numeric[:count, : len(FACTS)] = self.events.facts[known]
        numeric[:count, len(FACTS) :] = self.told[index]
        place = np.full(most, NOTHING, np.int32)
        place[:count] = (row + 1) * steps - 1 - self.steps_back[index]
        days, there = _last(self.step_end, chosen, steps)
        return {
            "codes": codes,
            "numeric": numeric,
            "place": place,
            "steps": self.step[days] * there[:, :, None],
            "statics": self.statics[chosen],
        }


def of_every(inputs: Arrays, first: int, step: int) -> Arrays:
    """Return the inputs of some rows: of the first, and of every so-manieth after it.

    Args:
        inputs: as `Encoded.batch` returns them.
        first: number of the first row, below `step`.
        step: from one row to the next.
    """
    steps = inputs["steps"].shape[1]
    row, back = np.divmod(inputs["place"], steps)
    kept = (row % step == first) & (inputs["place"] != NOTHING)
    return {
        "codes": inputs["codes"][kept],
        "numeric": inputs["numeric"][kept],
        "place": (row[kept] // step) * steps + back[kept],
        "steps": inputs["steps"][first::step],
        "statics": inputs["statics"][first::step],
    }


def _last(
    end: npt.NDArray[np.int64], chosen: npt.NDArray[np.integer], most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the places of the last ones of each customer, shape (b, most), and which there are."""
    index = end[chosen + 1][:, None] - most + np.arange(most)[None, :]
    inside = index >= end[chosen][:, None]
    return np.where(inside, index, 0), inside


def encode(everything: History, definition: Definition, anchor: date) -> Encoded:
    """Encode the population of an anchor from what was known at its end.

    Args:
        everything: events, also such as arrived or happened later: they are not looked at.
        definition: population, history and time zone.
        anchor: shop day.
    """
    start = int(definition.day_start(definition.first_history_day(anchor)).timestamp())
    end = int(definition.day_end(anchor).timestamp())
    inside = (everything.ingested < end) & (everything.occurred >= start)
    recent = inside & (everything.occurred < end)
    latest = recent & (everything.occurred >= end - definition.population_days * _DAY)
    customers = np.unique(everything.customer[latest])
    place = np.flatnonzero(recent & np.isin(everything.customer, customers)).astype(np.int32)
    known = everything.only(place)
    back, step, step_end = _steps(known, (anchor - date(1970, 1, 1)).days)
    ends = np.searchsorted(known.customer, customers, side="right")
    past = features(known, customers, end)
    return Encoded(
        customers=customers.astype(np.int32),
        statics=past[:, _READ],
        features=past,
        events=everything,
        place=place,
        told=_told(known, end),
        steps_back=back,
        event_end=np.concatenate([[0], ends]),
        step=step,
        step_end=step_end,
        ends=np.full(len(customers), end),
    )


def _told(known: History, end: int) -> Floats:
    """Return numbers of each known event, shape (m, len(TOLD))."""
    first = _starts(known.customer)
    gap = np.where(first, _FAR_DAYS * _DAY, _since_previous(known.occurred))
    columns = [
        np.log1p((end - known.occurred) / 3600) / _LOG_HOURS,
        np.log1p(np.maximum(gap, 0) / 3600) / _LOG_HOURS,
        _again(known),
        first | _starts(known.session) | ((known.session == ABSENT) & (gap > 1800)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _again(known: History) -> npt.NDArray[np.bool_]:
    """Return which events are a view of the product that the customer viewed just before."""
    views = np.flatnonzero(known.codes["event_type"] == event_code("view"))
    customer, product = known.customer[views], known.product[views]
    again = np.zeros(len(known.customer), bool)
    same = (customer[1:] == customer[:-1]) & (product[1:] == product[:-1])
    again[views[1:]] = same & (product[1:] != ABSENT)
    return again


def _steps(known: History, today: int) -> tuple[Ints, Floats, npt.NDArray[np.int64]]:
    """Return how many later steps each event has, the numbers of the steps, and their ends."""
    starts = np.flatnonzero(_starts(known.customer) | _starts(known.day))
    customer, day = known.customer[starts], known.day[starts]
    number = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(known.day))))
    last = np.append(customer[1:] != customer[:-1], True)[: len(starts)]
    step_end = np.flatnonzero(last) + 1
    back = np.repeat(step_end, np.diff(step_end, prepend=0)) - 1 - np.arange(len(starts))
    previous = np.where(_starts(customer), _FAR_DAYS, _since_previous(day))
    following = np.where(last, today + 1, np.append(day[1:], 0)[: len(day)]) - day
    week = 2 * np.pi * (day % 7) / 7
    columns = [
        np.ones(len(day)),
        np.log(np.maximum(previous, 1)) / 4,
        np.log(np.maximum(following, 1)) / 4,
        following == 1,
        np.log1p(np.maximum(today - day, 0)) / 4,
        np.sin(week),
        np.cos(week),
        np.log(np.bincount(number, minlength=len(day))[: len(day)]) / 4,
    ]
    step = np.stack(columns, axis=1).astype(np.float32)
    return back[number].astype(np.int32), step, np.concatenate([[0], step_end])


def _starts(values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return which values differ from the one before; the first does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _since_previous(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    return np.diff(values, prepend=values[:1])


def join(parts: Sequence[Encoded]) -> Encoded:
    """Return several anchors of the same events, one after the other."""
    events = np.cumsum([0, *(len(part.place) for part in parts)])
    steps = np.cumsum([0, *(len(part.step) for part in parts)])
    event_ends = [p.event_end[1:] + n for p, n in zip(parts, events, strict=False)]
    step_ends = [p.step_end[1:] + n for p, n in zip(parts, steps, strict=False)]
    return Encoded(
        customers=np.concatenate([part.customers for part in parts]),
        statics=np.concatenate([part.statics for part in parts]),
        features=np.concatenate([part.features for part in parts]),
        events=parts[0].events,
        place=np.concatenate([part.place for part in parts]),
        told=np.concatenate([part.told for part in parts]),
        steps_back=np.concatenate([part.steps_back for part in parts]),
        event_end=np.concatenate([[0], *event_ends]),
        step=np.concatenate([part.step for part in parts]),
        step_end=np.concatenate([[0], *step_ends]),
        ends=np.concatenate([part.ends for part in parts]),
    )
