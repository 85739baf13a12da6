"""The order of files of customers, and the refusals of those whose order is not known."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from intent_tasks.stores.collecting.discovery import name_order

_DATE = re.compile(
    r"(?<![0-9])(20[0-9]{2})(?:[-_.]|/(?:[a-z]+=)?)?(0[1-9]|1[0-2])(?:[-_.]|/(?:[a-z]+=)?)?"
    r"(0[1-9]|[12][0-9]|3[01])(?![0-9]{1,3}(?![0-9])|[0-9]{7})"
)
"""A date in a name, year first: 2026-06-30, 20260630, 20260630T1200, year=2026/month=06/day=30."""


def dates_of(name: str) -> tuple[str, ...]:
    """Return the dates in a name, each as eight digits."""
    return tuple("".join(date) for date in _DATE.findall(name))


def sort_key(began_at: datetime, url: str) -> tuple[object, ...]:
    """Return what files are sorted by: the call that loads them, dates in their names, names."""
    return began_at, dates_of(url), name_order(url)


class Place(NamedTuple):
    """Where a file stands in the order: the beginning of its call, and its address."""

    began_at: datetime
    url: str

    def is_before(self, other: "Place") -> bool:
        """Return whether a file is surely older: by its call, or by the date in its name."""
        if self.began_at != other.began_at:
            return self.began_at < other.began_at
        own, dates = dates_of(self.url), dates_of(other.url)
        return bool(own and dates) and own < dates


@dataclass
class Refusals:
    """Who refused what in the files of one call."""

    _of: list[tuple[Place, pa.Table]] = field(default_factory=list)

    def add(self, place: Place, refusals: pa.Table) -> None:
        """Keep those of a file."""
        if refusals.num_rows:
            self._of.append((place, refusals))

    def of(self, place: Place) -> list[pa.Table]:
        """Return those of the files that may be newer than this one."""
        return [refusals for other, refusals in self._of if not other.is_before(place)]
