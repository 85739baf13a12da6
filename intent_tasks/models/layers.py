"""Layers of the network that Keras does not have."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

FEW = 8.0
"""Events of a usual day, so that their sum is near 1."""

Shape = tuple[int, ...]


class Table(NamedTuple):
    """Vectors of codes.

    Args:
        name: of what is coded.
        codes: how many there are.
        width: of each vector.
        columns: codes of an event that are looked up in it and added up.
    """

    name: str
    codes: int
    width: int
    columns: int = 1


@keras.saving.register_keras_serializable("intent")
class Events(layers.Layer):  # type: ignore[misc]
    """A dense layer on the vectors of the codes of an event and its numbers.

    A dense layer on vectors side by side is a sum of products, one for each vector. So each table
    of vectors is multiplied once, for all events that look something up in it.
    """

    def __init__(self, tables: Sequence[Table], width: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Set the tables, in the order of the codes, and the width of what comes out."""
        super().__init__(**kwargs)
        self.tables, self.width = [Table(*table) for table in tables], width

    def build(self, codes_shape: Shape, numbers_shape: Shape) -> None:  # noqa: ARG002 - Keras's names
        """Make the weights."""
        self.vectors = [
            self.add_weight(shape=(t.codes, t.width), initializer="uniform", name=t.name)
            for t in self.tables
        ]
        joined = sum(table.width for table in self.tables) + numbers_shape[-1]
        self.kernel = self.add_weight(
            shape=(joined, self.width), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.width,), initializer="zeros", name="bias")

    def call(self, codes: Any, numbers: Any) -> Any:  # noqa: ANN401 - tensors
        """Return shape (e, width) from codes (e, columns) and numbers (e, numbers)."""
        kernel = ops.convert_to_tensor(self.kernel)
        column = row = 0
        total = ops.convert_to_tensor(self.bias)
        for table, vectors in zip(self.tables, self.vectors, strict=True):
            known = ops.matmul(vectors, kernel[row : row + table.width])
            if table.columns > 1:  # a bag, to which padding adds nothing
                known = ops.concatenate([ops.zeros_like(known[:1]), known[1:]], axis=0)
            for _ in range(table.columns):
                total = total + ops.take(known, codes[:, column], axis=0)
                column += 1
            row += table.width
        # Not below zero, so that sums only grow and their logarithm exists.
        return ops.relu(total + ops.matmul(numbers, kernel[row:]))


@keras.saving.register_keras_serializable("intent")
class DaySums(layers.Layer):  # type: ignore[misc]
    """Add up the vectors of the events of each step, as they are and bent by a logarithm."""

    def call(self, vectors: Any, place: Any, steps: Any) -> Any:  # noqa: ANN401 - tensors
        """Return shape (n, S, 2 width) from vectors (e, width) and the place of each (e,)."""
        rows, days = ops.shape(steps)[:2]
        sums = ops.segment_sum(vectors, place, rows * days)  # a place of -1 is none
        sums = ops.reshape(sums, (-1, days, vectors.shape[-1]))
        return ops.concatenate([ops.log1p(sums), sums / FEW], -1)


def drawn(seeds: keras.random.SeedGenerator, shape: Any) -> Any:  # noqa: ANN401 - tensors
    """Return uniform numbers by Philox: what XLA takes by itself costs 50 times as much."""
    return tf.random.stateless_uniform(shape, ops.cast(seeds.next(), "int32"), alg="philox")


@keras.saving.register_keras_serializable("intent")
class Dropout(layers.Dropout):  # type: ignore[misc]
    """While learning, put zeros in place of some numbers."""

    def call(self, values: Any, training: bool = False) -> Any:  # noqa: ANN401 - tensors
        """Return the values, same shape; those that stay make up for those that do not."""
        if not (training and self.rate):
            return values
        kept = drawn(self.seed_generator, ops.shape(values)) >= self.rate
        return ops.where(kept, values / (1 - self.rate), ops.zeros_like(values))


KNOTS = 9
"""Points of the distribution of a feature between which its rank is a straight line."""
EVENED = 16
"""How often counts are cut to one part of their sum: more changes nothing that can be seen."""


def _ranked(features: Any, knots: Any, ranks: Any) -> Any:  # noqa: ANN401 - tensors
    slope = (ranks[1:] - ranks[:-1]) / ops.maximum(knots[1:] - knots[:-1], 1e-9)
    total = ranks[0]
    for low, high, rise in zip(*(tf.unstack(v, num=KNOTS - 1) for v in
                                 (knots[:-1], knots[1:], slope)), strict=True):  # fmt: skip
        total = total + rise * (ops.minimum(ops.maximum(low, features), high) - low)
    return total


