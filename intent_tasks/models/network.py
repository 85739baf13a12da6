"""The network: a customer's last events and past in, hazards of a purchase out.

The hazard of an interval is the probability of a first purchase in it, given none before. The
probabilities of 1, 3, 7 and 14 days come from one curve and cannot contradict each other.
Source: Gensheimer & Narasimhan 2019, "A scalable discrete-time survival model for neural networks".
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads both when it loads
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import tensorflow as tf
from keras import layers

from intent_tasks.core.encoding import CODED, NUMERIC, STATICS
from intent_tasks.definition import HORIZONS_DAYS

SIZES = {"nano": (24, 32), "small": (48, 64), "base": (64, 128)}
"""Name → events read one by one (L), width of all layers (D)."""

EMBEDDING = {"event_type": 8, "product_id": 16, "category_path": 12, "channel": 4}
THREADS = 2
"""Fixed, because sums in another order are other sums."""


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again.

    Args:
        length: L, events read one by one.
        width: D, width of the layers.
        vocabulary_sizes: codes of each coded column.
        static_means: of each static feature, shape (len(STATICS),).
        static_deviations: the same.
    """

    length: int
    width: int
    vocabulary_sizes: dict[str, int]
    static_means: list[float]
    static_deviations: list[float]
    encoder: str = "gru"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


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


@dataclass(frozen=True)
class Network:
    """The network in two halves, so that events can be asked what they did to a score.

    Args:
        embed: inputs → vectors of the events, shape (n, L, D).
        head: vectors, mask and statics → logits of the hazards, shape (n, horizons).
        whole: inputs → logits.
    """

    embed: keras.Model
    head: keras.Model
    whole: keras.Model

    @property
    def calibration(self) -> Calibration:
        """The last layer."""
        found: Calibration = self.head.get_layer("calibration")
        return found


def deterministic(seed: int) -> None:
    """Make the same bytes come out of the same bytes; called once, before anything is built."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def build(architecture: Architecture) -> Network:
    """Build the network with fresh weights."""
    inputs = _inputs(architecture)
    embed = _embed(architecture, inputs)
    head = _head(architecture)
    mask = layers.Lambda(lambda codes: keras.ops.not_equal(codes, 0), name="mask")
    logits = head([embed(inputs), mask(inputs["event_type"]), inputs["statics"]])
    return Network(embed, head, keras.Model(inputs, logits, name="intent"))


def _inputs(architecture: Architecture) -> dict[str, Any]:
    length = architecture.length
    return {
        **{name: keras.Input((length,), dtype="int32", name=name) for name in CODED},
        "numeric": keras.Input((length, len(NUMERIC)), name="numeric"),
        "statics": keras.Input((len(STATICS),), name="statics"),
    }


def _embed(architecture: Architecture, inputs: dict[str, Any]) -> keras.Model:
    sizes = architecture.vocabulary_sizes
    vectors = [
        layers.Embedding(sizes[name], EMBEDDING[name], name=f"embed_{name}")(inputs[name])
        for name in CODED
    ]
    joined = layers.Concatenate()([*vectors, inputs["numeric"]])  # (n, L, sum of widths)
    events = layers.Dense(architecture.width, activation="gelu", name="event")(joined)
    return keras.Model(inputs, events, name="embed")


def _head(architecture: Architecture) -> keras.Model:
    width, length = architecture.width, architecture.length
    events = keras.Input((length, width), name="events")
    mask = keras.Input((length,), dtype="bool", name="known")
    statics = keras.Input((len(STATICS),), name="past")
    normal = layers.Normalization(
        mean=np.array(architecture.static_means),
        variance=np.array(architecture.static_deviations) ** 2,
        name="normal",
    )
    state = layers.GRU(width, name="gru")(events, mask=mask)  # (n, D)
    known = normal(statics)
    past = layers.Dense(width, activation="gelu", name="past_dense")(known)
    both = layers.Dropout(0.1)(layers.Concatenate()([state, past]))
    hidden = layers.Dense(width, activation="gelu", name="both")(both)
    # A straight way from the past to the hazards: what is linear need not be learned by layers.
    straight = layers.Dense(len(HORIZONS_DAYS), use_bias=False, name="straight")(known)
    logits = layers.Add()([layers.Dense(len(HORIZONS_DAYS), name="hazard")(hidden), straight])
    return keras.Model(
        [events, mask, statics], Calibration(name="calibration")(logits), name="head"
    )


def probabilities(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return, from logits, the probability of a purchase within each horizon, same shape."""
    survive = -np.logaddexp(0.0, np.asarray(logits, np.float64))  # log(1 - hazard)
    result: npt.NDArray[np.float64] = -np.expm1(np.cumsum(survive, axis=1))
    return result


def hazard_loss(first_interval: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the negative log likelihood of each customer, shape (n,).

    Args:
        first_interval: horizon of the first purchase; the number of horizons: none. Shape (n,).
        logits: of the hazards, shape (n, horizons).
    """
    intervals = tf.range(len(HORIZONS_DAYS), dtype=tf.int32)[None, :]
    first = tf.cast(tf.reshape(first_interval, (-1, 1)), tf.int32)
    happened = tf.cast(intervals == first, logits.dtype)
    at_risk = tf.cast(intervals <= first, logits.dtype)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=happened, logits=logits)
    return tf.reduce_sum(losses * at_risk, axis=1)
