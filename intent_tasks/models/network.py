"""The network: from a customer's events and features to the hazards of a purchase.

Each event becomes a vector. The vectors of a day are summed to a step, an encoder reads the steps,
and a head joins its output with the hand-made features. Days are the steps because people plan in
days, and because hundreds of events are only tens of days.

A pretrained ensemble (`ensemble.py`) reads the hand-made features alone; the network adds what the
events contribute to its logits.
Source: Zaheer et al. 2017, "Deep sets".
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from intent_tasks.core.arrays import Float32Array, FloatArray
from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS, WORDS
from intent_tasks.definition import HORIZONS_DAYS, STAGES
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.ensemble import PREDICTION_ROWS, Ensemble, EnsembleWeights
from intent_tasks.models.layers import (
    Calibration,
    DaySums,
    Dropout,
    EmbeddingTable,
    EventEmbedding,
    QuantileRanks,
)
from intent_tasks.models.sizes import Size
from intent_tasks.models.tensors import Inputs, Tensor

EMBEDDING = {
    "event_type": 8,
    "product_id": 8,
    "category_root": 4,
    "category_path": 8,
    "brand": 4,
    "channel": 4,
    "device": 4,
    "picture": 8,
    "words": 8,
}
"""Embedding table → its width, in the order of `CODE_COLUMNS`."""
INPUTS = {
    "codes": tf.TensorSpec((None, len(CODE_COLUMNS)), tf.int32),
    "numeric": tf.TensorSpec((None, len(NUMERIC)), tf.float32),
    "place": tf.TensorSpec((None,), tf.int32),
    "steps": tf.TensorSpec((None, None, len(STEP)), tf.float32),
    "features": tf.TensorSpec((None, len(FEATURES)), tf.float32),
}
"""The inputs, as `Encoded.batch` returns them."""
THREADS = 2
"""Number of threads; fixed, because it changes the order of sums and so their rounding."""
DROPOUT = 0.1


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network.

    Args:
        encoder: name of the encoder.
        size: events and steps that are read, width and depth.
        vocabulary_sizes: number of codes of each code column.
        mixed_precision: compute layers in bfloat16; weights, sums, logits and losses stay float32.
    """

    encoder: str
    size: Size
    vocabulary_sizes: dict[str, int]
    mixed_precision: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the architecture as JSON types."""
        return asdict(self)

    @property
    def min_weights(self) -> int:
        """Minimum number of weights, computed without building the network."""
        embeddings = sum(self.vocabulary_sizes[name] * width for name, width in EMBEDDING.items())
        return embeddings + self.size.encoder_parameters(self.encoder)

    @classmethod
    def of_json(cls, config: dict[str, Any]) -> "Architecture":
        """Return the architecture that `as_json` returned as JSON.

        Raises:
            KeyError, TypeError: another release wrote it.
        """
        if config["encoder"] not in ENCODERS:
            raise KeyError(f"encoder {config['encoder']}")
        if absent := EMBEDDING.keys() - config["vocabulary_sizes"].keys():
            raise KeyError(f"vocabulary_sizes without {', '.join(sorted(absent))}")
        return cls(**{**config, "size": Size(**config["size"])})


@dataclass(frozen=True)
class Network:
    """The network in parts, so that the effect of each event on a score can be computed.

    Args:
        embed: inputs → vectors of the e events, shape (e, D).
        read: vectors, place and steps → encoder output, shape (n, D).
        hazard_head: encoder output and features → logits of the hazards, shape (n, horizons).
        stage_head: encoder output and features → log-odds of `STAGES`, shape (n, stages).
        whole: inputs → logits of the hazards.
        everything: inputs → logits and log-odds of the stages; holds all weights.
        size: maximum number of events and steps that it reads.
    """

    embed: keras.Model
    read: keras.Model
    hazard_head: keras.Model
    stage_head: keras.Model
    whole: keras.Model
    everything: keras.Model
    size: Size

    @cached_property
    def predictors(self) -> dict[bool, Any]:
        """The network as a function, with and without XLA."""

        def whole(inputs: Inputs) -> Tensor:
            return self.whole(inputs, training=False)

        return {jit: graph(whole, jit) for jit in (False, True)}

    def predict(self, jit: bool) -> Callable[[Inputs], Float32Array]:
        """Return the function from inputs to logits, shape (n, horizons)."""
        predictor = self.predictors[jit]
        return lambda inputs: np.asarray(predictor(inputs))

    def start_from_ensemble(self, weights: EnsembleWeights) -> None:
        """Set the weights of the ensemble, and let events contribute nothing yet."""
        self.hazard_head.get_layer("ranks").set_weights(weights.ranks)
        self.hazard_head.get_layer("panel").set_weights(weights.members)
        self.scale_event_logits(0.0)

    def ensemble_logits(self, features: FloatArray) -> Float32Array:
        """Return the logits of the ensemble alone, before calibration, shape (n, horizons)."""
        ranks = self.hazard_head.get_layer("ranks")
        ensemble = self.hazard_head.get_layer("panel")
        starts = range(0, max(len(features), 1), PREDICTION_ROWS)
        chunks = [features[n : n + PREDICTION_ROWS] for n in starts]
        return np.concatenate([np.asarray(ensemble(ranks(chunk))) for chunk in chunks])

    def scale_event_logits(self, share: float) -> None:
        """Multiply what the network adds to the ensemble's logits."""
        hazard = self.hazard_head.get_layer("hazard")
        hazard.set_weights([np.float32(share) * each for each in hazard.get_weights()])

    @property
    def calibration(self) -> Calibration:
        """The last layer."""
        layer: Calibration = self.hazard_head.get_layer("calibration")
        return layer


