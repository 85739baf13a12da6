"""Effect of removing one event on the hand-made features, for all events at once.

Features are counts, sums, latest values and intervals. Their values without an event have a closed
form, so nothing is recomputed. Two indirect effects are ignored: the start time of a session that
loses its first event, and whether other views count as repeats.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intent_tasks.core import features
from intent_tasks.core.arrays import BoolArray, Float32Array, Float64Array, FloatArray, Int64Array
from intent_tasks.core.event_counts import FAR_DAYS, KINDS, CustomerEvents, last_two
from intent_tasks.core.features import (
    RECENT_DAYS,
    WINDOWS_DAYS,
    FeatureGradients,
    interval_statistics,
)
from intent_tasks.core.product_ablation import product_effects

_KINDS = len(KINDS)


def event_effects(events: CustomerEvents, gradients: FeatureGradients) -> Float64Array:
    """Return what each event adds to a linear score: the score minus that without the event.

    Args:
        events: m events of n customers.
        gradients: gradient of the score by each feature.

    Returns:
        Shape (m,).
    """
    entries = _Entries(events, gradients)
    by_entry = (_counts, _decayed, _recency, _last_days, _since_purchase, _ratios)
    each = np.where(entries.removed, np.sum([of(entries) for of in by_entry], axis=0), 0)
    by_product = product_effects(events, gradients)
    effects: Float64Array = np.bincount(entries.index, each, len(events.owner)) + by_product
    for by_event in (_intervals, _only_of_day, _purchases, _first):
        effects += by_event(entries)
    return np.asarray(effects, np.float64)


@dataclass(frozen=True)
class _Entries:
    """The e entries of the events, with their windows, sessions and days."""

    events: CustomerEvents
    gradients: FeatureGradients

    @property
    def index(self) -> Int64Array:
        """Event of each entry, shape (e,)."""
        return self.events.entries[0]

    @cached_property
    def removed(self) -> BoolArray:
        """Entries removed with their event: a session or day remains while it has other events."""
        removed = np.ones(len(self.index), bool)
        for kind, alone in self.alone.items():
            chosen = np.flatnonzero(self.events.entries[1] == KINDS.index(kind))
            removed[chosen] = alone[self.index[chosen]]
        return removed

    @cached_property
    def alone(self) -> dict[str, BoolArray]:
        """Events that are the only one of their session or active day, shape (m,) each."""
        starts = {"session": self.events.starts_session, "active_day": self.events.starts_day}
        return {
            kind: start & np.append(start[1:], True)[: len(start)] for kind, start in starts.items()
        }

    @cached_property
    def counts(self) -> Float32Array:
        """Entries in each window and in total, shape (n, windows + 1, kinds)."""
        return self.events.count_by_group(len(WINDOWS_DAYS) + 1, self._windows).cumsum(axis=1)

    @cached_property
    def window(self) -> Int64Array:
        """The shortest window of each entry, shape (e,)."""
        return self._windows[self.index]

    @cached_property
    def _windows(self) -> Int64Array:
        return features.windows_of(self.events)

    @cached_property
    def days(self) -> Float32Array:
        """Entries on the latest active days and one more day, shape (n, days + 1, kinds)."""
        return self.events.count_by_group(RECENT_DAYS + 1, self.events.days_back)

    @cached_property
    def day_gradients(self) -> Float64Array:
        """Gradients by the counts on the latest active days, shape (n, days, kinds)."""
        gradients = np.zeros((self.events.count, RECENT_DAYS, _KINDS))
        kinds = [KINDS.index(kind) for kind in features.DAILY_KINDS]
        shape = (self.events.count, RECENT_DAYS, len(kinds))
        gradients[:, :, kinds] = self.gradients.of(*features.LAST_DAYS).reshape(shape)
        return gradients

    @cached_property
    def latest_purchases(self) -> tuple[Int64Array, Int64Array]:
        """The last and the second last purchase of each customer, -1 for none; shape (n,) each."""
        bought = np.flatnonzero(self.events.events.is_purchase)
        last, previous = last_two(self.events.owner[bought], self.events.count)
        return np.append(bought, -1)[last], np.append(bought, -1)[previous]

    @cached_property
    def not_after(self) -> Int64Array:
        """Number of the customer's last two purchases that an event is not after, shape (m,)."""
        occurred = np.append(self.events.events.occurred, np.iinfo(np.int64).min)
        owner, count = self.events.owner, np.zeros(len(self.events.owner), np.int64)
        for purchase in self.latest_purchases:
            count += occurred[:-1] <= occurred[purchase][owner]
        return count


