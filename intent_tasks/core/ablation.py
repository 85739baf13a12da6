"""What taking one event away would do to the hand-made features, for all events at once.

Features are counts, sums, latest ones and gaps: what is left of them without an event is known in
closed form, so nothing is counted again. Where other events would have to be looked at anew they
are left as they are: the time at which a session starts, and what counts as looking again.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from intent_tasks.core import features
from intent_tasks.core.event_counts import KINDS, Bools, Past, Wide, latest_two
from intent_tasks.core.features import (
    FAR_DAYS,
    RECENT_DAYS,
    WINDOWS_DAYS,
    Doubles,
    Slopes,
    spacing,
)
from intent_tasks.core.product_ablation import baskets

_KINDS = len(KINDS)


def effects(past: Past, slopes: Slopes) -> Doubles:
    """Return what each event adds to a sum of features: with it, minus without it.

    Args:
        past: of n customers, m events.
        slopes: what a unit of each feature is worth.

    Returns:
        Shape (m,).
    """
    entries = _Entries(past, slopes)
    counted = (_counts, _decayed, _since, _last_days, _since_purchase, _ratios)
    each = np.where(entries.leave, np.sum([told(entries) for told in counted], axis=0), 0)
    found = np.bincount(entries.place, each, len(past.who)) + baskets(past, slopes)
    for told in (_gaps, _only_of_day, _purchases, _first):
        found += told(entries)
    return np.asarray(found, np.float64)


@dataclass(frozen=True)
class _Entries:
    """The e entries of a past, and what they count to."""

    past: Past
    slopes: Slopes

    @property
    def place(self) -> Wide:
        """Event of each entry, shape (e,)."""
        return self.past.entries[0]

    @cached_property
    def cell(self) -> Wide:
        """Customer and kind of each entry as one number, shape (e,)."""
        return np.asarray(self.past.who[self.place] * _KINDS + self.past.entries[1])

    @cached_property
    def leave(self) -> Bools:
        """Which go with their event: a session or day stays while it has others; shape (e,)."""
        leave = np.ones(len(self.place), bool)
        for kind, alone in self.alone.items():
            ours = np.flatnonzero(self.past.entries[1] == KINDS.index(kind))
            leave[ours] = alone[self.place[ours]]
        return leave

    @cached_property
    def alone(self) -> dict[str, Bools]:
        """Which events are a session or an active day by themselves, shape (m,) each."""
        begun = {"session": self.past.starts_session, "active_day": self.past.starts_day}
        return {k: s & np.append(s[1:], True)[: len(s)] for k, s in begun.items()}

    @cached_property
    def counts(self) -> npt.NDArray[np.float32]:
        """Entries in each window and in all, shape (n, windows + 1, kinds)."""
        return self.past.counted(len(WINDOWS_DAYS) + 1, self.window).cumsum(axis=1)

    @cached_property
    def window(self) -> Wide:
        """The shortest window of each entry, shape (e,)."""
        return np.searchsorted(WINDOWS_DAYS, self.past.age_days, side="right")[self.place]

    @cached_property
    def days(self) -> npt.NDArray[np.float32]:
        """Entries on the latest active days and one more, shape (n, days, kinds)."""
        return self.past.counted(RECENT_DAYS + 1, self.past.days_back[self.place])

    @cached_property
    def of_days(self) -> Doubles:
        """Slopes of the counts on the latest active days, shape (n, days, kinds)."""
        found = np.zeros((self.past.count, RECENT_DAYS, _KINDS))
        told = [KINDS.index(kind) for kind in features.TOLD]
        names = features.LAST_DAYS
        found[:, :, told] = self.slopes.of(*names).reshape(self.past.count, RECENT_DAYS, len(told))
        return found

    @cached_property
    def latest_purchases(self) -> tuple[Wide, Wide]:
        """The last and the last but one purchase of each customer, -1: none; shape (n,) each."""
        bought = np.flatnonzero(self.past.of_type("purchase"))
        last, before = latest_two(self.past.who[bought], self.past.count)
        return np.append(bought, -1)[last], np.append(bought, -1)[before]

    @cached_property
    def not_after(self) -> Wide:
        """How many of its customer's latest two purchases an event is not after, shape (m,)."""
        occurred = np.append(self.past.events.occurred, np.iinfo(np.int64).min)
        who, found = self.past.who, np.zeros(len(self.past.who), np.int64)
        for purchase in self.latest_purchases:
            found += occurred[:-1] <= occurred[purchase][who]
        return found


