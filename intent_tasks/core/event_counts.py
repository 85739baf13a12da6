"""Known events of customers as entries to count: customer, kind and age of each."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    FloatArray,
    Int32Array,
    Int64Array,
    IntegerArray,
)
from intent_tasks.core.event_arrays import DAY_SECONDS, FIXED_NUMERIC, EventArrays
from intent_tasks.core.vocabulary import ABSENT, CODE_COLUMNS, FIRST_CODE, PAD, event_code
from intent_tasks.definition import EVENT_TYPES

KINDS = (*EVENT_TYPES, "view_again", "search_specific", "bad_review", "session", "active_day")
"""What is counted: events by type, some events a second time by a property of theirs, and the
sessions and shop days with events."""

SPECIFIC_WORDS = 3
"""A search with this many words is specific: it names more than a category."""
SESSION_GAP_SECONDS = 1800
"""A longer gap starts a session where the shop records no session."""
FAR_DAYS = 400.0
"""Age in days that stands for an event that never happened."""


@dataclass(frozen=True)
class CustomerEvents:
    """The m known events of n customers, sorted by customer and time.

    Args:
        events: the events.
        count: n.
        owner: index of the customer of each event, 0 to n - 1, shape (m,).
        anchor_seconds: anchor of each customer in Unix seconds, shape (n,).
    """

    events: EventArrays
    count: int
    owner: Int64Array
    anchor_seconds: Int64Array

    @classmethod
    def of(
        cls, known: EventArrays, customers: npt.NDArray[Any], end: int | Int64Array
    ) -> "CustomerEvents":
        """Return the events of some customers.

        Args:
            known: events known at the anchor, also those of other customers.
            customers: customer codes, ascending, shape (n,).
            end: the anchor in Unix seconds, one for all or one for each.
        """
        index = np.searchsorted(customers, known.customer)
        inside = index < len(customers)
        inside[inside] = customers[index[inside]] == known.customer[inside]
        events = known if inside.all() else known.select(inside)
        ends = np.broadcast_to(np.asarray(end, np.int64), len(customers))
        return cls(events, len(customers), index[inside], ends)

    @cached_property
    def seconds_before(self) -> Int64Array:
        """Seconds from each event to the anchor."""
        return np.asarray(self.anchor_seconds[self.owner] - self.events.occurred)

    @cached_property
    def age_days(self) -> Float64Array:
        """Days from each event to the anchor."""
        return np.asarray(self.seconds_before / DAY_SECONDS)

    @cached_property
    def type_code(self) -> Int32Array:
        """Code of the type of each event."""
        return np.ascontiguousarray(self.events.codes_by_column["event_type"])

    @cached_property
    def type_index(self) -> Int32Array:
        """Index of the type of each event in `EVENT_TYPES`; -1 for an unknown type."""
        index = self.type_code - FIRST_CODE
        return np.asarray(np.where(index < len(EVENT_TYPES), index, -1), np.int32)

    def is_type(self, *event_types: str) -> BoolArray:
        """Return which events are of one of some types."""
        return np.asarray(
            np.logical_or.reduce([self.type_code == event_code(each) for each in event_types])
        )

    @cached_property
    def price(self) -> Float32Array:
        """Price of each event, -1 where it is null."""
        return self.events.price

    @cached_property
    def is_first(self) -> BoolArray:
        """Which events are the first of their customer."""
        return run_starts(self.owner)

    @cached_property
    def last(self) -> Int64Array:
        """Index of the last event of each customer that has one."""
        return np.flatnonzero(np.append(self.is_first[1:], True)[: len(self.owner)])

    @cached_property
    def starts_day(self) -> BoolArray:
        """Which events are the first of their customer on a shop day."""
        return np.asarray(self.is_first | run_starts(self.events.day))

    @cached_property
    def starts_session(self) -> BoolArray:
        """Which events start a session."""
        return session_starts(self.owner, self.events.session, self.events.occurred)

    @cached_property
    def days_back(self) -> Int64Array:
        """Number of later active days of the same customer, for each event."""
        number = np.cumsum(self.starts_day)
        of_last = np.zeros(self.count, np.int64)
        of_last[self.owner[self.last]] = number[self.last]
        return np.asarray(of_last[self.owner] - number)

    @cached_property
    def entries(self) -> tuple[Int64Array, Int32Array]:
        """What is counted: event index and index in `KINDS` of each entry, shape (e,) each.

        The entries of one kind are in order of time.
        """
        numeric, coded = self.events.fixed_numeric, self.events.coded
        rated = numeric[:, FIXED_NUMERIC.index("has_rating")] > 0
        searches = np.flatnonzero(self.is_type("search"))
        words = [CODE_COLUMNS.index(f"word_{n}") for n in range(SPECIFIC_WORDS)]
        is_specific = (coded[searches][:, words] != PAD).all(axis=1)
        derived = {
            "view_again": np.flatnonzero(self.is_repeated_view),
            "search_specific": searches[is_specific],
            "bad_review": np.flatnonzero(rated & (numeric[:, FIXED_NUMERIC.index("rating")] < 0)),
            "session": np.flatnonzero(self.starts_session),
            "active_day": np.flatnonzero(self.starts_day),
        }
        known = np.flatnonzero(self.type_index >= 0)
        indices, kinds = [known], [self.type_index[known]]
        for name, index in derived.items():
            indices.append(index)
            kinds.append(np.full(len(index), KINDS.index(name), np.int32))
        return np.concatenate(indices), np.concatenate(kinds)

    @cached_property
    def cell(self) -> Int64Array:
        """Customer and kind of each entry as one number, shape (e,)."""
        index, kind = self.entries
        return np.asarray(self.owner[index] * len(KINDS) + kind)

    @cached_property
    def is_repeated_view(self) -> BoolArray:
        """Which events are a view of the product that the customer viewed just before."""
        views = np.flatnonzero(self.is_type("view"))
        owner, product = self.owner[views], self.events.product[views]
        repeated = np.zeros(len(self.owner), bool)
        repeated[views] = ~(run_starts(owner) | run_starts(product) | (product == ABSENT))
        return repeated

    def count_by_group(self, groups: int, group: IntegerArray) -> Float32Array:
        """Count the entries of each customer, group and kind.

        Args:
            groups: number of groups.
            group: group of each event, shape (m,); events outside 0 … groups - 1 do not count.

        Returns:
            Shape (n, groups, len(KINDS)).
        """
        index, size = self.entries[0], self.count * len(KINDS)
        inside, cell = (group >= 0) & (group < groups), self.cell
        if not inside.all():
            chosen = np.flatnonzero(inside[index])
            index, cell = index[chosen], cell[chosen]
        counts = np.bincount(group[index] * size + cell, minlength=groups * size)
        by_group = counts.reshape(groups, self.count, len(KINDS))
        return np.ascontiguousarray(by_group.swapaxes(0, 1), np.float32)

    def sum_by_kind(self, weights: FloatArray) -> Float32Array:
        """Return the sum of weights of events over the entries, by customer and kind.

        Args:
            weights: weight of each event, shape (m,).

        Returns:
            Shape (n, len(KINDS)).
        """
        sums = np.bincount(self.cell, weights[self.entries[0]], self.count * len(KINDS))
        return sums.reshape(self.count, len(KINDS)).astype(np.float32)

    def latest_age_days(self, chosen: BoolArray) -> Float64Array:
        """Return the age of each customer's latest chosen event, NaN without one; shape (n,)."""
        age = np.full(self.count, np.nan)
        age[self.owner[chosen]] = self.age_days[chosen]  # the latest is written last
        return age


