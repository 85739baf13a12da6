"""Layers of the network that Keras does not have."""

from typing import Any

import keras
from keras import layers, ops

FEW_CODES = 64
"""Codes up to which looking them up is a matrix product."""
FEW = 8.0
"""Events of a usual day, so that their sum is near 1."""


@keras.saving.register_keras_serializable("intent")
class Vectors(layers.Embedding):  # type: ignore[misc]
    """A vector for each code; few codes are learned quicker as a matrix product."""

    def call(self, codes: Any) -> Any:  # noqa: ANN401 - tensors
        """Return shape (n, L, width) from codes of shape (n, L)."""
        if self.input_dim > FEW_CODES:
            return super().call(codes)
        chosen = ops.one_hot(codes, self.input_dim, dtype=self.compute_dtype)
        return ops.matmul(chosen, ops.convert_to_tensor(self.embeddings))


@keras.saving.register_keras_serializable("intent")
class Words(layers.Layer):  # type: ignore[misc]
    """The sum of the vectors of the words of each event: a bag of words."""

    def __init__(self, codes: int, width: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Make the table of vectors."""
        super().__init__(**kwargs)
        self.table = layers.Embedding(codes, width, name="table")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.table.build(shape)

    def call(self, codes: Any) -> Any:  # noqa: ANN401 - tensors
        """Return shape (n, L, width) from codes of shape (n, L, words)."""
        vectors = ops.cast(ops.convert_to_tensor(self.table.embeddings), self.compute_dtype)
        nothing = ops.zeros_like(vectors[:1])  # is what padding adds
        known = ops.concatenate([nothing, vectors[1:]], axis=0)
        return ops.sum(ops.take(known, codes, axis=0), axis=2)


@keras.saving.register_keras_serializable("intent")
class DaySums(layers.Layer):  # type: ignore[misc]
    """Add up the vectors of the events of each step, as they are and bent by a logarithm."""

    def call(self, vectors: Any, place: Any, steps: Any) -> Any:  # noqa: ANN401 - tensors
        """Return shape (n, S, 2 width) from vectors (n, L, width) and the step of each (n, L)."""
        places = ops.arange(ops.shape(steps)[1], dtype="int32")
        belongs = ops.cast(place[:, :, None] == places, vectors.dtype)  # (n, L, S)
        sums = ops.einsum("nls,nlw->nsw", belongs, vectors)
        return ops.concatenate([ops.log1p(sums), sums / FEW], -1)


@keras.saving.register_keras_serializable("intent")
class Forget(layers.Layer):  # type: ignore[misc]
    """While learning, put zeros in place of all features of some rows."""

    def __init__(self, rate: float, **kwargs: Any) -> None:  # noqa: ANN401 - of any Keras layer
        """Set the share of rows."""
        super().__init__(**kwargs)
        self.rate = rate
        self.seeds = keras.random.SeedGenerator()

    def call(self, features: Any, training: bool = False) -> Any:  # noqa: ANN401 - tensors
        """Return the features, same shape."""
        if not training:
            return features
        drawn = keras.random.uniform((ops.shape(features)[0], 1), seed=self.seeds)
        return features * ops.cast(drawn >= self.rate, features.dtype)


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