@keras.saving.register_keras_serializable("intent")
class Ranks(layers.Layer):  # type: ignore[misc]
    """Say of each feature how many of those learned from have less of it.

    Those who are alike count as at most one in eight: of most features most customers have nothing.
    What is farther than all of them says no more than the farthest: shops drift, and a network that
    goes on along its straight lines there is too sure of itself, where trees are not. Before it is
    told of a distribution, features pass as they are within `-FAR` and `FAR`.
    """

    FAR = 4.0

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights: points of each feature in rising order, and the rank at each."""
        begun = {"shape": (KNOTS, shape[-1]), "initializer": self._evenly, "trainable": False}
        self.knots, self.ranks = (self.add_weight(name=n, **begun) for n in ("knots", "ranks"))

    def _evenly(self, shape: Shape, dtype: Any = None) -> Any:  # noqa: ANN401 - of Keras
        points = ops.linspace(-self.FAR, self.FAR, shape[0], dtype=dtype)[:, None]
        return ops.broadcast_to(points, shape)

    def call(self, features: Any) -> Any:  # noqa: ANN401 - tensors
        """Return ranks, same shape, (n, features).

        Its gradient is the mean slope over the whole distribution, the same everywhere: what is
        asked of it is what a feature loses with an event, often from one end to the other, and a
        slope of one place would say of that whatever it likes.
        """
        knots, ranks = ops.convert_to_tensor(self.knots), ops.convert_to_tensor(self.ranks)
        mean_slope = (ranks[-1] - ranks[0]) / ops.maximum(knots[-1] - knots[0], 1e-9)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def ranked(values: Any) -> Any:  # noqa: ANN401 - tensors
            return _ranked(values, knots, ranks), lambda upstream: upstream * mean_slope

        return ranked(features)

    @staticmethod
    def of(features: npt.NDArray[np.floating]) -> list[npt.NDArray[np.float32]]:
        """Return the weights that tell of a distribution.

        Args:
            features: shape (n, features); none at all tell nothing.

        Returns:
            Knots and ranks, shape (KNOTS, features) each; ranks of mean 0, and of deviation 1 where
            no two customers are alike.
        """
        some = features if len(features) else np.zeros((1, features.shape[1]), np.float32)
        told = [_points(column) for column in some.T]
        return [np.stack(each, axis=1).astype(np.float32) for each in zip(*told, strict=True)]


def _points(column: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], ...]:
    """Return the points of one feature and the rank at each, shape (KNOTS,).

    Customers who are alike count for no more than the part between two points: where most of them
    have nothing, what a feature says is how much the others have.
    """
    values, alike = np.unique(column, return_counts=True)
    counts = alike.astype(float)
    for _ in range(EVENED):
        counts = np.minimum(counts, counts.sum() / (KNOTS - 1))
    points = np.linspace(0, 1, KNOTS)
    knots = np.quantile(values, points, weights=counts, method="inverted_cdf")
    # Points that are alike share the rank in the middle of theirs.
    less = (knots[None] < knots[:, None]).sum(axis=1)
    not_more = (knots[None] <= knots[:, None]).sum(axis=1) - 1
    rank = (less + not_more) / 2 / (KNOTS - 1) * np.sqrt(12)
    mean = np.average(np.interp(values, *_distinct(knots, rank)), weights=alike)
    return knots, rank - mean


def _distinct(knots: npt.NDArray[np.floating], rank: npt.NDArray[np.floating]) -> tuple[Any, ...]:
    each, place = np.unique(knots, return_index=True)
    return each, rank[place]


@keras.saving.register_keras_serializable("intent")
class Calibration(layers.Layer):  # type: ignore[misc]
    """Stretch and shift logits, by weights that are fitted on a later slice of time."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights of a calibration that changes nothing."""
        count = shape[-1]
        self.scale = self.add_weight(shape=(1,), initializer="ones", trainable=False, name="scale")
        self.shift = self.add_weight(
            shape=(count,), initializer="zeros", trainable=False, name="shift"
        )

    def call(self, logits: Any) -> Any:  # noqa: ANN401 - tensors
        """Return calibrated logits, same shape."""
        return logits * self.scale + self.shift
