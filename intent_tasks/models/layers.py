"""Layers of the network that Keras does not have."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from intent_tasks.core.arrays import Float32Array, FloatArray
from intent_tasks.models.tensors import LayerOption, Tensor

TYPICAL_DAY_EVENTS = 8.0
"""Events of a typical day; sums are divided by it."""

Shape = tuple[int, ...]


class EmbeddingTable(NamedTuple):
    """An embedding table.

    Args:
        name: code column, or group of columns.
        codes: number of codes.
        width: width of each vector.
        columns: number of code columns that are looked up in it and summed.
    """

    name: str
    codes: int
    width: int
    columns: int = 1


@keras.saving.register_keras_serializable("intent")
class EventEmbedding(layers.Layer):  # type: ignore[misc]
    """A dense layer on the embeddings of an event's codes and its numeric inputs.

    A dense layer on concatenated vectors is a sum of products, one for each vector. So each table
    is multiplied by its part of the kernel once, for all events.
    """

    def __init__(self, tables: Sequence[EmbeddingTable], width: int, **kwargs: LayerOption) -> None:
        """Set the tables, in the order of the codes, and the output width."""
        super().__init__(**kwargs)
        self.tables, self.width = [EmbeddingTable(*table) for table in tables], width

    def build(self, codes_shape: Shape, numbers_shape: Shape) -> None:  # noqa: ARG002 - Keras's names
        """Create the weights."""
        self.vectors = [
            self.add_weight(shape=(t.codes, t.width), initializer="uniform", name=t.name)
            for t in self.tables
        ]
        joined = sum(table.width for table in self.tables) + numbers_shape[-1]
        self.kernel = self.add_weight(
            shape=(joined, self.width), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.width,), initializer="zeros", name="bias")

    def call(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Return shape (e, width) from codes (e, columns) and numbers (e, numbers)."""
        kernel = ops.convert_to_tensor(self.kernel)
        column = row = 0
        total = ops.convert_to_tensor(self.bias)
        for table, vectors in zip(self.tables, self.vectors, strict=True):
            projected = ops.matmul(vectors, kernel[row : row + table.width])
            if table.columns > 1:  # a bag of words, to which padding adds nothing
                projected = ops.concatenate([ops.zeros_like(projected[:1]), projected[1:]], axis=0)
            for _ in range(table.columns):
                total = total + ops.take(projected, codes[:, column], axis=0)
                column += 1
            row += table.width
        # Not negative, so that the logarithm of a sum exists.
        return ops.relu(total + ops.matmul(numbers, kernel[row:]))


@keras.saving.register_keras_serializable("intent")
class DaySums(layers.Layer):  # type: ignore[misc]
    """Sum the vectors of the events of each step, once as a logarithm and once scaled."""

    def call(self, vectors: Tensor, place: Tensor, steps: Tensor) -> Tensor:
        """Return shape (n, S, 2 width) from vectors (e, width) and the step of each (e,)."""
        rows, days = ops.shape(steps)[:2]
        sums = ops.segment_sum(vectors, place, rows * days)  # a step of -1 is padding
        sums = ops.reshape(sums, (-1, days, vectors.shape[-1]))
        return ops.concatenate([ops.log1p(sums), sums / TYPICAL_DAY_EVENTS], -1)


def random_uniform(seeds: keras.random.SeedGenerator, shape: Tensor) -> Tensor:
    """Return uniform random numbers by Philox: XLA's default costs 50 times as much."""
    return tf.random.stateless_uniform(shape, ops.cast(seeds.next(), "int32"), alg="philox")


@keras.saving.register_keras_serializable("intent")
class Dropout(layers.Dropout):  # type: ignore[misc]
    """Dropout with random numbers by Philox."""

    def call(self, values: Tensor, training: bool = False) -> Tensor:
        """Return the values, same shape: zero where dropped, scaled up elsewhere."""
        if not (training and self.rate):
            return values
        kept = random_uniform(self.seed_generator, ops.shape(values)) >= self.rate
        return ops.where(kept, values / (1 - self.rate), ops.zeros_like(values))


KNOTS = 9
"""Points of a feature's distribution, between which its rank is interpolated."""
CAPPING_ROUNDS = 16
"""Number of times that counts are capped at an equal share of their sum; more change nothing."""


