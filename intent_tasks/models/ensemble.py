"""An ensemble of small networks on the hand-made features, fitted before events are read.

Each member is trained without one part of the customers, and its loss on that part decides when to
stop: the validation split of a small shop has a few hundred rows, the training split many
thousands. The prediction is the mean of the members.
Sources: Lakshminarayanan, Pritzel & Blundell 2017, "Deep ensembles"; Krogh & Vedelsby 1995,
"Neural network ensembles, cross validation, and active learning".
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from scipy.special import logit

from intent_tasks.core.arrays import Float32Array, FloatArray, Int32Array, Int64Array
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.models.hazards import hazard_loss
from intent_tasks.models.layers import Dropout, QuantileRanks
from intent_tasks.models.tensors import LayerOption, Tensor

MEMBERS, WIDTH = 8, 32
"""Number of networks, and width of their two layers; wider ones gained nothing on small shops."""
INPUT_DROPOUT, DROPOUT = 0.1, 0.3
LEARNING_RATE, WEIGHT_DECAY, BATCH = 1e-3, 1e-2, 256
MAX_ROWS = 3_000_000
"""Maximum number of rows in all epochs together."""
MAX_EPOCHS, MIN_EPOCHS, PATIENCE = 60, 2, 8
"""Number of epochs, and of epochs without improvement before training stops."""
MAX_RANKED = 200_000
"""About the number of rows from which the distribution of a feature is estimated."""
PREDICTION_ROWS = 8192
"""Rows of one prediction call."""


@keras.saving.register_keras_serializable("intent")
class Ensemble(layers.Layer):  # type: ignore[misc]
    """The mean of the members' logits of the hazards; zeros before training."""

    def __init__(self, **kwargs: LayerOption) -> None:
        """Create the dropout layers."""
        super().__init__(**kwargs)
        self.dropouts = [Dropout(INPUT_DROPOUT), Dropout(DROPOUT), Dropout(DROPOUT)]

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights."""
        inputs, outputs = shape[-1], len(HORIZONS_DAYS)
        first = keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
        second = keras.initializers.RandomNormal(stddev=WIDTH**-0.5)
        for name, size, initializer in (
            ("first", (inputs, MEMBERS * WIDTH), first),
            ("first_bias", (MEMBERS * WIDTH,), "zeros"),
            ("second", (MEMBERS, WIDTH, WIDTH), second),
            ("second_bias", (MEMBERS, 1, WIDTH), "zeros"),
            ("hazard", (MEMBERS, WIDTH, outputs), "zeros"),
            ("hazard_bias", (MEMBERS, 1, outputs), "zeros"),
            ("straight", (inputs, MEMBERS * outputs), "zeros"),
        ):
            setattr(self, name, self.add_weight(shape=size, initializer=initializer, name=name))

    def members(self, ranks: Tensor, training: bool = False) -> Tensor:
        """Return the logits of each member, shape (MEMBERS, n, horizons)."""
        ranks = self.dropouts[0](ranks, training=training)
        hidden = ops.gelu(ops.matmul(ranks, self.first) + self.first_bias)
        hidden = self.dropouts[1](self._by_member(hidden, WIDTH), training=training)
        hidden = ops.gelu(ops.matmul(hidden, self.second) + self.second_bias)
        hidden = self.dropouts[2](hidden, training=training)
        straight = self._by_member(ops.matmul(ranks, self.straight), len(HORIZONS_DAYS))
        return ops.matmul(hidden, self.hazard) + self.hazard_bias + straight

    def _by_member(self, joined: Tensor, width: int) -> Tensor:
        return ops.transpose(ops.reshape(joined, (-1, MEMBERS, width)), (1, 0, 2))

    def call(self, ranks: Tensor) -> Tensor:
        """Return the mean logits, shape (n, horizons), from ranks of features, (n, features)."""
        return ops.mean(self.members(ranks), axis=0)


class FeatureRows(NamedTuple):
    """Features and labels of n rows.

    Args:
        features: shape (n, features).
        first_purchase: horizon of the first purchase, shape (n,).
        customers: customer of each row, numbered from 0, shape (n,).
    """

    features: FloatArray
    first_purchase: Int32Array
    customers: Int64Array

    def every(self, stride: int) -> "FeatureRows":
        """Return every `stride`-th row, copied."""
        return FeatureRows(
            self.features[::stride].copy(),
            self.first_purchase[::stride].copy(),
            self.customers[::stride].copy(),
        )

    @classmethod
    def joined(cls, parts: Sequence["FeatureRows"]) -> "FeatureRows":
        """Concatenate the rows of several."""
        return cls(*(np.concatenate(values) for values in zip(*parts, strict=True)))


class EnsembleWeights(NamedTuple):
    """Trained weights of the layer `QuantileRanks` and of the members."""

    ranks: list[Float32Array]
    members: list[Float32Array]


Predict = Callable[[FeatureRows], Iterator[tuple[slice, Tensor]]]


def fit(rows: FeatureRows, validation: FeatureRows, seed: int) -> EnsembleWeights:
    """Train an ensemble.

    Args:
        rows: training rows.
        validation: rows of days after a gap; with the rows a member was trained without, they
            decide when to stop.
        seed: seed of the order of the rows.

    Raises:
        Refused: the loss is not finite.
    """
    ensemble, ranks, rng = Ensemble(), QuantileRanks(), np.random.default_rng(seed)
    for layer in (ensemble, ranks):
        layer.build((None, rows.features.shape[1]))
    ranks.set_weights(
        QuantileRanks.weights_of(rows.features[:: 1 + len(rows.features) // MAX_RANKED])
    )
    ensemble.hazard_bias.assign(np.tile(_base_logits(rows.first_purchase), (MEMBERS, 1, 1)))
    fold = rows.customers * MEMBERS // max(int(rows.customers.max(initial=0)) + 1, 1)
    epochs = int(np.clip(MAX_ROWS // max(len(fold), 1), MIN_EPOCHS, MAX_EPOCHS))
    rank: Callable[[Tensor], Tensor] = ranks
    if len(fold) <= MAX_RANKED:  # more would take too much memory, and have few epochs
        rows, validation = (_ranked(each, ranks) for each in (rows, validation))
        rank = tf.identity
    step = _step(ensemble, rank, epochs * -(-len(fold) // BATCH))
    predict = _predictor(ensemble, rank)
    best, least, stale_epochs = ensemble.get_weights(), float("inf"), 0
    for _ in range(epochs):
        for chosen in _batches(rng, len(fold)):
            used = (fold[chosen] != np.arange(MEMBERS)[:, None]).astype(np.float32)
            step(rows.features[chosen], rows.first_purchase[chosen], used)
        loss = _held_out_loss(predict, rows, validation, fold)
        if not np.isfinite(loss):
            raise Refused(
                f"The loss of the ensemble became {loss}; no model was saved. Look for absurd "
                "prices or times in the events of the window."
            )
        stale_epochs += 1
        if loss < least - 1e-5:
            best, least, stale_epochs = ensemble.get_weights(), loss, 0
        if stale_epochs >= PATIENCE:
            break
    return EnsembleWeights(ranks.get_weights(), best)


def _ranked(rows: FeatureRows, ranks: QuantileRanks) -> FeatureRows:
    """Return rows with the ranks of their features, which are the same in each epoch."""
    rank = tf.function(lambda values: ranks(values), autograph=False, reduce_retracing=True)
    starts = range(0, max(len(rows.features), 1), PREDICTION_ROWS)
    chunks = [np.asarray(rank(rows.features[n : n + PREDICTION_ROWS])) for n in starts]
    return rows._replace(features=np.concatenate(chunks))


def _base_logits(first_purchase: Int32Array) -> Float32Array:
    """Return the logits of the hazards of all rows together, shape (horizons,)."""
    counts = np.bincount(first_purchase, minlength=len(HORIZONS_DAYS) + 1)
    at_risk = counts[::-1].cumsum()[::-1]
    hazards: Float32Array = logit((counts + 0.5) / (at_risk + 1))[:-1]
    return hazards.astype(np.float32)


def _batches(rng: np.random.Generator, count: int) -> Iterator[Int64Array]:
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield np.resize(order[start : start + BATCH], BATCH)  # one shape: the last batch repeats


def _step(ensemble: Ensemble, ranks: Callable[[Tensor], Tensor], steps: int) -> Callable[..., Any]:
    """Return the training step: from features, first purchases and the rows each member uses."""
    weights = ensemble.trainable_variables
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
    optimizer.build(weights)

    def step(features: Tensor, first_purchase: Tensor, used: Tensor) -> None:
        inputs = ranks(features)
        with tf.GradientTape() as tape:
            logits = ensemble.members(inputs, training=True)
            loss = tf.reduce_sum(tf.reduce_mean(_losses(first_purchase, logits) * used, axis=1))
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    function: Callable[..., Any] = tf.function(step, autograph=False)
    return function


def _losses(first_purchase: Tensor, logits: Tensor) -> Tensor:
    """Return the loss of each member and row, shape (MEMBERS, n)."""
    flat = tf.reshape(logits, (-1, logits.shape[-1]))
    return tf.reshape(hazard_loss(tf.tile(first_purchase, [MEMBERS]), flat), (MEMBERS, -1))


def _predictor(ensemble: Ensemble, ranks: Callable[[Tensor], Tensor]) -> Predict:
    """Return a function that yields, for rows in chunks, the chunk and the members' logits."""
    members = tf.function(
        lambda values: ensemble.members(ranks(values)), autograph=False, reduce_retracing=True
    )

    def predict(rows: FeatureRows) -> Iterator[tuple[slice, Tensor]]:
        for start in range(0, len(rows.first_purchase), PREDICTION_ROWS):
            chunk = slice(start, start + PREDICTION_ROWS)
            yield chunk, members(rows.features[chunk])

    return predict


def _held_out_loss(
    predict: Predict, rows: FeatureRows, validation: FeatureRows, fold: Int64Array
) -> float:
    """Return the mean loss of rows by the member trained without them, and of validation rows."""
    total = 0.0
    for chunk, logits in predict(rows):
        held_out = tf.gather(tf.transpose(logits, (1, 0, 2)), fold[chunk], batch_dims=1)
        total += float(tf.reduce_sum(hazard_loss(rows.first_purchase[chunk], held_out)))
    for chunk, logits in predict(validation):
        mean = tf.reduce_mean(logits, 0)
        total += float(tf.reduce_sum(hazard_loss(validation.first_purchase[chunk], mean)))
    return total / max(len(rows.first_purchase) + len(validation.first_purchase), 1)
