"""Hand-made features of a customer's past: what the baselines know, and the network beside events.

All of one anchor is computed at once, from what was known then and from the customer's own events
only: a customer is read the same alone and among others.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import Floats, History
from intent_tasks.core.event_counts import DAY_SECONDS, KINDS, Past, Wide
from intent_tasks.core.product_features import BASKETS, baskets

WINDOWS_DAYS = (1, 2, 3, 5, 8, 14, 30)
HALF_LIVES_DAYS = (1, 4, 14)
RECENT_DAYS = 3
"""Latest active days that are told one by one."""
TOLD = tuple(kind for kind in KINDS if kind != "active_day")
FAR_DAYS = 400.0
"""Stands for the age of what never was."""
RATIOS = (("cart", "view"), ("purchase", "cart"), ("purchase", "session"), ("remove", "cart"))
SPACED = ("active_day", "session", "purchase")

COUNTS = (
    *(f"{kind}_count_{days}d_log" for days in WINDOWS_DAYS for kind in KINDS),
    *(f"{kind}_count_log" for kind in KINDS),
)
DECAYED = tuple(f"{kind}_decayed_{days}d" for days in HALF_LIVES_DAYS for kind in KINDS)
SINCE = tuple(f"days_since_{kind}_log" for kind in KINDS)
LAST_DAYS = tuple(f"{kind}_count_on_day_{n}_log" for n in range(RECENT_DAYS) for kind in TOLD)
SINCE_PURCHASE = tuple(f"{kind}_count_since_purchase_log" for kind in KINDS)
GAPS = ("gap_mean_log", "gap_last_log", "gap_deviation_log", "overdue_log")
RATIO_NAMES = tuple(f"{a}_per_{b}" for a, b in RATIOS)
_CLOCK = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "days_since_first_log")

FEATURES = (
    *COUNTS,
    *DECAYED,
    *SINCE,
    *LAST_DAYS,
    *SINCE_PURCHASE,
    *(f"{kind}_{name}" for kind in SPACED for name in GAPS),
    *RATIO_NAMES,
    *_CLOCK,
    *BASKETS,
)
"""Names of the features, in this order."""

STATICS = FEATURES
"""Those that the network reads beside the events."""

Doubles = npt.NDArray[np.float64]

RECENCY_FREQUENCY = (
    "days_since_active_day_log",
    "days_since_purchase_log",
    "days_since_first_log",
    "active_day_count_log",
    "session_count_30d_log",
    "purchase_count_log",
)
"""Those of the recency-frequency logistic regression."""


class Slopes(NamedTuple):
    """What a unit of each feature that the network reads is worth, to each of n customers.

    Args:
        values: shape (n, len(STATICS)).
    """

    values: npt.NDArray[np.floating]

    def of(self, *names: str) -> npt.NDArray[np.floating]:
        """Return those of some features, shape (n, len(names))."""
        return self.values[:, [STATICS.index(name) for name in names]]


def features(known: History, customers: npt.NDArray[Any], end: int | Wide) -> Floats:
    """Return the features of customers from what was known at an anchor.

    Args:
        known: events known at the anchor.
        customers: codes in rising order, each with an event, shape (n,).
        end: the anchor in Unix seconds, one for all or one each.

    Returns:
        Shape (n, len(FEATURES)), all finite: what is not known is 0, what never was is far.
    """
    past = Past.of(known, customers, end)
    blocks: list[npt.NDArray[np.floating]] = [
        _counts(past),
        _decayed(past),
        _since(past),
        _last_days(past),
        _since_purchase(past),
        *(_gaps(past, kind) for kind in SPACED),
        _ratios(past),
        _clock(past),
        baskets(past),
    ]
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def _counts(past: Past) -> Floats:
    place, _ = past.entries
    window = np.searchsorted(WINDOWS_DAYS, past.age_days[place], side="right")
    counts = past.counted(len(WINDOWS_DAYS) + 1, window).cumsum(axis=1)
    return np.asarray(_flat(np.log1p(counts)))


def _flat(counts: Floats) -> Floats:
    """Return shape (n, groups × kinds) of (n, groups, kinds); n may be 0."""
    return counts.reshape(len(counts), counts.shape[1] * counts.shape[2])


def _decayed(past: Past) -> Floats:
    """Return counts in which an event weighs half as much after each half-life."""
    place, _ = past.entries
    age, one = past.age_days[place], np.zeros(len(place), np.int64)
    found = [past.counted(1, one, 0.5 ** (age / half)) for half in HALF_LIVES_DAYS]
    return _flat(np.concatenate(found, axis=1))


def _since(past: Past) -> Floats:
    place, kind = past.entries
    age = np.full((past.count, len(KINDS)), FAR_DAYS)
    np.minimum.at(age, (past.who[place], kind), past.age_days[place])
    return np.asarray(np.log1p(np.maximum(age, 0)), np.float32)


def _last_days(past: Past) -> Floats:
    place, _ = past.entries
    counts = past.counted(RECENT_DAYS, past.days_back[place])
    kept = [KINDS.index(kind) for kind in TOLD]
    return np.asarray(_flat(np.log1p(counts[:, :, kept])))


def _since_purchase(past: Past) -> Floats:
    """Return counts after the last purchase; of everything where there is none."""
    place, _ = past.entries
    bought = np.nan_to_num(past.latest(past.of_type("purchase")), nan=np.inf)
    before = past.age_days[place] >= bought[past.who[place]]
    return np.asarray(np.log1p(past.counted(1, before.astype(np.int64))[:, 0]))


def _gaps(past: Past, kind: str) -> Doubles:
    """Return mean, last and spread of the days between, and whether the next is overdue."""
    place, kinds = past.entries
    chosen = np.sort(place[kinds == KINDS.index(kind)])
    who, age = past.who[chosen], past.age_days[chosen]
    same = who[1:] == who[:-1]
    owner, gap = who[1:][same], (age[:-1] - age[1:])[same]
    count = np.bincount(owner, minlength=past.count)
    total, square = (np.bincount(owner, values, past.count) for values in (gap, gap**2))
    last, since = np.zeros(past.count), np.full(past.count, FAR_DAYS)
    last[owner], since[who] = gap, age
    return spacing(count, total, square, last, since)


def spacing(
    count: npt.NDArray[np.integer],
    total: npt.NDArray[np.number],
    square: npt.NDArray[np.number],
    last: Doubles,
    since: Doubles,
) -> Doubles:
    """Return the features `GAPS` of gaps in days, shape (n, len(GAPS)).

    Args:
        count: how many gaps there are, shape (n,), as all others.
        total: their sum.
        square: the sum of their squares.
        last: the latest gap.
        since: days since then.
    """
    some = np.maximum(count, 1)
    mean = total / some
    deviation = np.sqrt(np.maximum(square / some - mean**2, 0))
    overdue = np.where(count > 0, np.log1p(since) - np.log1p(mean), 0)
    columns = [np.log1p(mean), np.log1p(last), np.log1p(deviation), overdue]
    return np.stack(columns, axis=1)


def _ratios(past: Past) -> Floats:
    place, _ = past.entries
    counts = past.counted(1, np.zeros(len(place), np.int64))[:, 0]
    kinds = {kind: counts[:, n] for n, kind in enumerate(KINDS)}
    return np.stack([kinds[a] / (kinds[b] + 1) for a, b in RATIOS], axis=1)


def _clock(past: Past) -> Floats:
    hour = 2 * np.pi * (past.ends % DAY_SECONDS) / DAY_SECONDS
    week = 2 * np.pi * (past.ends // DAY_SECONDS % 7) / 7
    first = np.zeros(past.count)
    first[past.who[past.first]] = past.age_days[past.first]
    columns = [np.sin(hour), np.cos(hour), np.sin(week), np.cos(week), np.log1p(first)]
    return np.stack(columns, axis=1)