def _one_less(counts: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return by how much the logarithm of a count falls when one is taken away."""
    return np.asarray(np.log1p(counts) - np.log1p(np.maximum(counts - 1, 0)))


def _counts(entries: _Entries) -> Doubles:
    counts = entries.counts
    each = _one_less(counts) * entries.slopes.of(*features.COUNTS).reshape(counts.shape)
    wider = each[:, ::-1].cumsum(axis=1)[:, ::-1]  # an event is in its window and all wider ones
    return wider.swapaxes(0, 1).reshape(counts.shape[1], -1)[entries.window, entries.cell]


def _decayed(entries: _Entries) -> Doubles:
    slopes = entries.slopes.of(*features.DECAYED).reshape(
        entries.past.count, len(features.HALF_LIVES_DAYS), _KINDS
    )
    age, found = entries.past.age_days.astype(np.float32), np.zeros(len(entries.place))
    for n, half in enumerate(features.HALF_LIVES_DAYS):
        weight = np.exp2(age / -half)[entries.place]
        found += np.ravel(slopes[:, n])[entries.cell] * weight
    return found


def _since(entries: _Entries) -> Doubles:
    """Without the latest entry of a kind the one before it is the latest."""
    last, before = latest_two(entries.cell, entries.past.count * _KINDS)
    age = np.append(np.maximum(entries.past.age_days[entries.place], 0), FAR_DAYS)
    there = last >= 0
    lost = np.log1p(age[last[there]]) - np.log1p(age[before[there]])
    found = np.zeros(len(entries.place))
    found[last[there]] = lost * np.ravel(entries.slopes.of(*features.SINCE))[there]
    return found


def _last_days(entries: _Entries) -> Doubles:
    each = _one_less(entries.days[:, :RECENT_DAYS]) * entries.of_days
    past, found = entries.past, np.zeros(len(entries.place))
    told = (past.days_back < RECENT_DAYS) & ~entries.alone["active_day"]
    chosen = np.flatnonzero(told[entries.place])
    place = entries.place[chosen]
    found[chosen] = each[past.who[place], past.days_back[place], past.entries[1][chosen]]
    return found


def _only_of_day(entries: _Entries) -> Doubles:
    """Without the only event of a day, the days before it come one nearer."""
    past, days = entries.past, np.log1p(entries.days)
    each = ((days[:, :-1] - days[:, 1:]) * entries.of_days).sum(axis=2)
    earlier = each[:, ::-1].cumsum(axis=1)[:, ::-1]
    alone = entries.alone["active_day"] & (past.days_back < RECENT_DAYS)
    found = np.zeros(len(past.who))
    found[alone] = earlier[past.who[alone], past.days_back[alone]]
    return found


def _since_purchase(entries: _Entries) -> Doubles:
    after = (entries.not_after == 0)[entries.place]
    counts = entries.past.counted(1, np.where(after, 0, -1))[:, 0]
    each = np.ravel(_one_less(counts) * entries.slopes.of(*features.SINCE_PURCHASE))
    return np.where(after, each[entries.cell], 0)


def _purchases(entries: _Entries) -> Doubles:
    """Without the latest purchase, what came between it and the one before comes after that."""
    last, group = entries.latest_purchases[0], entries.not_after.copy()
    some = last >= 0
    group[last[some]] = -1
    counts = entries.past.counted(2, group[entries.place])
    lost = np.log1p(counts[:, 0]) - np.log1p(counts.sum(axis=1))
    found = np.zeros(len(group))
    found[last[some]] = (lost * entries.slopes.of(*features.SINCE_PURCHASE)).sum(axis=1)[some]
    return found


def _gaps(entries: _Entries) -> Doubles:
    found = np.zeros(len(entries.past.who))
    for kind in features.SPACED:
        chosen = np.sort(entries.place[entries.past.entries[1] == KINDS.index(kind)])
        leaves = np.ones(len(chosen), bool)
        if kind != "purchase":
            leaves = entries.alone[kind][chosen]
        if leaves.any():
            slopes = entries.slopes.of(*(f"{kind}_{name}" for name in features.GAPS))
            found[chosen[leaves]] += _spaced(entries.past, chosen, leaves, slopes)
    return found


def _spaced(past: Past, chosen: Wide, leaves: Bools, slopes: npt.NDArray[np.floating]) -> Doubles:
    """Return what those that leave add to the features of the gaps between the chosen.

    Without an entry, the gaps before and after it are one; at either end there is one less.
    """
    who, age = past.who[chosen], past.age_days[chosen]
    same = np.append(who[1:] == who[:-1], False)  # the next is of the same customer
    gap = np.append(age[:-1] - age[1:], 0) * same  # to the next
    count, total, square = (np.bincount(who, v, past.count) for v in (same, gap, gap**2))
    last, since = np.zeros(past.count), np.full(past.count, FAR_DAYS)
    last[who[same]], since[who] = gap[same], age
    with_it = spacing(count, total, square, last, since)
    at = np.flatnonzero(leaves)
    w, after, before = who[at], gap[at], gap[at - 1]  # 0 where there is none
    earlier, merged = same[at - 1], same[at] & same[at - 1]
    next_is_last = same[at] & ~np.append(same, False)[at + 1]
    last_left = np.where(~same[at], gap[at - 2] * earlier, last[w])
    last_left = np.where(next_is_last, (after + before) * earlier, last_left)
    since_left = np.where(~same[at], np.where(earlier, age[at - 1], FAR_DAYS), since[w])
    without = spacing(
        np.maximum(count[w] - 1, 0),
        total[w] - np.where(merged, 0, after + before),
        square[w] + np.where(merged, 2 * after * before, -(after**2) - before**2),
        last_left,
        since_left,
    )
    return np.asarray(((with_it[w] - without) * slopes[w]).sum(axis=1))


def _ratios(entries: _Entries) -> Doubles:
    counts, slopes = entries.counts[:, -1], entries.slopes.of(*features.RATIO_NAMES)
    lost = np.zeros(counts.shape)
    for n, (above, below) in enumerate(features.RATIOS):
        a, b = KINDS.index(above), KINDS.index(below)
        one_more, many = 1 / (counts[:, b] + 1), np.maximum(counts[:, b], 1)
        lost[:, a] += slopes[:, n] * one_more
        lost[:, b] += slopes[:, n] * counts[:, a] * (one_more - 1 / many)
    return np.asarray(np.ravel(lost)[entries.cell])


def _first(entries: _Entries) -> Doubles:
    """Without the first event, the past begins with the next."""
    past = entries.past
    first = np.flatnonzero(past.first)
    later = np.append(past.age_days, 0)[first + 1] * ~np.append(past.first, True)[first + 1]
    slopes = entries.slopes.of("days_since_first_log")[past.who[first], 0]
    found = np.zeros(len(past.who))
    found[first] = (np.log1p(past.age_days[first]) - np.log1p(later)) * slopes
    return found
