"""A panel of small networks on the hand-made features: what is known before events are read.

Each member leaves out a part of the customers, and what it says of those it has not seen tells when
to stop: a small shop's later slice is a few hundred rows, its training slice many thousands. What
the panel says is the mean of its members, which is steadier than any of them.
Sources: Lakshminarayanan, Pritzel & Blundell 2017, "Deep ensembles"; Krogh & Vedelsby 1995,
"Neural network ensembles, cross validation, and active learning".
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops
from scipy.special import logit

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.models.hazards import hazard_loss
from intent_tasks.models.layers import Dropout, Ranks

MEMBERS, WIDTH = 8, 32
"""Networks, and width of their two layers; wider ones were no better on shops of a few thousand."""
INPUT_DROPOUT, DROPOUT = 0.1, 0.3
"""Share of the features and of what the layers say that is left out while learning."""
LEARNING_RATE, WEIGHT_DECAY, BATCH = 1e-3, 1e-2, 256
MOST_ROWS = 3_000_000
"""Rows that all passes together need not exceed."""
MOST_PASSES, LEAST_PASSES, PATIENCE = 60, 2, 8
"""Passes over the rows, and how many without a gain end it."""
MOST_RANKED = 200_000
"""Rows that tell the distribution of a feature, about."""
READ_AT_ONCE = 8192
"""Rows whose features are read at once where nothing is learned."""

Floats = npt.NDArray[np.floating]


@keras.saving.register_keras_serializable("intent")
class Panel(layers.Layer):  # type: ignore[misc]
    """The mean of what the members say: logits of the hazards. Before it has learned, zeros."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - of any Keras layer
        """Make what is left out while learning."""
        super().__init__(**kwargs)
        self.left_out = [Dropout(INPUT_DROPOUT), Dropout(DROPOUT), Dropout(DROPOUT)]

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        read, said = shape[-1], len(HORIZONS_DAYS)
        drawn = keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
        within = keras.initializers.RandomNormal(stddev=WIDTH**-0.5)
        for name, size, begun in (
            ("first", (read, MEMBERS * WIDTH), drawn),
            ("first_bias", (MEMBERS * WIDTH,), "zeros"),
            ("second", (MEMBERS, WIDTH, WIDTH), within),
            ("second_bias", (MEMBERS, 1, WIDTH), "zeros"),
            ("hazard", (MEMBERS, WIDTH, said), "zeros"),
            ("hazard_bias", (MEMBERS, 1, said), "zeros"),
            ("straight", (read, MEMBERS * said), "zeros"),
        ):
            setattr(self, name, self.add_weight(shape=size, initializer=begun, name=name))

    def members(self, known: Any, training: bool = False) -> Any:  # noqa: ANN401 - tensors
        """Return what each member says, shape (MEMBERS, n, horizons)."""
        known = self.left_out[0](known, training=training)
        hidden = ops.gelu(ops.matmul(known, self.first) + self.first_bias)
        hidden = self.left_out[1](self._of_each(hidden, WIDTH), training=training)
        hidden = ops.gelu(ops.matmul(hidden, self.second) + self.second_bias)
        hidden = self.left_out[2](hidden, training=training)
        straight = self._of_each(ops.matmul(known, self.straight), len(HORIZONS_DAYS))
        return ops.matmul(hidden, self.hazard) + self.hazard_bias + straight

    def _of_each(self, joined: Any, width: int) -> Any:  # noqa: ANN401 - tensors
        return ops.transpose(ops.reshape(joined, (-1, MEMBERS, width)), (1, 0, 2))

    def call(self, known: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the mean, shape (n, horizons), from features as ranks, (n, features)."""
        return ops.mean(self.members(known), axis=0)


class Told(NamedTuple):
    """Rows to learn from.

    Args:
        features: shape (n, features).
        first: horizon of the first purchase, shape (n,).
        customers: whose row it is, numbers from 0 on, shape (n,).
    """

    features: Floats
    first: npt.NDArray[np.int32]
    customers: npt.NDArray[np.int64]

    def every(self, stride: int) -> "Told":
        """Return every so-manieth row, by itself in memory."""
        return Told(
            self.features[::stride].copy(), self.first[::stride].copy(), self.customers[::stride]
        )

    @classmethod
    def joined(cls, parts: Sequence["Told"]) -> "Told":
        """Return the rows of several, one after the other."""
        features, first, customers = zip(*parts, strict=True)
        return cls(np.concatenate(features), np.concatenate(first), np.concatenate(customers))


class Learned(NamedTuple):
    """What a panel has learned: weights of the layers that rank features, and of its members."""

    ranks: list[npt.NDArray[np.float32]]
    members: list[npt.NDArray[np.float32]]


def fit(rows: Told, later: Told, seed: int) -> Learned:
    """Return what a panel has learned.

    Args:
        rows: to learn from.
        later: days after a gap; with what the members have not seen, they tell when to stop.
        seed: of the order of the rows.

    Raises:
        Refused: the loss is no number any more.
    """
    panel, ranks, rng = Panel(), Ranks(), np.random.default_rng(seed)
    for layer in (panel, ranks):
        layer.build((None, rows.features.shape[1]))
    ranks.set_weights(Ranks.of(rows.features[:: 1 + len(rows.features) // MOST_RANKED]))
    panel.hazard_bias.assign(np.tile(_usual(rows.first), (MEMBERS, 1, 1)))
    part = rows.customers * MEMBERS // max(int(rows.customers.max(initial=0)) + 1, 1)
    passes = int(np.clip(MOST_ROWS // max(len(part), 1), LEAST_PASSES, MOST_PASSES))
    step = _step(panel, ranks, passes * -(-len(part) // BATCH))
    said = _reader(panel, ranks)
    best, least, without_gain = panel.get_weights(), float("inf"), 0
    for _ in range(passes):
        for chosen in _batches(rng, len(part)):
            seen = (part[chosen] != np.arange(MEMBERS)[:, None]).astype(np.float32)
            step(rows.features[chosen], rows.first[chosen], seen)
        loss = _loss_of_unseen(said, rows, later, part)
        if not np.isfinite(loss):
            raise Refused(
                f"The loss on hand-made features became {loss}: nothing is kept. Look for absurd "
                "prices or times in the events of the window."
            )
        without_gain += 1
        if loss < least - 1e-5:
            best, least, without_gain = panel.get_weights(), loss, 0
        if without_gain >= PATIENCE:
            break
    return Learned(ranks.get_weights(), best)


def _usual(first: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the logits of the hazards of all rows together, shape (horizons,)."""
    counts = np.bincount(first, minlength=len(HORIZONS_DAYS) + 1)
    at_risk = counts[::-1].cumsum()[::-1]
    hazards: npt.NDArray[np.float32] = logit((counts + 0.5) / (at_risk + 1))[:-1]
    return hazards.astype(np.float32)


def _batches(rng: np.random.Generator, count: int) -> Iterator[npt.NDArray[np.int64]]:
    order = rng.permutation(count)
    for begin in range(0, count, BATCH):
        yield np.resize(order[begin : begin + BATCH], BATCH)  # of one shape: the last one repeats


def _step(panel: Panel, ranks: Ranks, steps: int) -> Callable[..., Any]:
    """Return the function that learns from features, first purchases and who sees which row."""
    weights = panel.trainable_variables
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
    optimizer.build(weights)

    def step(features: Any, first: Any, seen: Any) -> None:  # noqa: ANN401 - tensors
        known = ranks(features)
        with tf.GradientTape() as tape:
            logits = panel.members(known, training=True)
            loss = tf.reduce_sum(tf.reduce_mean(_losses(first, logits) * seen, axis=1))
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    function: Callable[..., Any] = tf.function(step)
    return function


def _losses(first: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the loss of each member and row, shape (MEMBERS, n)."""
    flat = tf.reshape(logits, (-1, logits.shape[-1]))
    return tf.reshape(hazard_loss(tf.tile(first, [MEMBERS]), flat), (MEMBERS, -1))


def _reader(panel: Panel, ranks: Ranks) -> Callable[[Told], Iterator[tuple[slice, Any]]]:
    """Return what gives of rows, part by part, which they are and what each member says."""
    members = tf.function(lambda values: panel.members(ranks(values)), reduce_retracing=True)

    def said(rows: Told) -> Iterator[tuple[slice, Any]]:
        for begin in range(0, len(rows.first), READ_AT_ONCE):
            part = slice(begin, begin + READ_AT_ONCE)
            yield part, members(rows.features[part])

    return said


def _loss_of_unseen(
    said: Callable[[Told], Iterator[tuple[slice, Any]]],
    rows: Told,
    later: Told,
    part: npt.NDArray[np.int64],
) -> float:
    """Return the mean loss of rows by the member that has not seen them, and of later ones."""
    total = 0.0
    for place, logits in said(rows):
        unseen = tf.gather(tf.transpose(logits, (1, 0, 2)), part[place], batch_dims=1)
        total += float(tf.reduce_sum(hazard_loss(rows.first[place], unseen)))
    for place, logits in said(later):
        total += float(tf.reduce_sum(hazard_loss(later.first[place], tf.reduce_mean(logits, 0))))
    return total / max(len(rows.first) + len(later.first), 1)