def graph(function: Callable[..., Any], jit: bool, *more: tf.TensorSpec) -> Any:  # noqa: ANN401 - TensorFlow's
    """Compile a function of inputs and further arguments to a graph.

    Args:
        function: the function.
        jit: compile by XLA, once for each shape. Otherwise one graph serves all shapes, because
            several graphs would round differently.
        more: signatures of the further arguments.
    """
    signature = None if jit else [INPUTS, *more]
    # Nothing here branches on tensors, and converting the code of Keras takes seconds.
    return tf.function(function, signature, autograph=False, jit_compile=jit)


def deterministic(seed: int, exactly: bool = True) -> None:
    """Make training reproducible; call it before anything is built.

    Args:
        seed: seed of all random numbers.
        exactly: to the last bit, by a fixed order of sums and number of threads. Otherwise it is
            faster, above all on a GPU, and differs by rounding.
    """
    keras.utils.set_random_seed(seed)
    if not exactly:
        return
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    # One operation at a time, except that waiting for other workers must not block the rest.
    tf.config.threading.set_inter_op_parallelism_threads(8 if os.environ.get("TF_CONFIG") else 1)


def build(architecture: Architecture) -> Network:
    """Build the network with new weights."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if architecture.mixed_precision else policy)
    try:
        return _build(architecture)
    finally:
        keras.config.set_dtype_policy(policy)


EXACT = "float32"
"""Type of layers for which bfloat16 is too coarse: sums of events, features and logits."""


def _build(architecture: Architecture) -> Network:
    inputs = {
        name: keras.Input(each.shape[1:], dtype=each.dtype.name, name=name)
        for name, each in INPUTS.items()
    }
    embed = _embed(architecture, inputs)
    read, (hazard_head, stage_head) = _read(architecture), _heads(architecture)
    state = read([embed(inputs), inputs["place"], inputs["steps"]])
    logits = hazard_head([state, inputs["features"]])
    stages = stage_head([state, inputs["features"]])
    whole = keras.Model(inputs, logits, name="intent")
    everything = keras.Model(inputs, [logits, stages], name="everything")
    return Network(embed, read, hazard_head, stage_head, whole, everything, architecture.size)


def _embed(architecture: Architecture, inputs: Inputs) -> keras.Model:
    sizes = architecture.vocabulary_sizes
    tables = [
        EmbeddingTable(name, sizes[name], width, WORDS if name == "words" else 1)
        for name, width in EMBEDDING.items()
    ]
    layer = EventEmbedding(tables, architecture.size.width, name="event", dtype=EXACT)
    return keras.Model(inputs, layer(inputs["codes"], inputs["numeric"]), name="embed")


def _read(architecture: Architecture) -> keras.Model:
    width, depth = architecture.size.width, architecture.size.depth
    events = keras.Input((width,), name="events")
    place = keras.Input((), dtype="int32", name="place_of_event")
    steps = keras.Input((None, len(STEP)), name="steps_of_past")
    days = layers.Concatenate()(
        [DaySums(name="day_sums", dtype=EXACT)(events, place, steps), steps]
    )
    days = layers.Dense(width, activation="gelu", name="step")(days)
    mask = steps[:, :, 0] > 0
    state = ENCODERS[architecture.encoder].encode(days, mask, width, depth)  # (n, D)
    return keras.Model([events, place, steps], state, name="read")


# TensorFlow orders operations by name, so another name of a layer changes how sums round. The
# names of layers stay as they are, so that predictions stay the same to the last bit.


def _heads(architecture: Architecture) -> tuple[keras.Model, keras.Model]:
    width = architecture.size.width
    state = keras.Input((width,), name="state")
    features = keras.Input((len(FEATURES),), name="past")
    ranks = QuantileRanks(name="ranks", dtype=EXACT)(features)
    ensemble = Ensemble(name="panel", dtype=EXACT, trainable=False)
    dense = layers.Dense(width, activation="gelu", name="past_dense")(ranks)
    both = Dropout(DROPOUT)(layers.Concatenate()([state, dense]))
    hidden = layers.Dense(width, activation="gelu", name="both")(both)
    hazards = layers.Dense(len(HORIZONS_DAYS), name="hazard", dtype=EXACT)(hidden)
    base = ensemble(ranks)
    logits = layers.Add(dtype=EXACT)([base, hazards])
    calibrated = Calibration(name="calibration", dtype=EXACT)(logits)
    stage_input = layers.Concatenate(name="told", dtype=EXACT)([hidden, features, base])
    stages = layers.Dense(len(STAGES), kernel_initializer="zeros", name="stage", dtype=EXACT)(
        stage_input
    )
    return (
        keras.Model([state, features], calibrated, name="decide"),
        keras.Model([state, features], stages, name="stages"),
    )
