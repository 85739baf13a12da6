"""The training, calibration and test rows of a window, read one bucket at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.anchors import NEVER, first_purchases
from intent_tasks.core.arrays import BoolArray, Int32Array, Int64Array
from intent_tasks.core.encoding import Encoded, encode, join
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.stages import stages
from intent_tasks.core.vocabulary import Counts, Vocabulary
from intent_tasks.definition import HORIZONS_DAYS, LEAST_BUYERS, Definition
from intent_tasks.errors import Refused

SPLITS = ("train", "calibrate", "test")
"""Splits of a window, in order of time."""

CACHE_BYTES = 600_000_000
"""Maximum memory of cached tables and rows; what does not fit is read again in each pass."""


class Rows(NamedTuple):
    """Encoded rows with their labels.

    Args:
        encoded: n rows.
        first_purchase: horizon of the first purchase of each row, shape (n,).
        stage: index in `STAGES` of each row, shape (n,); None: unknown.
    """

    encoded: Encoded
    first_purchase: Int32Array
    stage: Int32Array | None = None

    def purchased_within(self, horizon_days: int) -> BoolArray:
        """Return the label of each row at a horizon, shape (n,)."""
        return np.asarray(self.first_purchase <= HORIZONS_DAYS.index(horizon_days))


def _zero_for_each_split() -> dict[str, int]:
    return dict.fromkeys(SPLITS, 0)


@dataclass
class DatasetSummary:
    """Row counts of the splits.

    Args:
        rows: split → number of rows.
        buyers: split → rows with a purchase within the longest horizon.
        first_purchase: training rows by the horizon of their first purchase, shape (NEVER + 1,).
    """

    rows: dict[str, int] = field(default_factory=_zero_for_each_split)
    buyers: dict[str, int] = field(default_factory=_zero_for_each_split)
    first_purchase: Int64Array = field(default_factory=lambda: np.zeros(NEVER + 1, np.int64))

    def add(self, split: str, rows: Rows) -> None:
        """Count the rows of a bucket."""
        self.rows[split] += len(rows.first_purchase)
        self.buyers[split] += int(rows.purchased_within(max(HORIZONS_DAYS)).sum())
        if split == "train":
            self.first_purchase += np.bincount(rows.first_purchase, minlength=NEVER + 1)

    def require_buyers(self) -> None:
        """Check that each split is large enough.

        Raises:
            Refused: a split has no rows, or too few rows with or without a purchase.
        """
        for split in SPLITS:
            rows, buyers = self.rows[split], self.buyers[split]
            if rows == 0:
                raise Refused(
                    f"No customer has events before the days to {split}. "
                    "Load more history, or raise INTENT_POPULATION_DAYS."
                )
            if min(buyers, rows - buyers) < LEAST_BUYERS:
                raise Refused(
                    f"Of {rows} customers on the days to {split}, {buyers} purchase afterwards. "
                    f"At least {LEAST_BUYERS} must purchase, and as many must not. "
                    "Train later, or raise INTENT_TRAINING_DAYS."
                )


@dataclass
class Dataset:
    """The rows of a window.

    Args:
        read: bucket → events, as `snapshots.read` returns them.
        buckets: number of buckets.
        split: split → its anchors.
        definition: population, history and time zone.
        seed: seed of the order of buckets.
        vocabulary: codes of the values; set it or call `learn_vocabulary` before reading rows.
    """

    read: Callable[[int], pa.Table]
    buckets: int
    split: Mapping[str, Sequence[date]]
    definition: Definition
    seed: int
    vocabulary: Vocabulary = field(default_factory=dict)
    _cache: dict[Any, Any] = field(default_factory=dict)
    _free_bytes: int = CACHE_BYTES

    def learn_vocabulary(self) -> Vocabulary:
        """Learn and return the vocabulary of the events that arrived by the last training day."""
        end = self.definition.day_end(self.split["train"][-1])
        counts = Counts.empty()
        for bucket in range(self.buckets):
            table = self._table(bucket)
            counts.add(table.filter(pc.less(table["ingested_at"], pa.scalar(end))))
        self.vocabulary = counts.vocabulary()
        return self.vocabulary

    def summarize(self, on_rows: Callable[[str, Rows], None] = lambda *_: None) -> DatasetSummary:
        """Read all rows once and count them; `on_rows` receives each split of each bucket."""
        summary = DatasetSummary()
        for bucket in range(self.buckets):
            for split, rows in self._bucket(bucket).items():
                summary.add(split, rows)
                on_rows(split, rows)
        return summary

    def source(self, split: str) -> Callable[[int, int], Iterator[Rows]]:
        """Return a function that yields the rows of a split bucket by bucket.

        It takes the number of the pass, which shuffles the buckets of the training split, and the
        number of buckets to skip.
        """

        def rows(epoch: int, skipped: int) -> Iterator[Rows]:
            order = np.arange(self.buckets)
            if split == "train":
                order = np.random.default_rng([self.seed, epoch]).permutation(self.buckets)
            for bucket in order[skipped:]:
                yield self._bucket(int(bucket), (split,))[split]

        return rows

    def _table(self, bucket: int) -> pa.Table:
        return self._cached(("table", bucket), lambda: self.read(bucket), lambda t: t.nbytes)

    def _bucket(self, bucket: int, splits: Sequence[str] = SPLITS) -> dict[str, Rows]:
        cached: dict[str, Rows] | None = self._cache.get(("rows", bucket))
        if cached is not None:
            return cached
        rows = self._rows(bucket, splits)
        if len(splits) == len(SPLITS):
            self._cached(
                ("rows", bucket), lambda: rows, lambda m: sum(r.encoded.nbytes for r in m.values())
            )
        return rows

    def _rows(self, bucket: int, splits: Sequence[str]) -> dict[str, Rows]:
        everything = event_arrays(self._table(bucket), self.vocabulary, self.definition.time_zone)
        rows = {}
        for split in splits:
            encoded = [encode(everything, self.definition, day) for day in self.split[split]]
            first_purchase, stage = (
                np.concatenate(
                    [
                        label(everything, one.customers, day, self.definition)
                        for one, day in zip(encoded, self.split[split], strict=True)
                    ]
                )
                for label in (first_purchases, stages)
            )
            rows[split] = Rows(join(encoded), first_purchase, stage)
        return rows

    def _cached(self, key: object, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:  # noqa: ANN401
        """Return what `make` returns, from the cache if it is there; cache it if it fits."""
        if key not in self._cache:
            value = make()
            if size(value) > self._free_bytes:
                return value
            self._free_bytes -= size(value)
            self._cache[key] = value
        return self._cache[key]
