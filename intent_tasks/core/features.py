"""Hand-made features of a customer's events, read by the baselines and the network.

All features of one anchor are computed at once. They use only events known at the anchor and only
the customer's own events, so a customer's features do not depend on other customers.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import (
    Float32Array,
    Float64Array,
    FloatArray,
    Int64Array,
    IntegerArray,
)
from intent_tasks.core.event_arrays import DAY_SECONDS, EventArrays
from intent_tasks.core.event_counts import FAR_DAYS, KINDS, CustomerEvents
from intent_tasks.core.product_features import PRODUCT_FEATURES, product_features

WINDOWS_DAYS = (1, 2, 3, 5, 8, 14, 30)
HALF_LIVES_DAYS = (1, 4, 14)
RECENT_DAYS = 3
"""Latest active days that have counts of their own."""
DAILY_KINDS = tuple(kind for kind in KINDS if kind != "active_day")
RATIOS = (("cart", "view"), ("purchase", "cart"), ("purchase", "session"), ("remove", "cart"))
INTERVAL_KINDS = ("active_day", "session", "purchase")

COUNTS = (
    *(f"{kind}_count_{days}d_log" for days in WINDOWS_DAYS for kind in KINDS),
    *(f"{kind}_count_log" for kind in KINDS),
)
DECAYED = tuple(f"{kind}_decayed_{days}d" for days in HALF_LIVES_DAYS for kind in KINDS)
RECENCY = tuple(f"days_since_{kind}_log" for kind in KINDS)
LAST_DAYS = tuple(
    f"{kind}_count_on_day_{n}_log" for n in range(RECENT_DAYS) for kind in DAILY_KINDS
)
SINCE_PURCHASE = tuple(f"{kind}_count_since_purchase_log" for kind in KINDS)
INTERVAL_STATISTICS = ("gap_mean_log", "gap_last_log", "gap_deviation_log", "overdue_log")
RATIO_NAMES = tuple(f"{a}_per_{b}" for a, b in RATIOS)
_CLOCK = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "days_since_first_log")

FEATURES = (
    *COUNTS,
    *DECAYED,
    *RECENCY,
    *LAST_DAYS,
    *SINCE_PURCHASE,
    *(f"{kind}_{name}" for kind in INTERVAL_KINDS for name in INTERVAL_STATISTICS),
    *RATIO_NAMES,
    *_CLOCK,
    *PRODUCT_FEATURES,
)
"""Names of the features, in column order."""

RECENCY_FREQUENCY = (
    "days_since_active_day_log",
    "days_since_purchase_log",
    "days_since_first_log",
    "active_day_count_log",
    "session_count_30d_log",
    "purchase_count_log",
)
"""Features of the recency-frequency logistic regression."""


class FeatureGradients(NamedTuple):
    """Gradient of a score by each feature, for n customers.

    Args:
        values: shape (n, len(FEATURES)).
    """

    values: FloatArray

    def of(self, *names: str) -> FloatArray:
        """Return the gradients by some features, shape (n, len(names))."""
        return self.values[:, [FEATURES.index(name) for name in names]]


def features(
    known: EventArrays, customers: npt.NDArray[Any], end: int | Int64Array
) -> Float32Array:
    """Return the features of customers at an anchor.

    Args:
        known: events known at the anchor.
        customers: customer codes, ascending, each with at least one event, shape (n,).
        end: the anchor in Unix seconds, one for all or one for each.

    Returns:
        Shape (n, len(FEATURES)), all finite: an unknown value is 0, the age of an event that never
        happened is `FAR_DAYS`.
    """
    return features_of(CustomerEvents.of(known, customers, end))


def features_of(events: CustomerEvents) -> Float32Array:
    """Return the features of customers by their events, like `features`."""
    counts = _counts_by_window(events)
    blocks: list[FloatArray] = [
        _flat(_log_of_counts(counts)),
        _decayed(events),
        _recency(events),
        _last_days(events),
        _since_purchase(events),
        *(_intervals(events, kind) for kind in INTERVAL_KINDS),
        _ratios(counts[:, -1]),
        _clock(events),
        product_features(events),
    ]
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def windows_of(events: CustomerEvents) -> Int64Array:
    """Return the shortest window of each event, an index; `len(WINDOWS_DAYS)` for none."""
    longest = WINDOWS_DAYS[-1]
    days = np.clip(events.seconds_before // DAY_SECONDS, 0, longest)
    return np.searchsorted(WINDOWS_DAYS, np.arange(longest + 1), side="right")[days]


def _counts_by_window(events: CustomerEvents) -> Float32Array:
    """Return the counts in each window and of all, shape (n, windows + 1, kinds)."""
    return events.count_by_group(len(WINDOWS_DAYS) + 1, windows_of(events)).cumsum(axis=1)


def _log_of_counts(counts: Float32Array) -> Float32Array:
    """Return log1p of counts, which are few numbers: each logarithm is computed once."""
    logs = np.log1p(np.arange(1 + counts.max(initial=0), dtype=np.float32))
    return np.asarray(logs[counts.astype(np.intp)])


def _flat(counts: Float32Array) -> Float32Array:
    """Reshape (n, groups, kinds) to (n, groups × kinds); n may be 0."""
    return counts.reshape(len(counts), counts.shape[1] * counts.shape[2])


def _decayed(events: CustomerEvents) -> Float32Array:
    """Return counts in which the weight of an event halves after each half-life."""
    weights = (0.5 ** (events.age_days / half) for half in HALF_LIVES_DAYS)
    return np.concatenate([events.sum_by_kind(each) for each in weights], axis=1)


def _recency(events: CustomerEvents) -> Float32Array:
    age = np.full(events.count * len(KINDS), FAR_DAYS)
    age[events.cell] = events.age_days[events.entries[0]]  # the latest is written last
    clipped = np.clip(age, 0, FAR_DAYS).reshape(events.count, len(KINDS))
    return np.asarray(np.log1p(clipped), np.float32)


def _last_days(events: CustomerEvents) -> Float32Array:
    counts = events.count_by_group(RECENT_DAYS, events.days_back)
    daily = [KINDS.index(kind) for kind in DAILY_KINDS]
    return _flat(_log_of_counts(counts[:, :, daily]))


def _since_purchase(events: CustomerEvents) -> Float32Array:
    """Return counts after the last purchase; without a purchase, counts of everything."""
    age = events.latest_age_days(events.is_type("purchase"))
    before = events.age_days >= np.nan_to_num(age, nan=np.inf)[events.owner]
    return _log_of_counts(events.count_by_group(1, before.astype(np.int64))[:, 0])


def _intervals(events: CustomerEvents, kind: str) -> Float64Array:
    """Return the statistics of the days between entries of a kind."""
    index, kinds = events.entries
    chosen = index[kinds == KINDS.index(kind)]
    customer, age = events.owner[chosen], events.age_days[chosen]
    same = customer[1:] == customer[:-1]
    owner, gap = customer[1:][same], (age[:-1] - age[1:])[same]
    count = np.bincount(owner, minlength=events.count)
    total, square = (np.bincount(owner, values, events.count) for values in (gap, gap**2))
    last, since = np.zeros(events.count), np.full(events.count, FAR_DAYS)
    last[owner], since[customer] = gap, age
    return interval_statistics(count, total, square, last, since)


def interval_statistics(
    count: IntegerArray,
    total: npt.NDArray[np.number],
    square: npt.NDArray[np.number],
    last: Float64Array,
    since: Float64Array,
) -> Float64Array:
    """Return `INTERVAL_STATISTICS` of gaps in days, shape (n, len(INTERVAL_STATISTICS)).

    Args:
        count: number of gaps, shape (n,), like all others.
        total: sum of the gaps.
        square: sum of the squared gaps.
        last: the latest gap.
        since: days since the last entry.
    """
    divisor = np.maximum(count, 1)
    mean = total / divisor
    deviation = np.sqrt(np.maximum(square / divisor - mean**2, 0))
    overdue = np.where(count > 0, np.log1p(since) - np.log1p(mean), 0)
    columns = [np.log1p(mean), np.log1p(last), np.log1p(deviation), overdue]
    return np.stack(columns, axis=1)


def _ratios(counts: Float32Array) -> Float32Array:
    """Return the ratios of counts of all events, from shape (n, kinds)."""
    by_kind = {kind: counts[:, n] for n, kind in enumerate(KINDS)}
    return np.stack([by_kind[a] / (by_kind[b] + 1) for a, b in RATIOS], axis=1)


def _clock(events: CustomerEvents) -> Float32Array:
    hour = 2 * np.pi * (events.anchor_seconds % DAY_SECONDS) / DAY_SECONDS
    week = 2 * np.pi * (events.anchor_seconds // DAY_SECONDS % 7) / 7
    first = np.zeros(events.count)
    first[events.owner[events.is_first]] = events.age_days[events.is_first]
    columns = [np.sin(hour), np.cos(hour), np.sin(week), np.cos(week), np.log1p(first)]
    return np.stack(columns, axis=1)
