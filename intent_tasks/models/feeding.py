"""Rows as batches to learn from, made while the ones before are learned."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.encoding import NUMERIC, STEP, Encoded
from intent_tasks.core.features import STATICS
from intent_tasks.core.slices import Rows
from intent_tasks.core.vocabulary import CODED
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.batches import batches
from intent_tasks.models.sizes import Size

AHEAD = 4
"""Batches that are made before they are needed."""

Begins = Callable[[Encoded], npt.NDArray[np.float32]]
"""From encoded rows to the logits that a network adds to, shape (n, horizons)."""


def fed(
    rows: Rows,
    size: Size,
    batch: int,
    rng: np.random.Generator | None,
    begins: Begins | None = None,
) -> tf.data.Dataset:
    """Return batches of inputs, labels, logits to add to, and weights, made ahead of their use.

    Args:
        rows: to learn from.
        size: most events and steps that are read.
        batch: rows of a batch; the last one is filled up with rows of weight 0.
        rng: of the order of rows and batches; None: shortest first.
        begins: gives the logits that are added to; None: zeros.
    """
    held = [rows]  # TensorFlow never forgets a generator, so the generator must let go of the rows

    def made() -> Iterator[tuple[Any, ...]]:
        rows = held.pop()
        begun = np.zeros((len(rows.first), len(HORIZONS_DAYS)), np.float32)
        if begins is not None and len(begun):
            begun = begins(rows.encoded)
        for chosen, count, inputs in batches(rows.encoded, size, batch, rng):
            weight = (np.arange(batch) < count).astype(np.float32)
            yield inputs, rows.first[chosen], begun[chosen], weight

    first, weight = (tf.TensorSpec((batch,), kind) for kind in (tf.int32, tf.float32))
    logits = tf.TensorSpec((batch, len(HORIZONS_DAYS)), tf.float32)
    signature = (_signature(batch), first, logits, weight)
    return tf.data.Dataset.from_generator(made, output_signature=signature).prefetch(AHEAD)


def _signature(batch: int) -> dict[str, tf.TensorSpec]:
    return {
        "codes": tf.TensorSpec((batch, None, len(CODED)), tf.int32),
        "numeric": tf.TensorSpec((batch, None, len(NUMERIC)), tf.float32),
        "place": tf.TensorSpec((batch, None), tf.int32),
        "steps": tf.TensorSpec((batch, None, len(STEP)), tf.float32),
        "statics": tf.TensorSpec((batch, len(STATICS)), tf.float32),
    }
