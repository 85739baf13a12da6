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
EVENTS = (16, 32, 64, 128, 256, 512, 1024, 2048)
STEPS = (4, 8, 16, 32, 64, 90, 180, 365)
"""Lengths that batches are trimmed to."""


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
    events = np.minimum(encoded.event_count, size.events)
    steps = np.minimum(encoded.step_count, size.steps)
    tie = np.arange(len(events)) if rng is None else rng.permutation(len(events))
    order = np.lexsort((tie, rounded(events, EVENTS), rounded(steps, STEPS)))
    parts = [order[n : n + rows] for n in range(0, len(order), rows)]
    for n in range(len(parts)) if rng is None else rng.permutation(len(parts)):
        part = parts[n]
        length = min(int(rounded(events[part].max(), EVENTS)), size.events)
        days = min(int(rounded(steps[part].max(), STEPS)), size.steps)
        chosen = np.concatenate([part, np.full(rows - len(part), part[0])])
        yield Batch(chosen, len(part), encoded.batch(chosen, length, days))


def rounded(counts: npt.ArrayLike, lengths: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the shortest of the lengths that holds each count; the longest where none does."""
    places = np.searchsorted(lengths, counts)
    return np.asarray(lengths)[np.minimum(places, len(lengths) - 1)]
