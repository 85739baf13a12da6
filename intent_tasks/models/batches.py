"""Batches of rows with similar numbers of steps, to pad little.

The numbers of steps and of events of a batch are padded to one of a few sizes, because XLA compiles
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
STEPS = (4, 8, 12, 16, 24, 32, 48, 64, 80, 90, 180, 365)
"""Padded numbers of steps; a batch gets the first that holds all of its rows."""
SIZES_PER_OCTAVE = 4
"""Number of padded event counts between one power of two and the next."""


class Batch(NamedTuple):
    """Rows that a network reads at once.

    Args:
        chosen: indices of the rows, shape (rows,); missing rows repeat the first one.
        real: number of rows that are not padding.
        inputs: inputs of the network.
    """

    chosen: npt.NDArray[np.int64]
    real: int
    inputs: Arrays


def batches(
    encoded: Encoded, size: Size, rows: int = BATCH, rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Yield all rows in batches of similar numbers of steps.

    Args:
        encoded: the rows.
        size: maximum number of events and steps that are read.
        rows: rows of a batch.
        rng: shuffles batches, and rows of equal size; None: shortest first.
    """
    steps = np.minimum(STEPS, size.steps)
    needed = np.searchsorted(steps, np.minimum(encoded.step_count, steps[-1]))
    tie = encoded.step_count if rng is None else rng.permutation(len(needed))
    order = np.lexsort((tie, needed))
    parts = [order[n : n + rows] for n in range(0, len(order), rows)]
    for n in range(len(parts)) if rng is None else rng.permutation(len(parts)):
        part = parts[n]
        chosen = np.concatenate([part, np.full(rows - len(part), part[0])])
        inputs = encoded.batch(chosen, size.events, steps[needed[part].max()], padded_size)
        yield Batch(chosen, len(part), inputs)


def padded_size(count: int) -> int:
    """Return the padded number of events: the smallest size not below `count`."""
    step = max(1, (1 << max(count - 1, 0).bit_length()) // (2 * SIZES_PER_OCTAVE))
    return -(-count // step) * step
