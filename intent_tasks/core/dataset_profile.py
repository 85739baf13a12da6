"""Profile of the training data: numbers collected bucket by bucket, then validated."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import Float32Array, Int64Array
from intent_tasks.core.dataset import SPLITS, Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS, FIRST_CODE, Vocabulary
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS

DRIFT_FEATURES = (
    "days_since_active_day_log",
    "days_since_purchase_log",
    "active_day_count_30d_log",
    "session_count_30d_log",
    "view_count_30d_log",
    "cart_count_30d_log",
    "purchase_count_30d_log",
)
"""Features whose distributions are compared between splits; none grows with the history."""

VOCABULARY_COLUMNS = ("product_id", "category_root", "channel", "device")
"""Event columns whose values should be in the vocabulary equally often in each split."""

RECENT_DAYS = 7
"""Days before an anchor whose events are checked against the vocabulary.

Older events are in earlier splits as well.
"""

MAX_SAMPLED = 200_000
"""Maximum number of sampled rows of a split. Buckets hold random customers, so the first rows are
a fair sample."""

_DRIFT_INDEX = [FEATURES.index(name) for name in DRIFT_FEATURES]
_VOCABULARY_INDEX = [CODE_COLUMNS.index(name) for name in VOCABULARY_COLUMNS]


@dataclass
class SplitProfile:
    """Profile of one split.

    Args:
        rows: number of rows, each a customer at an anchor.
        buyers: rows with a purchase within the longest horizon.
        main_buyers: rows with a purchase within the main horizon.
        one_day: rows of customers with events on one day only.
        events: known events of all rows.
        recent: events of the last RECENT_DAYS before the anchors.
        known: number of these whose value is in the vocabulary, for each of VOCABULARY_COLUMNS.
        not_finite: number of feature values that are not finite.
        values: number of feature values.
        largest: largest absolute value of a feature.
        sample: drift features of the first rows, each of shape (n, len(DRIFT_FEATURES)).
    """

    rows: int = 0
    buyers: int = 0
    main_buyers: int = 0
    one_day: int = 0
    events: int = 0
    recent: int = 0
    known: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(VOCABULARY_COLUMNS), np.int64)
    )
    not_finite: int = 0
    values: int = 0
    largest: float = 0.0
    sample: list[Float32Array] = field(default_factory=list)

    def add(self, rows: Rows, vocabulary_end: Int64Array) -> None:
        """Count the rows of a bucket.

        Args:
            rows: of the bucket.
            vocabulary_end: first code after the vocabulary of each of VOCABULARY_COLUMNS.
        """
        encoded = rows.encoded
        self.rows += len(rows.first_purchase)
        self.buyers += int(rows.purchased_within(max(HORIZONS_DAYS)).sum())
        self.main_buyers += int(rows.purchased_within(MAIN_HORIZON_DAYS).sum())
        self.one_day += int((encoded.step_count == 1).sum())
        self.events += len(encoded.place)
        recent = encoded.event_age_days < RECENT_DAYS
        codes = encoded.events.coded[encoded.place[recent]][:, _VOCABULARY_INDEX]
        self.recent += len(codes)
        self.known += ((codes >= FIRST_CODE) & (codes < vocabulary_end)).sum(axis=0)
        finite = np.isfinite(encoded.features)
        self.not_finite += int(finite.size - finite.sum())
        self.values += finite.size
        # A NaN must not hide a value that is too large.
        largest = np.fmax.reduce(np.abs(encoded.features), axis=None, initial=0.0)
        self.largest = max(self.largest, float(largest))
        if sum(map(len, self.sample)) < MAX_SAMPLED:
            self.sample.append(encoded.features[:, _DRIFT_INDEX])

    def drift_values(self, feature: str) -> npt.NDArray[Any]:
        """Return the sampled values of a drift feature, shape (n,)."""
        column = DRIFT_FEATURES.index(feature)
        values = [part[:, column] for part in self.sample]
        return np.concatenate(values or [np.zeros(0, np.float32)])

    def share(self, count: int, of: int | None = None) -> float | None:
        """Return a count as a share of the rows or of another count; None if that is 0."""
        total = self.rows if of is None else of
        return count / total if total else None


class DatasetProfile:
    """Profiles of the splits of a window, collected bucket by bucket.

    Args:
        anchors: split → number of anchors.
    """

    def __init__(self, anchors: dict[str, int]) -> None:
        self.anchors = anchors
        self.splits = {name: SplitProfile() for name in SPLITS}

    def add(self, split: str, rows: Rows, vocabulary: Vocabulary) -> None:
        """Count the rows of a split of a bucket."""
        end = np.array([FIRST_CODE + len(vocabulary[name]) for name in VOCABULARY_COLUMNS])
        self.splits[split].add(rows, end)