def _log_loss_of_one(counts: FloatArray) -> FloatArray:
    """Return the decrease of log1p of a count when the count decreases by one."""
    return np.asarray(np.log1p(counts) - np.log1p(np.maximum(counts - 1, 0)))


def _counts(entries: _Entries) -> Float64Array:
    counts = entries.counts
    each = _log_loss_of_one(counts) * entries.gradients.of(*features.COUNTS).reshape(counts.shape)
    wider = each[:, ::-1].cumsum(axis=1)[:, ::-1]  # an event is in its window and all wider ones
    return wider.swapaxes(0, 1).reshape(counts.shape[1], -1)[entries.window, entries.events.cell]


def _decayed(entries: _Entries) -> Float64Array:
    gradients = entries.gradients.of(*features.DECAYED).reshape(
        entries.events.count, len(features.HALF_LIVES_DAYS), _KINDS
    )
    age, effects = entries.events.age_days.astype(np.float32), np.zeros(len(entries.index))
    for n, half in enumerate(features.HALF_LIVES_DAYS):
        weight = np.exp2(age / -half)[entries.index]
        effects += np.ravel(gradients[:, n])[entries.events.cell] * weight
    return effects


def _recency(entries: _Entries) -> Float64Array:
    """Without the latest entry of a kind, the previous one is the latest."""
    last, previous = last_two(entries.events.cell, entries.events.count * _KINDS)
    age = np.append(np.maximum(entries.events.age_days[entries.index], 0), FAR_DAYS)
    present = last >= 0
    lost = np.log1p(age[last[present]]) - np.log1p(age[previous[present]])
    effects = np.zeros(len(entries.index))
    effects[last[present]] = lost * np.ravel(entries.gradients.of(*features.RECENCY))[present]
    return effects


def _last_days(entries: _Entries) -> Float64Array:
    each = _log_loss_of_one(entries.days[:, :RECENT_DAYS]) * entries.day_gradients
    events, effects = entries.events, np.zeros(len(entries.index))
    counted = (events.days_back < RECENT_DAYS) & ~entries.alone["active_day"]
    chosen = np.flatnonzero(counted[entries.index])
    index = entries.index[chosen]
    effects[chosen] = each[events.owner[index], events.days_back[index], events.entries[1][chosen]]
    return effects


def _only_of_day(entries: _Entries) -> Float64Array:
    """Without the only event of a day, the earlier days move one place closer."""
    events, days = entries.events, np.log1p(entries.days)
    each = ((days[:, :-1] - days[:, 1:]) * entries.day_gradients).sum(axis=2)
    earlier = each[:, ::-1].cumsum(axis=1)[:, ::-1]
    alone = entries.alone["active_day"] & (events.days_back < RECENT_DAYS)
    effects = np.zeros(len(events.owner))
    effects[alone] = earlier[events.owner[alone], events.days_back[alone]]
    return effects


def _since_purchase(entries: _Entries) -> Float64Array:
    counts = entries.events.count_by_group(1, entries.not_after)[:, 0]
    after = (entries.not_after == 0)[entries.index]
    each = _log_loss_of_one(counts) * entries.gradients.of(*features.SINCE_PURCHASE)
    return np.where(after, np.ravel(each)[entries.events.cell], 0)


