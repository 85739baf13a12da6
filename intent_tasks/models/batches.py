"""Rows in batches of nearly the same length, so that little is padded.

A batch is trimmed to what its longest past needs, rounded up to one of a few shapes: XLA compiles
each shape once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.encoding import Arrays, Encoded
from intent_tasks.models.sizes import Size

BATCH = 512
"""Rows of a batch."""
SHAPES = (
    *((16, 4), (32, 8), (48, 12), (64, 16), (96, 24), (128, 32), (192, 48), (256, 64)),
    *((384, 80), (512, 90), (1024, 180), (2048, 365)),
)
"""Events and steps that a batch is trimmed to: the first that holds all of its rows."""


class Batch(NamedTuple):
    """Rows that a network reads at once.

    Args:
        chosen: which of the encoded, shape (rows,); too few are filled up with the first of them.
        real: how many of them are meant.
        inputs: of the network.
    """

    chosen: npt.NDArray[np.int64]
    real: int
    inputs: Arrays


def batches(
    encoded: Encoded, size: Size, rows: int = BATCH, rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Yield all rows in batches of about one length.

    Args:
        encoded: the rows.
        size: most events and steps that are read.
        rows: of a batch.
        rng: of the order of rows of one length and of batches; None: shortest first.
    """
    shapes = [(min(events, size.events), min(steps, size.steps)) for events, steps in SHAPES]
    needed = np.maximum(
        _first_that_holds([events for events, _ in shapes], encoded.event_count),
        _first_that_holds([steps for _, steps in shapes], encoded.step_count),
    )
    tie = np.arange(len(needed)) if rng is None else rng.permutation(len(needed))
    order = np.lexsort((tie, needed))
    parts = [order[n : n + rows] for n in range(0, len(order), rows)]
    for n in range(len(parts)) if rng is None else rng.permutation(len(parts)):
        part = parts[n]
        chosen = np.concatenate([part, np.full(rows - len(part), part[0])])
        yield Batch(chosen, len(part), encoded.batch(chosen, *shapes[needed[part].max()]))


def _first_that_holds(lengths: list[int], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of the shortest length that holds each count; of the longest: none does."""
    return np.searchsorted(lengths, np.minimum(counts, lengths[-1]))