def run_starts(values: npt.NDArray[Any]) -> BoolArray:
    """Return which values differ from the previous one; the first does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def session_starts(owner: IntegerArray, session: Int32Array, occurred: Int64Array) -> BoolArray:
    """Return which events start a session; events are sorted by customer and time.

    An event with a session starts one if the customer's last known session is another. An event
    without a session belongs to the current session, unless it follows a gap of more than
    `SESSION_GAP_SECONDS`.

    Args:
        owner: customer of each event, shape (m,).
        session: code of the session, ABSENT for none, shape (m,).
        occurred: Unix seconds, shape (m,).
    """
    first, known = run_starts(owner), session != ABSENT
    source = np.where(first | known, np.arange(len(session)), 0)
    last_known = session[np.maximum.accumulate(source)]
    changed = known & (session != np.append(ABSENT, last_known)[: len(session)])
    gap = np.diff(occurred, prepend=occurred[:1]) > SESSION_GAP_SECONDS
    return np.asarray(first | changed | (~known & gap))


def last_two(cell: IntegerArray, cells: int) -> tuple[Int64Array, Int64Array]:
    """Return the indices of the last and the second last item of each cell, -1 for none.

    Args:
        cell: cell of each item, items in order of time, shape (m,).
        cells: number of cells.
    """
    last, previous, index = np.full(cells, -1), np.full(cells, -1), np.arange(len(cell))
    last[cell] = index  # the latest is written last
    others = index[last[cell] != index]
    previous[cell[others]] = others
    return last, previous