def _purchases(entries: _Entries) -> Float64Array:
    """Without the last purchase, the events after the second last count as after the last."""
    last, group = entries.latest_purchases[0], entries.not_after.copy()
    present = last >= 0
    group[last[present]] = -1
    counts = entries.events.count_by_group(2, group)
    lost = np.log1p(counts[:, 0]) - np.log1p(counts.sum(axis=1))
    effects = np.zeros(len(group))
    by_customer = (lost * entries.gradients.of(*features.SINCE_PURCHASE)).sum(axis=1)
    effects[last[present]] = by_customer[present]
    return effects


def _intervals(entries: _Entries) -> Float64Array:
    effects = np.zeros(len(entries.events.owner))
    for kind in features.INTERVAL_KINDS:
        chosen = np.sort(entries.index[entries.events.entries[1] == KINDS.index(kind)])
        removed = np.ones(len(chosen), bool)
        if kind in entries.alone:
            removed = entries.alone[kind][chosen]
        if removed.any():
            names = (f"{kind}_{name}" for name in features.INTERVAL_STATISTICS)
            gradients = entries.gradients.of(*names)
            effects[chosen[removed]] += _spaced(entries.events, chosen, removed, gradients)
    return effects


def _spaced(
    events: CustomerEvents, chosen: Int64Array, removed: BoolArray, gradients: FloatArray
) -> Float64Array:
    """Return what the removed entries add to the interval features of the chosen entries.

    Without an entry, the gaps before and after it become one; at either end one gap disappears.
    """
    owner, age = events.owner[chosen], events.age_days[chosen]
    same = np.append(owner[1:] == owner[:-1], False)  # the next entry is of the same customer
    gap = np.append(age[:-1] - age[1:], 0) * same  # to the next entry
    count, total, square = (np.bincount(owner, v, events.count) for v in (same, gap, gap**2))
    last, since = np.zeros(events.count), np.full(events.count, FAR_DAYS)
    last[owner[same]], since[owner] = gap[same], age
    with_it = interval_statistics(count, total, square, last, since)
    at = np.flatnonzero(removed)
    w, after, before = owner[at], gap[at], gap[at - 1]  # 0 where there is no gap
    earlier, merged = same[at - 1], same[at] & same[at - 1]
    next_is_last = same[at] & ~np.append(same, False)[at + 1]
    last_without = np.where(~same[at], gap[at - 2] * earlier, last[w])
    last_without = np.where(next_is_last, (after + before) * earlier, last_without)
    since_without = np.where(~same[at], np.where(earlier, age[at - 1], FAR_DAYS), since[w])
    without_it = interval_statistics(
        np.maximum(count[w] - 1, 0),
        total[w] - np.where(merged, 0, after + before),
        square[w] + np.where(merged, 2 * after * before, -(after**2) - before**2),
        last_without,
        since_without,
    )
    return np.asarray(((with_it[w] - without_it) * gradients[w]).sum(axis=1))


def _ratios(entries: _Entries) -> Float64Array:
    counts, gradients = entries.counts[:, -1], entries.gradients.of(*features.RATIO_NAMES)
    lost = np.zeros(counts.shape)
    for n, (above, below) in enumerate(features.RATIOS):
        a, b = KINDS.index(above), KINDS.index(below)
        with_one, at_least_one = 1 / (counts[:, b] + 1), np.maximum(counts[:, b], 1)
        lost[:, a] += gradients[:, n] * with_one
        lost[:, b] += gradients[:, n] * counts[:, a] * (with_one - 1 / at_least_one)
    return np.asarray(np.ravel(lost)[entries.events.cell])


def _first(entries: _Entries) -> Float64Array:
    """Without the first event, the second is the first."""
    events = entries.events
    first = np.flatnonzero(events.is_first)
    second_age = (
        np.append(events.age_days, 0)[first + 1] * ~np.append(events.is_first, True)[first + 1]
    )
    gradients = entries.gradients.of("days_since_first_log")[events.owner[first], 0]
    effects = np.zeros(len(events.owner))
    effects[first] = (np.log1p(events.age_days[first]) - np.log1p(second_age)) * gradients
    return effects
