"""The network in plain Keras layers, with every row padded to full length: the peer in speed.

It has the parameters of the network and says the same; only how it is computed differs. Events are
an axis of each row, `Embedding` looks codes up, and `Dense` reads what was looked up side by side.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from intent_tasks.core.encoding import NUMERIC, STEP, Arrays, Encoded
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS, COLUMNS, PAD
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.layers import TYPICAL_DAY_EVENTS
from intent_tasks.models.network import EMBEDDING, Architecture, Network
from intent_tasks.models.sizes import Size

NONE = -1
"""Step of padding."""


def padded(encoded: Encoded, chosen: npt.NDArray[np.integer], size: Size) -> Arrays:
    """Return the inputs of the peer: all events of a row beside each other, the newest last."""
    index, there = encoded.latest(chosen, size.events)
    back, place = encoded.steps_back[index], encoded.place[index]
    there &= back < size.steps
    numeric = np.concatenate(
        [encoded.events.fixed_numeric[place], encoded.anchor_numeric[index]], axis=-1
    )
    same = encoded.batch(chosen, size.events, size.steps)
    return {
        "codes": np.where(there[:, :, None], encoded.events.coded[place], PAD),
        "numeric": numeric * there[:, :, None],
        "place": np.where(there, size.steps - 1 - back, NONE).astype(np.int32),
        "steps": same["steps"],
        "features": same["features"],
    }


def build(architecture: Architecture, network: Network) -> keras.Model:
    """Return the peer of a network, with its weights; the layers that decide are the same."""
    inputs = {
        "codes": keras.Input((None, len(CODE_COLUMNS)), dtype="int32", name="codes"),
        "numeric": keras.Input((None, len(NUMERIC)), name="numeric"),
        "place": keras.Input((None,), dtype="int32", name="place"),
        "steps": keras.Input((None, len(STEP)), name="steps"),
        "features": keras.Input((len(FEATURES),), name="features"),
    }
    size, steps = architecture.size, inputs["steps"]
    events = layers.Dense(size.width, activation="relu", name="event")(
        _joined(architecture, inputs)
    )
    belongs = ops.one_hot(inputs["place"], size.steps)  # (n, L, S); none of padding
    sums = ops.einsum("nls,nlw->nsw", belongs, events)
    days = layers.Concatenate()([ops.log1p(sums), sums / TYPICAL_DAY_EVENTS, steps])
    days = layers.Dense(size.width, activation="gelu", name="step")(days)
    encode = ENCODERS[architecture.encoder].encode
    state = encode(days, steps[:, :, 0] > 0, size.width, size.depth)
    peer = keras.Model(inputs, network.hazard_head([state, inputs["features"]]))
    _give(peer, network)
    return peer


def _joined(architecture: Architecture, inputs: dict[str, Any]) -> Any:  # noqa: ANN401 - tensors
    sizes, codes = architecture.vocabulary_sizes, inputs["codes"]

    def looked_up(name: str, asked: Any) -> Any:  # noqa: ANN401 - tensors
        return layers.Embedding(sizes[name], EMBEDDING[name], name=name)(asked)

    vectors = [looked_up(name, codes[:, :, n]) for n, name in enumerate(("event_type", *COLUMNS))]
    words = codes[:, :, len(vectors) :]
    said = looked_up("words", words) * ops.cast(words != PAD, "float32")[..., None]
    return layers.Concatenate()([*vectors, ops.sum(said, axis=2), inputs["numeric"]])


def _give(peer: keras.Model, network: Network) -> None:
    """Let the layers before those that decide begin with the weights of the network."""
    *tables, kernel, bias = network.embed.get_weights()
    begun = {name: [table] for name, table in zip(EMBEDDING, tables, strict=True)}
    begun["event"] = [kernel, bias]
    begun |= {layer.name: layer.get_weights() for layer in network.read.layers if layer.weights}
    for name, weights in begun.items():
        peer.get_layer(name).set_weights(weights)
