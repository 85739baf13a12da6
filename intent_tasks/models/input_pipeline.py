"""Rows as batches to learn from, made while the ones before are learned."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import Arrays
from intent_tasks.models.batches import batches
from intent_tasks.models.sizes import Size

Teacher = Callable[[npt.NDArray[np.floating]], npt.NDArray[np.floating]]
"""From features, shape (n, features), to probabilities at the main horizon, shape (n,)."""


class Lesson(NamedTuple):
    """What a step learns from n rows.

    Args:
        inputs: of the network.
        first: horizon of the first purchase of each row, shape (n,).
        taught: the teacher's probabilities, shape (n,).
        weight: of each row, 0 of those that fill up, shape (n,).
    """

    inputs: Arrays
    first: npt.NDArray[np.int32]
    taught: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


def fed(
    rows: Rows,
    size: Size,
    batch: int,
    rng: np.random.Generator | None,
    teacher: Teacher | None = None,
) -> Iterator[Lesson]:
    """Yield batches to learn from; the next one is made while one is learned.

    Args:
        rows: to learn from.
        size: most events and steps that are read.
        batch: rows of a batch; the last one is filled up with rows of weight 0.
        rng: of the order of rows and batches; None: shortest first.
        teacher: a model whose probabilities are taught; None: zeros.
    """
    lessons = _made(rows, size, batch, rng, teacher)
    with ThreadPoolExecutor(1) as maker:
        ahead = maker.submit(next, lessons, None)
        while (lesson := ahead.result()) is not None:
            ahead = maker.submit(next, lessons, None)
            yield lesson


def _made(
    rows: Rows, size: Size, batch: int, rng: np.random.Generator | None, teacher: Teacher | None
) -> Iterator[Lesson]:
    taught = np.zeros(len(rows.first), np.float32)
    if teacher is not None and len(taught):
        taught = teacher(rows.encoded.features).astype(np.float32)
    for chosen, count, inputs in batches(rows.encoded, size, batch, rng):
        weight = (np.arange(batch) < count).astype(np.float32)
        yield Lesson(inputs, rows.first[chosen], taught[chosen], weight)
