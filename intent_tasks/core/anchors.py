"""On which days the model learns, is calibrated and is tested, and what came true after a day."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import History
from intent_tasks.definition import HORIZONS_DAYS, Definition

SHARES = {"train": 0.55, "calibrate": 0.15, "test": 0.30}
"""Parts of the days that are left when two gaps of the longest horizon are taken out."""

MOST_ANCHORS = {"train": 14, "calibrate": 4, "test": 6}
"""Neighbouring days tell nearly the same: these many, evenly spaced, are enough of each part."""

LEAST_DAYS = 10
"""Days without gaps below which a split by time says nothing."""

NEVER = len(HORIZONS_DAYS)
"""Label of a customer who did not purchase within the longest horizon."""


@dataclass(frozen=True)
class Split:
    """Anchors of each part, in the order of time, with a gap of the longest horizon between."""

    train: list[date]
    calibrate: list[date]
    test: list[date]


def split_days(first: date, last: date) -> Split | None:
    """Split the anchors from `first` to `last` by time; None when they are too few."""
    gap = max(HORIZONS_DAYS)
    free = (last - first).days + 1 - 2 * gap
    if free < LEAST_DAYS:
        return None
    parts, start = {}, first
    for name, share in SHARES.items():
        length = max(1, round(free * share))
        end = last if name == "test" else start + timedelta(days=length - 1)
        parts[name] = evenly(start, end, MOST_ANCHORS[name])
        start = end + timedelta(days=gap + 1)
    return Split(**parts)


def evenly(first: date, last: date, most: int) -> list[date]:
    """Return at most that many days from `first` to `last`, both among them."""
    days = (last - first).days + 1
    steps = np.unique(np.linspace(0, days - 1, min(days, most)).round().astype(int))
    return [first + timedelta(days=int(step)) for step in steps]


def first_purchases(
    history: History, customers: npt.NDArray[np.integer], anchor: date, definition: Definition
) -> npt.NDArray[np.int32]:
    """Return in which horizon each customer purchases first after an anchor, shape (n,).

    0 is the shortest horizon, `NEVER` none of them.

    Args:
        history: all events known by now.
        customers: codes of the customers, shape (n,).
        anchor: shop day.
        definition: tells when days end.
    """
    ends = [definition.day_end(anchor + timedelta(days=h)) for h in (0, *HORIZONS_DAYS)]
    limits = np.array([int(end.timestamp()) for end in ends], np.int64)
    bought = history.is_purchase & (history.occurred >= limits[0]) & (history.occurred < limits[-1])
    first = np.full(len(history.keys), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(first, history.customer[bought], history.occurred[bought])
    found = np.searchsorted(limits[1:], first[customers], side="right")
    return np.asarray(found, np.int32)
