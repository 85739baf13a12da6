"""Anchors of the training, calibration and test splits, and the labels at an anchor."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import EventArrays
from intent_tasks.definition import HORIZONS_DAYS, Definition

SHARES = {"train": 0.55, "calibrate": 0.15, "test": 0.30}
"""Share of the days in each split, after two gaps of the longest horizon are taken out."""

MAX_ANCHORS = {"train": 14, "calibrate": 4, "test": 6}
"""Maximum number of anchors of each split, evenly spaced: neighbouring days are nearly equal."""

MIN_HISTORY_DAYS = 14
"""Days of events before the first anchor, from which its features are computed."""

MIN_DAYS = 10
"""Minimum number of days without the gaps; fewer cannot be split."""

NEVER = len(HORIZONS_DAYS)
"""Label of a customer without a purchase within the longest horizon."""


@dataclass(frozen=True)
class Split:
    """Anchors of each split in order of time, with a gap of the longest horizon between splits."""

    train: list[date]
    calibrate: list[date]
    test: list[date]


def split_days(first: date, last: date) -> Split | None:
    """Split the anchors from `first` to `last` by time; None if there are too few."""
    gap = max(HORIZONS_DAYS)
    free = (last - first).days + 1 - 2 * gap
    if free < MIN_DAYS:
        return None
    parts, start = {}, first
    for name, share in SHARES.items():
        length = max(1, round(free * share))
        end = last if name == "test" else start + timedelta(days=length - 1)
        parts[name] = evenly(start, end, MAX_ANCHORS[name])
        start = end + timedelta(days=gap + 1)
    return Split(**parts)


def training_split(
    earliest: date, as_of_date: date, training_days: int, maturity_lag_days: int
) -> Split | None:
    """Return the anchors of a training at the end of a day; None if there are too few days.

    Args:
        earliest: first shop day with an event.
        as_of_date: shop day at whose end the labels are known.
        training_days: maximum number of days with anchors.
        maturity_lag_days: days after a horizon until its labels are known.
    """
    last = as_of_date - timedelta(days=max(HORIZONS_DAYS) + maturity_lag_days)
    days = min(training_days, available_training_days(earliest, as_of_date, maturity_lag_days))
    return split_days(last - timedelta(days=days - 1), last)


def available_training_days(earliest: date, as_of_date: date, maturity_lag_days: int) -> int:
    """Return how many days can have anchors; arguments as of `training_split`."""
    immature = max(HORIZONS_DAYS) + maturity_lag_days
    return (as_of_date - earliest).days + 1 - MIN_HISTORY_DAYS - immature


def needed_days(maturity_lag_days: int) -> int:
    """Return the minimum number of days of events for a training, the last day included."""
    return MIN_HISTORY_DAYS + MIN_DAYS + 3 * max(HORIZONS_DAYS) + maturity_lag_days


def evenly(first: date, last: date, max_count: int) -> list[date]:
    """Return at most `max_count` evenly spaced days from `first` to `last`, both included."""
    days = (last - first).days + 1
    steps = np.unique(np.linspace(0, days - 1, min(days, max_count)).round().astype(int))
    return [first + timedelta(days=int(step)) for step in steps]


def first_purchases(
    events: EventArrays, customers: npt.NDArray[np.integer], anchor: date, definition: Definition
) -> npt.NDArray[np.int32]:
    """Return the horizon of each customer's first purchase after an anchor, shape (n,).

    0 is the shortest horizon; `NEVER` means no purchase within the longest.

    Args:
        events: all events.
        customers: codes of the customers, shape (n,).
        anchor: shop day.
        definition: gives the ends of shop days.
    """
    ends = [definition.day_end(anchor + timedelta(days=h)) for h in (0, *HORIZONS_DAYS)]
    limits = np.array([int(end.timestamp()) for end in ends], np.int64)
    bought = events.is_purchase & (events.occurred >= limits[0]) & (events.occurred < limits[-1])
    first = np.full(len(events.keys), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(first, events.customer[bought], events.occurred[bought])
    horizon = np.searchsorted(limits[1:], first[customers], side="right")
    return np.asarray(horizon, np.int32)
