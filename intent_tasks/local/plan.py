"""The days of the demo, counted back from the shop's last day."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

from intent_tasks.core.anchors import needed_days
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import source

MATURED_BEFORE_DAYS = 15
"""Longest horizon plus lag: the outcomes of predictions of that day are known on the last day."""
RECENT_DAYS = 7
CHECKED_DAYS = 60
"""Days up to the last one that are checked for events."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Plan:
    """The days of the demo. Days on which the shop was closed are skipped: they get no predictions.

    Args:
        last_day: of the shop.
        closed: days up to it without events.
    """

    last_day: date
    closed: frozenset[date] = frozenset()

    @classmethod
    def of(cls, settings: Settings, last_day: date) -> Self:
        """Plan for the shop that was loaded.

        Raises:
            Refused: there is no `shop.events`, or it lacks a column that is needed.
            TemporaryFailure: the server cannot be reached or gave up.
        """
        days = [last_day - n * _DAY for n in range(CHECKED_DAYS)]
        with source.warehouse(settings) as warehouse:
            arrived = warehouse.arrived(days)
        return cls(last_day, frozenset(day for day in days if not arrived[day].rows))

    def require_history(self, first_day: date) -> None:
        """Check that a shop with that first day has enough days, before anything is started.

        Raises:
            Refused: it has too few; the message says how many are needed.
        """
        needed = needed_days(MATURED_BEFORE_DAYS - max(HORIZONS_DAYS))
        days = (self.last_day - first_day).days + 1
        later_days = (self.last_day - self.trained_on).days
        if days < needed + later_days:
            raise Refused(
                f"The file has {max(days, 0)} complete days, {first_day} to {self.last_day}; the "
                f"demo needs {needed + later_days}: {needed} for training, and {later_days} "
                "after them for outcomes. Use a file with a longer history."
            )

    @property
    def today(self) -> date:
        """The last predicted day."""
        return self._open(self.last_day)

    @property
    def trained_on(self) -> date:
        """As-of date of the training."""
        return self._open(self.first_day - _DAY)

    @property
    def first_day(self) -> date:
        """First predicted day: its outcomes are known today, at every horizon."""
        return self._open(self.today - MATURED_BEFORE_DAYS * _DAY)

    @property
    def recent_days(self) -> list[date]:
        """The last days up to today, predicted by backfill."""
        days = [self.today - n * _DAY for n in range(RECENT_DAYS, -1, -1)]
        return [day for day in days if day not in self.closed]

    def _open(self, day: date) -> date:
        """Return the day, or the last earlier day on which the shop was open."""
        while day in self.closed:
            day -= _DAY
        return day
