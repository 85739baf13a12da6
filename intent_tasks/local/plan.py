"""Which days the demo works on, counted back from the shop's last day."""

from dataclasses import dataclass
from datetime import date, timedelta

TRAINED_BEFORE_DAYS = 16
MATURED_BEFORE_DAYS = 15
"""Longest horizon and lag: on the last day, all outcomes of that day's predictions are known."""
RECENT_DAYS = 7


@dataclass(frozen=True)
class Plan:
    """The days of the demo."""

    today: date

    @property
    def trained_on(self) -> date:
        """Day whose end training knows everything of."""
        return self.today - timedelta(days=TRAINED_BEFORE_DAYS)

    @property
    def first_day(self) -> date:
        """First predicted day: what its customers did next is known by now, at every horizon."""
        return self.today - timedelta(days=MATURED_BEFORE_DAYS)

    @property
    def recent_days(self) -> list[date]:
        """The last days up to today, predicted by backfill."""
        return [self.today - timedelta(days=n) for n in range(RECENT_DAYS, -1, -1)]