def _interpolated(features: Tensor, knots: Tensor, ranks: Tensor) -> Tensor:
    slope = (ranks[1:] - ranks[:-1]) / ops.maximum(knots[1:] - knots[:-1], 1e-9)
    total = ranks[0]
    for low, high, rise in zip(*(tf.unstack(v, num=KNOTS - 1) for v in
                                 (knots[:-1], knots[1:], slope)), strict=True):  # fmt: skip
        total = total + rise * (ops.minimum(ops.maximum(low, features), high) - low)
    return total


@keras.saving.register_keras_serializable("intent")
class QuantileRanks(layers.Layer):  # type: ignore[misc]
    """Replace each feature by its rank in the training distribution.

    Equal values together count for at most one in eight, because most customers have the value 0 of
    most features. Values outside the distribution get the rank of its end: shops drift, and a
    network that extrapolates is too confident there, unlike trees. Before it has a distribution,
    the layer clips features to `-FAR` … `FAR`.
    """

    FAR = 4.0

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights: knots of each feature, ascending, and the rank at each."""
        weight = {"shape": (KNOTS, shape[-1]), "initializer": self._evenly, "trainable": False}
        self.knots, self.ranks = (self.add_weight(name=n, **weight) for n in ("knots", "ranks"))

    def _evenly(self, shape: Shape, dtype: Any = None) -> Tensor:  # noqa: ANN401 - of Keras
        points = ops.linspace(-self.FAR, self.FAR, shape[0], dtype=dtype)[:, None]
        return ops.broadcast_to(points, shape)

    def call(self, features: Tensor) -> Tensor:
        """Return ranks, same shape, (n, features).

        The gradient is the mean slope over the whole distribution, not the slope at the value.
        Attribution multiplies it by the change of the feature without an event, which often goes
        from one end of the distribution to the other.
        """
        knots, ranks = ops.convert_to_tensor(self.knots), ops.convert_to_tensor(self.ranks)
        mean_slope = (ranks[-1] - ranks[0]) / ops.maximum(knots[-1] - knots[0], 1e-9)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def ranked(values: Tensor) -> tuple[Tensor, Any]:
            return _interpolated(values, knots, ranks), lambda upstream: upstream * mean_slope

        return ranked(features)

    @staticmethod
    def weights_of(features: FloatArray) -> list[Float32Array]:
        """Return the weights for a distribution.

        Args:
            features: shape (n, features); n may be 0.

        Returns:
            Knots and ranks, shape (KNOTS, features) each. Ranks have mean 0, and deviation 1 if no
            two values are equal.
        """
        values = features if len(features) else np.zeros((1, features.shape[1]), np.float32)
        points = [_points(column) for column in values.T]
        return [np.stack(each, axis=1).astype(np.float32) for each in zip(*points, strict=True)]


def _points(column: FloatArray) -> tuple[FloatArray, ...]:
    """Return the knots of one feature and the rank at each, shape (KNOTS,).

    Equal values count for no more than the share between two knots. Where most customers have the
    value 0, the knots then describe the others.
    """
    values, equal = np.unique(column, return_counts=True)
    counts = equal.astype(float)
    for _ in range(CAPPING_ROUNDS):
        counts = np.minimum(counts, counts.sum() / (KNOTS - 1))
    points = np.linspace(0, 1, KNOTS)
    knots = np.quantile(values, points, weights=counts, method="inverted_cdf")
    # Equal knots share the middle of their ranks.
    less = (knots[None] < knots[:, None]).sum(axis=1)
    not_more = (knots[None] <= knots[:, None]).sum(axis=1) - 1
    rank = (less + not_more) / 2 / (KNOTS - 1) * np.sqrt(12)
    mean = np.average(np.interp(values, *_distinct(knots, rank)), weights=equal)
    return knots, rank - mean


def _distinct(knots: FloatArray, rank: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, index = np.unique(knots, return_index=True)
    return values, rank[index]


@keras.saving.register_keras_serializable("intent")
class Calibration(layers.Layer):  # type: ignore[misc]
    """Scale and shift logits, by weights fitted on the calibration split."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights of the identity."""
        count = shape[-1]
        self.scale = self.add_weight(shape=(1,), initializer="ones", trainable=False, name="scale")
        self.shift = self.add_weight(
            shape=(count,), initializer="zeros", trainable=False, name="shift"
        )

    def call(self, logits: Tensor) -> Tensor:
        """Return calibrated logits, same shape."""
        return logits * self.scale + self.shift
