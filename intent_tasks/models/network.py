"""The network: a customer's last events and past in, hazards of a purchase out.

Events become vectors, the vectors of a day are added up to a step, an encoder reads the steps, and
what it says is joined with the hand-made features of the whole past. A day is what is added up,
because the day is what people plan in, and because a past of hundreds of events is tens of days.

A pretrained ensemble (`ensemble.py`) reads the hand-made features alone; the network adds what
the events contribute to its logits.
Source: Zaheer et al. 2017, "Deep sets".
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import STATICS
from intent_tasks.core.vocabulary import CODED, WORDS
from intent_tasks.definition import HORIZONS_DAYS, STAGES
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.ensemble import READ_AT_ONCE, Learned, Panel
from intent_tasks.models.layers import Calibration, DaySums, Dropout, Events, Ranks, Table
from intent_tasks.models.sizes import Size

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
"""Width of the vectors of codes, in the order of `CODED`."""
INPUTS = {
    "codes": tf.TensorSpec((None, len(CODED)), tf.int32),
    "numeric": tf.TensorSpec((None, len(NUMERIC)), tf.float32),
    "place": tf.TensorSpec((None,), tf.int32),
    "steps": tf.TensorSpec((None, None, len(STEP)), tf.float32),
    "statics": tf.TensorSpec((None, len(STATICS)), tf.float32),
}
"""What `Encoded.batch` gives."""
THREADS = 2
"""Fixed, because sums in another order are other sums."""
DROPOUT = 0.1


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again.

    Args:
        encoder: name of the encoder.
        size: events and steps that are read, width and depth.
        vocabulary_sizes: codes of each coded column.
        mixed_precision: whether layers compute in bfloat16; weights, sums, logits and losses are
            float32 all the same.
    """

    encoder: str
    size: Size
    vocabulary_sizes: dict[str, int]
    mixed_precision: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def of_json(cls, config: dict[str, Any]) -> "Architecture":
        """Return what `as_json` wrote.

        Raises:
            KeyError, TypeError: another release did.
        """
        if absent := EMBEDDING.keys() - config["vocabulary_sizes"].keys():
            raise KeyError(f"vocabulary_sizes without {', '.join(sorted(absent))}")
        return cls(**{**config, "size": Size(**config["size"])})


