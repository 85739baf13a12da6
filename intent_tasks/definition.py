"""What is predicted: population, anchor, horizons and label, for trainer, scorer and feedback.

An *anchor* is the end of a shop day `as_of_date`: everything ingested before that instant is known,
nothing later is. The *label* of a customer at an anchor and a horizon of h days is whether they
purchase within the h shop days that follow the anchor.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVENT_TYPES = (
    "view",
    "click",
    "search",
    "cart",
    "remove",
    "purchase",
    "review",
    "refund",
)
"""What a customer can do, in the order of their codes: append new types."""

HORIZONS_DAYS = (1, 3, 7, 14)
"""Days after the anchor. A constant: the columns of `intent.predictions` are made from it."""

MAIN_HORIZON_DAYS = 7
"""The horizon that bands, reasons and the gate look at."""

SNAPSHOT_STEP = "snapshot"
"""Step of the ledger rows that name the valid snapshot of each day of arrival."""

ALL_BUCKETS = -1
"""Bucket of a ledger row that is about all customers."""

ROLES = ("champion", "challenger")
"""In which role a model version scored a customer."""

BANDS = {"hot": 4.0, "warm": 1.5, "cool": 0.5, "cold": 0.0}
"""Least lift over the realised base rate of the main horizon, hottest first."""

STAGES = ("browsing", "comparing", "ready", "leaving")
"""Where a customer stands, by what they do within the main horizon; see `core/stages.py`."""

RESTATED_DAYS = 30
"""A purchase that arrives later than this after the longest horizon changes no outcome."""

LEAST_GROUP = 10
"""Customers below which a group is not shown: it would say something about single ones.

`intent.feedback_metrics`, from which every aggregate shown to people is read, can hold no smaller
one.
"""

LEAST_BUYERS = 30
"""Customers who purchase, and as many who do not, below which nothing is learned from a part of the
days and nothing is said of a slice of customers; `expectations/thresholds.toml` asks for the same.
"""

QUARANTINE_STATES = ("held", "released", "dropped")
"""What is decided about a row that was set aside: nothing yet, it goes in, it stays out."""

FALLBACK_LEVELS = ("model", "recent", "base_rate")
"""Where a score came from: the model, the customer's last good score, or the base rate."""

KNOWN_DAYS = (date(1970, 1, 1), date(2999, 12, 31))
"""Between these every calculation with days has room; a shop day beyond them is a slip."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Definition:
    """The choices that fix who is predicted and when the truth is known.

    Args:
        time_zone: IANA name of the shop's time zone; its midnight ends a shop day.
        population_days: a customer is predicted when they did something in this many days.
        history_days: events older than this, counted from the anchor, are not read.
        maturity_lag_days: extra days after a horizon before an outcome counts as matured, because
            events arrive late.
    """

    time_zone: str = "UTC"
    population_days: int = 30
    history_days: int = 90
    maturity_lag_days: int = 1

    def day_start(self, day: date) -> datetime:
        """Return the instant (UTC) at which the shop day begins."""
        return datetime.combine(day, time(), ZoneInfo(self.time_zone)).astimezone(UTC)

    def day_end(self, day: date) -> datetime:
        """Return the instant (UTC) at which the shop day is over: the anchor of that day."""
        return self.day_start(day + timedelta(days=1))

    def is_day(self, day: date) -> bool:
        """Return whether the zone has that day; changing sides of the date line may skip one."""
        return self.day_start(day) < self.day_end(day)

    def day_of(self, moment: datetime) -> date:
        """Return the shop day that a moment lies in."""
        day = moment.astimezone(ZoneInfo(self.time_zone)).date() + _DAY
        while self.day_start(day) > moment or not self.is_day(day):
            day -= _DAY
        return day

    def last_day_over(self, moment: datetime) -> date:
        """Return the last shop day that is over at a moment."""
        day = self.day_of(moment) - _DAY
        while not self.is_day(day):
            day -= _DAY
        return day

    def matured_on(self, as_of_date: date, horizon_days: int) -> date:
        """Return the first day at whose end the outcome of that anchor and horizon is matured."""
        return as_of_date + timedelta(days=horizon_days + self.maturity_lag_days)

    def first_history_day(self, as_of_date: date) -> date:
        """Return the earliest shop day whose events are read for that anchor."""
        return as_of_date - timedelta(days=self.history_days - 1)
