"""Rows in batches of nearly as many steps, so that little is padded.

The steps of a batch are padded to one of a few numbers, and its events, all rows together, too: XLA
compiles each shape once.
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
"""Steps that a batch is padded to: the first that hold all of its rows."""
OCTAVE = 4
"""Numbers of events that a batch is padded to, between one power of two and the next."""


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
    """Yield all rows in batches of about as many steps.

    Args:
        encoded: the rows.
        size: most events and steps that are read.
        rows: of a batch.
        rng: of the order of rows of as many steps and of batches; None: shortest first.
    """
    steps = np.minimum(STEPS, size.steps)
    needed = np.searchsorted(steps, np.minimum(encoded.step_count, steps[-1]))
    tie = encoded.step_count if rng is None else rng.permutation(len(needed))
    order = np.lexsort((tie, needed))
    parts = [order[n : n + rows] for n in range(0, len(order), rows)]
    for n in range(len(parts)) if rng is None else rng.permutation(len(parts)):
        part = parts[n]
        chosen = np.concatenate([part, np.full(rows - len(part), part[0])])
        inputs = encoded.batch(chosen, size.events, steps[needed[part].max()], rounded)
        yield Batch(chosen, len(part), inputs)


def rounded(count: int) -> int:
    """Return the least number of events not below `count` that a batch is padded to."""
    step = max(1, (1 << max(count - 1, 0).bit_length()) // (2 * OCTAVE))
    return -(-count // step) * step
