"""Rows as batches to learn from, made while the ones before are learned."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import STATICS
from intent_tasks.core.slices import Rows
from intent_tasks.core.vocabulary import CODED
from intent_tasks.models.batches import batches
from intent_tasks.models.sizes import Size

AHEAD = 4
"""Batches that are made before they are needed."""

Teacher = Callable[[npt.NDArray[np.floating]], npt.NDArray[np.floating]]
"""From features, shape (n, features), to probabilities at the main horizon, shape (n,)."""


def fed(
    rows: Rows,
    size: Size,
    batch: int,
    rng: np.random.Generator | None,
    teacher: Teacher | None = None,
) -> tf.data.Dataset:
    """Return batches of inputs, labels, what is taught, and weights, made ahead of their use.

    Args:
        rows: to learn from.
        size: most events and steps that are read.
        batch: rows of a batch; the last one is filled up with rows of weight 0.
        rng: of the order of rows and batches; None: shortest first.
        teacher: a model whose probabilities are taught; None: zeros.
    """
    held = [rows]  # TensorFlow never forgets a generator, so the generator must let go of the rows

    def made() -> Iterator[tuple[Any, ...]]:
        rows = held.pop()
        taught = np.zeros(len(rows.first), np.float32)
        if teacher is not None and len(taught):
            taught = teacher(rows.encoded.features).astype(np.float32)
        for chosen, count, inputs in batches(rows.encoded, size, batch, rng):
            weight = (np.arange(batch) < count).astype(np.float32)
            yield inputs, rows.first[chosen], taught[chosen], weight

    numbers = tf.TensorSpec((batch,), tf.float32)
    one = tf.TensorSpec((batch,), tf.int32), numbers, numbers
    signature = (_signature(batch), *one)
    return tf.data.Dataset.from_generator(made, output_signature=signature).prefetch(AHEAD)


def _signature(batch: int) -> dict[str, tf.TensorSpec]:
    return {
        "codes": tf.TensorSpec((batch, None, len(CODED)), tf.int32),
        "numeric": tf.TensorSpec((batch, None, len(NUMERIC)), tf.float32),
        "place": tf.TensorSpec((batch, None), tf.int32),
        "steps": tf.TensorSpec((batch, None, len(STEP)), tf.float32),
        "statics": tf.TensorSpec((batch, len(STATICS)), tf.float32),
    }
