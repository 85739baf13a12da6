"""Slices of time as rows to learn from, read bucket by bucket so that memory does not grow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.anchors import NEVER, first_purchases
from intent_tasks.core.encoding import Encoded, encode, join
from intent_tasks.core.event_arrays import history
from intent_tasks.core.stages import stages
from intent_tasks.core.vocabulary import Counts, Ints, Vocabulary
from intent_tasks.definition import HORIZONS_DAYS, LEAST_BUYERS, Definition
from intent_tasks.errors import Refused

PARTS = ("train", "calibrate", "test")
"""Slices, in the order of time."""

KEPT_BYTES = 600_000_000
"""What may stay in memory between passes; a larger shop is read again in each."""


class Rows(NamedTuple):
    """Encoded rows with what came after them.

    Args:
        encoded: n rows.
        first: horizon of the first purchase of each, shape (n,).
        stage: place in `STAGES` of each, shape (n,); None: nobody asks for it.
    """

    encoded: Encoded
    first: npt.NDArray[np.int32]
    stage: Ints | None = None

    def purchased_within(self, horizon_days: int) -> npt.NDArray[np.bool_]:
        """Return the label of each row at a horizon, shape (n,)."""
        return np.asarray(self.first <= HORIZONS_DAYS.index(horizon_days))


@dataclass
class Survey:
    """What is known of the slices before anything is learned.

    Args:
        rows: of each part.
        buyers: rows of each part with a purchase within the longest horizon.
        events: known events of all rows of all parts: nothing can be read when there are none.
        first: training rows by the horizon of their first purchase, shape (NEVER + 1,).
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    buyers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    first: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(NEVER + 1, np.int64))

    def add(self, part: str, rows: Rows) -> None:
        """Count the rows of a bucket."""
        self.rows[part] += len(rows.first)
        self.buyers[part] += int(rows.purchased_within(max(HORIZONS_DAYS)).sum())
        if part == "train":
            self.first += np.bincount(rows.first, minlength=NEVER + 1)

    def require_buyers(self) -> None:
        """Raise Refused when a part cannot teach or tell anything."""
        for part in PARTS:
            rows, buyers = self.rows[part], self.buyers[part]
            if rows == 0:
                raise Refused(
                    f"Nobody did anything before the days to {part}: all histories are empty. "
                    "Load more history, or raise INTENT_POPULATION_DAYS."
                )
            if min(buyers, rows - buyers) < LEAST_BUYERS:
                raise Refused(
                    f"Of {rows} customers on the days to {part}, {buyers} purchase afterwards; "
                    f"{LEAST_BUYERS} who do and as many who do not are needed. "
                    "Train later, or raise INTENT_TRAINING_DAYS."
                )


@dataclass
class Slices:
    """The slices of a window.

    Args:
        read: bucket → events, as `snapshots.read` returns them.
        buckets: how many there are.
        split: part → its anchors.
        definition: population, history and time zone.
        seed: of the order of buckets.
    """

    read: Callable[[int], pa.Table]
    buckets: int
    split: Mapping[str, Sequence[date]]
    definition: Definition
    seed: int
    vocabulary: Vocabulary = field(default_factory=dict)
    _kept: dict[Any, Any] = field(default_factory=dict)
    _free: int = KEPT_BYTES

    def learn_vocabulary(self) -> Vocabulary:
        """Learn and return the vocabulary of what had arrived by the last day to train on."""
        end = self.definition.day_end(self.split["train"][-1])
        counts = Counts.empty()
        for bucket in range(self.buckets):
            table = self._table(bucket)
            counts.add(table.filter(pc.less(table["ingested_at"], pa.scalar(end))))
        self.vocabulary = counts.vocabulary()
        return self.vocabulary

    def survey(self, seen: Callable[[str, Rows], None] = lambda *_: None) -> Survey:
        """Look at all rows once; `seen` is given each part of each bucket."""
        survey = Survey()
        for bucket in range(self.buckets):
            for part, rows in self._bucket(bucket).items():
                survey.add(part, rows)
                seen(part, rows)
        return survey

    def source(self, part: str) -> Callable[[int, int], Iterator[Rows]]:
        """Return what gives the buckets of a part: in another order in each pass to train."""

        def rows(epoch: int, skipped: int) -> Iterator[Rows]:
            order = np.arange(self.buckets)
            if part == "train":
                order = np.random.default_rng([self.seed, epoch]).permutation(self.buckets)
            for bucket in order[skipped:]:
                yield self._bucket(int(bucket), (part,))[part]

        return rows

    def _table(self, bucket: int) -> pa.Table:
        return self._keep(("table", bucket), lambda: self.read(bucket), lambda table: table.nbytes)

    def _bucket(self, bucket: int, parts: Sequence[str] = PARTS) -> dict[str, Rows]:
        found: dict[str, Rows] | None = self._kept.get(("rows", bucket))
        if found is not None:
            return found
        made = self._rows(bucket, parts)
        if len(parts) == len(PARTS):
            self._keep(
                ("rows", bucket), lambda: made, lambda m: sum(r.encoded.nbytes for r in m.values())
            )
        return made

    def _rows(self, bucket: int, parts: Sequence[str]) -> dict[str, Rows]:
        everything = history(self._table(bucket), self.vocabulary, self.definition.time_zone)
        rows = {}
        for part in parts:
            encoded = [encode(everything, self.definition, day) for day in self.split[part]]
            first, stage = (
                np.concatenate(
                    [
                        told(everything, one.customers, day, self.definition)
                        for one, day in zip(encoded, self.split[part], strict=True)
                    ]
                )
                for told in (first_purchases, stages)
            )
            rows[part] = Rows(join(encoded), first, stage)
        return rows

    def _keep(self, key: Any, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:  # noqa: ANN401
        if key not in self._kept:
            made = make()
            if size(made) > self._free:
                return made
            self._free -= size(made)
            self._kept[key] = made
        return self._kept[key]