@dataclass(frozen=True)
class Network:
    """The network in parts, so that events can be asked what they did to a score.

    Args:
        embed: inputs → vectors of the e events, shape (e, D).
        read: vectors, place and steps → what the encoder says, shape (n, D).
        decide: that and statics → logits of the hazards, shape (n, horizons).
        stage: what the encoder says and statics → log-odds of `STAGES`, shape (n, stages).
        whole: inputs → logits.
        everything: inputs → logits and log-odds of the stages; holds all weights.
        size: most events and steps that it reads.
    """

    embed: keras.Model
    read: keras.Model
    decide: keras.Model
    stage: keras.Model
    whole: keras.Model
    everything: keras.Model
    size: Size

    @cached_property
    def predictors(self) -> dict[bool, Any]:
        """The network as a function, compiled by XLA and not."""

        def whole(inputs: Any) -> Any:  # noqa: ANN401 - tensors
            return self.whole(inputs, training=False)

        return {jit: graph(whole, jit) for jit in (False, True)}

    def predict(self, jit: bool) -> Callable[[Any], npt.NDArray[np.float32]]:
        """Return the function from inputs to logits, shape (n, horizons)."""
        predictor = self.predictors[jit]
        return lambda inputs: np.asarray(predictor(inputs))

    def begin_with(self, panel: Learned) -> None:
        """Say what a panel has learned, and nothing more until events are learned."""
        self.decide.get_layer("ranks").set_weights(panel.ranks)
        self.decide.get_layer("panel").set_weights(panel.members)
        self.take_of_events(0.0)

    def panel(self, statics: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the logits of the panel alone, before calibration, shape (n, horizons)."""
        known = self.decide.get_layer("ranks")
        told = self.decide.get_layer("panel")
        parts = [
            statics[n : n + READ_AT_ONCE] for n in range(0, max(len(statics), 1), READ_AT_ONCE)
        ]
        return np.concatenate([np.asarray(told(known(part))) for part in parts])

    def take_of_events(self, share: float) -> None:
        """Multiply what events, and what is learned beside them, add to the panel's logits."""
        hazard = self.decide.get_layer("hazard")
        hazard.set_weights([np.float32(share) * each for each in hazard.get_weights()])

    @property
    def calibration(self) -> Calibration:
        """The last layer."""
        found: Calibration = self.decide.get_layer("calibration")
        return found


def graph(of: Callable[..., Any], jit: bool, *more: tf.TensorSpec) -> Any:  # noqa: ANN401 - TensorFlow's
    """Return a function of inputs and more as a graph.

    Args:
        of: the function.
        jit: compile by XLA, once for each shape. Otherwise one graph serves all shapes: one for the
            first shape and one for the others would round differently.
        more: what it takes beside the inputs.
    """
    return tf.function(of, jit_compile=jit, input_signature=None if jit else [INPUTS, *more])


def deterministic(seed: int, exactly: bool = True) -> None:
    """Make the same come out of the same; called once, before anything is built.

    Args:
        seed: of all that is drawn.
        exactly: to the last bit: sums in one order, by a fixed number of threads. Otherwise faster,
            most of all on a GPU, and the same but for rounding.
    """
    keras.utils.set_random_seed(seed)
    if not exactly:
        return
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    # One operation at a time; but whoever waits for other workers must not block the rest.
    tf.config.threading.set_inter_op_parallelism_threads(8 if os.environ.get("TF_CONFIG") else 1)


def build(architecture: Architecture) -> Network:
    """Build the network with fresh weights."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if architecture.mixed_precision else usual)
    try:
        return _build(architecture)
    finally:
        keras.config.set_dtype_policy(usual)


EXACT = "float32"
"""Of the layers in which bfloat16 would lose what counts: sums of events, features and logits."""


def _build(architecture: Architecture) -> Network:
    inputs = {
        name: keras.Input(each.shape[1:], dtype=each.dtype.name, name=name)
        for name, each in INPUTS.items()
    }
    embed = _embed(architecture, inputs)
    read, (decide, stage) = _read(architecture), _decide(architecture)
    state = read([embed(inputs), inputs["place"], inputs["steps"]])
    logits = decide([state, inputs["statics"]])
    stages = stage([state, inputs["statics"]])
    whole = keras.Model(inputs, logits, name="intent")
    everything = keras.Model(inputs, [logits, stages], name="everything")
    return Network(embed, read, decide, stage, whole, everything, architecture.size)


def _embed(architecture: Architecture, inputs: dict[str, Any]) -> keras.Model:
    sizes = architecture.vocabulary_sizes
    tables = [
        Table(name, sizes[name], width, WORDS if name == "words" else 1)
        for name, width in EMBEDDING.items()
    ]
    layer = Events(tables, architecture.size.width, name="event", dtype=EXACT)
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


def _decide(architecture: Architecture) -> tuple[keras.Model, keras.Model]:
    width = architecture.size.width
    state = keras.Input((width,), name="state")
    statics = keras.Input((len(STATICS),), name="past")
    known = Ranks(name="ranks", dtype=EXACT)(statics)
    panel = Panel(name="panel", dtype=EXACT, trainable=False)
    past = layers.Dense(width, activation="gelu", name="past_dense")(known)
    both = Dropout(DROPOUT)(layers.Concatenate()([state, past]))
    hidden = layers.Dense(width, activation="gelu", name="both")(both)
    hazards = layers.Dense(len(HORIZONS_DAYS), name="hazard", dtype=EXACT)(hidden)
    usual = panel(known)
    logits = layers.Add(dtype=EXACT)([usual, hazards])
    decided = Calibration(name="calibration", dtype=EXACT)(logits)
    told = layers.Concatenate(name="told", dtype=EXACT)([hidden, statics, usual])
    stages = layers.Dense(len(STAGES), kernel_initializer="zeros", name="stage", dtype=EXACT)(told)
    return (
        keras.Model([state, statics], decided, name="decide"),
        keras.Model([state, statics], stages, name="stages"),
    )
