"""Definition of the prediction: population, anchor, horizons and label.

An *anchor* is the end of a shop day `as_of_date`: events ingested before that instant are known,
later ones are not. The *label* of a customer at an anchor and a horizon of h days is whether they
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

PURCHASE_EVENT_TYPES = ("purchase", "review", "refund")
"""Types of a purchase and of what follows it; all others can come before one."""

HORIZONS_DAYS = (1, 3, 7, 14)
"""Days after the anchor. A constant, because `intent.predictions` has a column for each."""

MAIN_HORIZON_DAYS = 7
"""Horizon of bands, reasons and the gate."""

SNAPSHOT_STEP = "snapshot"
"""Step of the ledger rows that name the valid snapshot of each day of arrival."""

ALL_BUCKETS = -1
"""Bucket of a ledger row that is about all customers."""

ROLES = ("champion", "challenger")
"""Roles in which a model version predicts."""

BANDS = {"hot": 4.0, "warm": 1.5, "cool": 0.5, "cold": 0.0}
"""Band → minimum lift over the realised base rate of the main horizon, hottest first."""

STAGES = ("browsing", "comparing", "ready", "leaving")
"""Stages of a customer, by their events within the main horizon; see `core/stages.py`."""

RESTATED_DAYS = 30
"""Days after the longest horizon; a purchase that arrives later changes no outcome."""

LEAST_GROUP = 10
"""Minimum number of customers of a group that is shown: a smaller one would reveal single ones.

`intent.feedback_metrics`, the source of every aggregate that people see, holds no smaller group.
"""

LEAST_BUYERS = 30
"""Minimum number of customers who purchase, and of those who do not, in a split of training and in
a slice of the gate; `expectations/thresholds.toml` has the same limit.
"""

QUARANTINE_STATES = ("held", "released", "dropped")
"""States of a row in quarantine: undecided, released into the data, dropped for good."""

FALLBACK_LEVELS = ("model", "recent", "base_rate")
"""Sources of a prediction: the model, the customer's last good prediction, or the base rate."""

KNOWN_DAYS = (date(1970, 1, 1), date(2999, 12, 31))
"""First and last allowed shop day: a day outside is a typing error, and dates could overflow."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Definition:
    """Who is predicted, from which events, and when outcomes are known.

    Args:
        time_zone: IANA name of the shop's time zone; its midnight ends a shop day.
        population_days: customers with an event in this many days are predicted.
        history_days: days before the anchor whose events are read.
        maturity_lag_days: days after a horizon until its outcomes count as matured, because events
            arrive late.
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
