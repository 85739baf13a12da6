"""What a model is about to be trained on, in numbers: gathered bucket by bucket, then judged."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.dataset import PARTS, Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODED, FIRST_CODE, Vocabulary
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS

WATCHED = (
    "days_since_active_day_log",
    "days_since_purchase_log",
    "active_day_count_30d_log",
    "session_count_30d_log",
    "view_count_30d_log",
    "cart_count_30d_log",
    "purchase_count_30d_log",
)
"""Features whose distribution is compared between the slices: none that grows with the history."""

LOOKED_UP = ("product_id", "category_root", "channel", "device")
"""Columns of events whose values should have a code of their own, in each slice alike."""

RECENT_DAYS = 7
"""Days before an anchor whose events are looked up: older ones are in earlier slices as well."""

MOST_SAMPLED = 200_000
"""Rows of a slice whose watched features are kept; buckets are customers at random, so the first
ones say enough."""

_WATCHED = [FEATURES.index(name) for name in WATCHED]
_CODED = [CODED.index(name) for name in LOOKED_UP]


@dataclass
class Slice:
    """What is known of the rows of one slice.

    Args:
        rows: customers at anchors.
        buyers: rows with a purchase within the longest horizon.
        bought: rows with a purchase within the main horizon.
        one_day: rows of customers who did something on one day only.
        events: known events of all rows.
        recent: events of the last RECENT_DAYS before the anchors.
        known: of these, those whose value has a code of its own, by column of LOOKED_UP.
        not_finite: values of features that are no number.
        values: values of features.
        largest: greatest absolute value of a feature.
        sample: watched features of the first rows, each of shape (n, len(WATCHED)).
    """

    rows: int = 0
    buyers: int = 0
    bought: int = 0
    one_day: int = 0
    events: int = 0
    recent: int = 0
    known: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LOOKED_UP), np.int64))
    not_finite: int = 0
    values: int = 0
    largest: float = 0.0
    sample: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def add(self, rows: Rows, own: npt.NDArray[np.int64]) -> None:
        """Count the rows of a bucket; `own` is the end of the own codes of each column."""
        encoded = rows.encoded
        self.rows += len(rows.first)
        self.buyers += int(rows.purchased_within(max(HORIZONS_DAYS)).sum())
        self.bought += int(rows.purchased_within(MAIN_HORIZON_DAYS).sum())
        self.one_day += int((encoded.step_count == 1).sum())
        self.events += len(encoded.place)
        recent = encoded.event_age_days < RECENT_DAYS
        codes = encoded.events.coded[encoded.place[recent]][:, _CODED]
        self.recent += len(codes)
        self.known += ((codes >= FIRST_CODE) & (codes < own)).sum(axis=0)
        finite = np.isfinite(encoded.features)
        self.not_finite += int(finite.size - finite.sum())
        self.values += finite.size
        # What is no number must not hide what is too large.
        largest = np.fmax.reduce(np.abs(encoded.features), axis=None, initial=0.0)
        self.largest = max(self.largest, float(largest))
        if sum(map(len, self.sample)) < MOST_SAMPLED:
            self.sample.append(encoded.features[:, _WATCHED])

    def watched(self, feature: str) -> npt.NDArray[Any]:
        """Return the sampled values of a watched feature, shape (n,)."""
        place = WATCHED.index(feature)
        return np.concatenate([part[:, place] for part in self.sample] or [np.zeros(0, np.float32)])

    def share(self, count: int, of: int | None = None) -> float | None:
        """Return a count as a share of the rows, or of another count; None: of nothing."""
        among = self.rows if of is None else of
        return count / among if among else None


class TrainingSet:
    """The slices of a window, looked at bucket by bucket.

    Args:
        anchors: days of each slice.
    """

    def __init__(self, anchors: dict[str, int]) -> None:
        self.anchors = anchors
        self.slices = {name: Slice() for name in PARTS}

    def add(self, part: str, rows: Rows, vocabulary: Vocabulary) -> None:
        """Count the rows of a slice of a bucket."""
        own = np.array([FIRST_CODE + len(vocabulary[name]) for name in LOOKED_UP])
        self.slices[part].add(rows, own)
