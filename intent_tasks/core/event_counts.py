"""The past of customers as entries that can be counted: who, what kind, and how long ago."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import ABSENT, FACTS, Floats, History
from intent_tasks.core.vocabulary import CODED, FIRST_CODE, PAD, Ints, event_code
from intent_tasks.definition import EVENT_TYPES

KINDS = (*EVENT_TYPES, "view_again", "search_specific", "bad_review", "session", "active_day")
"""What is counted: events by type, some of them a second time for what they also are, and the
sessions and shop days on which there were any."""

SPECIFIC_WORDS = 3
"""Words from which a search says more than a category."""
PAUSE_SECONDS = 1800
"""A longer pause starts a session where the shop does not record sessions."""
DAY_SECONDS = 86_400

Wide = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Past:
    """Known events of some customers, shape (m,) each, by customer and time.

    Args:
        events: what is known of these customers.
        count: n, how many customers.
        who: place of the customer, 0 to n - 1.
        ends: the anchor of each customer in Unix seconds, shape (n,).
    """

    events: History
    count: int
    who: Wide
    ends: Wide

    @classmethod
    def of(cls, known: History, customers: npt.NDArray[Any], end: int | Wide) -> "Past":
        """Return the past of customers.

        Args:
            known: events known at the anchor, also of others.
            customers: codes in rising order, shape (n,).
            end: the anchor in Unix seconds, one for all or one each.
        """
        place = np.searchsorted(customers, known.customer)
        inside = place < len(customers)
        inside[inside] = customers[place[inside]] == known.customer[inside]
        events = known if inside.all() else known.only(inside)
        ends = np.broadcast_to(np.asarray(end, np.int64), len(customers))
        return cls(events, len(customers), place[inside], ends)

    @cached_property
    def age_days(self) -> npt.NDArray[np.float64]:
        """Days from each event to the anchor."""
        return np.asarray((self.ends[self.who] - self.events.occurred) / DAY_SECONDS)

    @cached_property
    def kind(self) -> Ints:
        """Place of the type of each event in `EVENT_TYPES`; -1 of a type that is not ours."""
        kind = self.events.coded[:, CODED.index("event_type")] - FIRST_CODE
        return np.asarray(np.where(kind < len(EVENT_TYPES), kind, -1), np.int32)

    def of_type(self, event_type: str) -> Bools:
        """Return which events are of a type."""
        return np.asarray(self.kind == event_code(event_type) - FIRST_CODE)

    @cached_property
    def first(self) -> Bools:
        """Which events are the first of their customer."""
        return starts(self.who)

    @cached_property
    def pause_seconds(self) -> Wide:
        """Seconds since the event before of the same customer; very many for the first."""
        pause = np.diff(self.events.occurred, prepend=self.events.occurred[:1])
        return np.asarray(np.where(self.first, np.iinfo(np.int64).max, pause))

    @cached_property
    def starts_day(self) -> Bools:
        """Which events are the first of their customer on a shop day."""
        return np.asarray(self.first | starts(self.events.day))

    @cached_property
    def starts_session(self) -> Bools:
        """Which events start a session."""
        session = self.events.session
        unknown = (session == ABSENT) & (self.pause_seconds > PAUSE_SECONDS)
        return np.asarray(self.first | (starts(session) & (session != ABSENT)) | unknown)

    @cached_property
    def days_back(self) -> Wide:
        """How many later active days the customer of each event has."""
        number = np.cumsum(self.starts_day) - 1
        last = np.zeros(self.count, np.int64)
        last[self.who] = number  # the latest event of a customer is written last
        return np.asarray(last[self.who] - number)

    @cached_property
    def entries(self) -> tuple[Wide, Ints]:
        """Events that count and as which kind, places in events and in `KINDS`, shape (e,) each."""
        facts, coded = self.events.facts, self.events.coded
        rated = facts[:, FACTS.index("has_rating")] > 0
        words = [CODED.index(f"word_{n}") for n in range(SPECIFIC_WORDS)]
        also = {
            "view_again": self.of_type("view") & ~self.is_new_look,
            "search_specific": self.of_type("search") & (coded[:, words] != PAD).all(axis=1),
            "bad_review": rated & (facts[:, FACTS.index("rating")] < 0),
            "session": self.starts_session,
            "active_day": self.starts_day,
        }
        ours = np.flatnonzero(self.kind >= 0)
        places, kinds = [ours], [self.kind[ours]]
        for name, chosen in also.items():
            places.append(np.flatnonzero(chosen))
            kinds.append(np.full(len(places[-1]), KINDS.index(name), np.int32))
        return np.concatenate(places), np.concatenate(kinds)

    @cached_property
    def is_new_look(self) -> Bools:
        """Which events are not a view of the product that was viewed just before."""
        views = np.flatnonzero(self.of_type("view"))
        who, product = self.who[views], self.events.product[views]
        new = np.ones(len(self.who), bool)
        new[views] = starts(who) | starts(product) | (product == ABSENT)
        return new

    def counted(
        self, groups: int, group: Wide, weights: npt.NDArray[np.floating] | None = None
    ) -> Floats:
        """Return how many entries of each kind a customer has in each group.

        Args:
            groups: how many.
            group: of each entry, shape (e,); one outside 0 … groups - 1 does not count.
            weights: of each entry; 1 if not given.

        Returns:
            Shape (n, groups, len(KINDS)).
        """
        place, kind = self.entries
        inside = (group >= 0) & (group < groups)
        cell = (self.who[place[inside]] * groups + group[inside]) * len(KINDS) + kind[inside]
        size = self.count * groups * len(KINDS)
        chosen = None if weights is None else weights[inside]
        found = np.bincount(cell, weights=chosen, minlength=size)
        return np.asarray(found.reshape(self.count, groups, len(KINDS)), np.float32)

    def latest(self, chosen: Bools) -> npt.NDArray[np.float64]:
        """Return the age in days of the latest of these events, NaN where there is none."""
        age = np.full(self.count, np.nan)
        age[self.who[chosen]] = self.age_days[chosen]  # the latest is written last
        return age


def starts(values: npt.NDArray[Any]) -> Bools:
    """Return which values differ from the one before; the first does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def latest_two(cell: npt.NDArray[np.integer], cells: int) -> tuple[Wide, Wide]:
    """Return the places of the last and of the last but one in each cell, -1 for none.

    Args:
        cell: of each of some things in the order of time, shape (m,).
        cells: how many there are.
    """
    last, before, places = np.full(cells, -1), np.full(cells, -1), np.arange(len(cell))
    last[cell] = places  # the latest is written last
    others = places[last[cell] != places]
    before[cell[others]] = others
    return last, before
