"""Training batches, prepared while the previous one is learned."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from intent_tasks.core.arrays import Float32Array, FloatArray, Int32Array
from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import Arrays
from intent_tasks.models.batches import batches
from intent_tasks.models.sizes import Size

Teacher = Callable[[FloatArray], FloatArray]
"""From features, shape (n, features), to probabilities at the main horizon, shape (n,)."""


class TrainingBatch(NamedTuple):
    """Inputs and targets of n rows.

    Args:
        inputs: inputs of the network.
        first_purchase: horizon of the first purchase of each row, shape (n,).
        teacher: the teacher's probabilities, shape (n,).
        weight: weight of each row, 0 for padding, shape (n,).
    """

    inputs: Arrays
    first_purchase: Int32Array
    teacher: Float32Array
    weight: Float32Array


def training_batches(
    rows: Rows,
    size: Size,
    batch: int,
    rng: np.random.Generator | None,
    teacher: Teacher | None = None,
) -> Iterator[TrainingBatch]:
    """Yield batches; the next one is prepared in a thread.

    Args:
        rows: training rows.
        size: maximum number of events and steps that are read.
        batch: rows of a batch; the last one is padded with rows of weight 0.
        rng: shuffles rows and batches; None: shortest first.
        teacher: a model whose probabilities are learned too; None: zeros.
    """
    prepared = _prepare(rows, size, batch, rng, teacher)
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(next, prepared, None)
        while (current := pending.result()) is not None:
            pending = executor.submit(next, prepared, None)
            yield current


def _prepare(
    rows: Rows, size: Size, batch: int, rng: np.random.Generator | None, teacher: Teacher | None
) -> Iterator[TrainingBatch]:
    probabilities = np.zeros(len(rows.first_purchase), np.float32)
    if teacher is not None and len(probabilities):
        probabilities = teacher(rows.encoded.features).astype(np.float32)
    for chosen, count, inputs in batches(rows.encoded, size, batch, rng):
        weight = (np.arange(batch) < count).astype(np.float32)
        yield TrainingBatch(inputs, rows.first_purchase[chosen], probabilities[chosen], weight)
