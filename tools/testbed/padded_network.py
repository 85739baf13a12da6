"""Reference network: plain Keras layers, with every row padded to full length.

It has the parameters of the network and makes the same predictions; only the computation differs.
Events are an axis of each row, `Embedding` looks up codes, and `Dense` reads the concatenated
embeddings.
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
    """Return the inputs of the reference network: all events of each row, the newest last."""
    index, is_event = encoded.latest(chosen, size.events)
    back, place = encoded.steps_back[index], encoded.place[index]
    is_event &= back < size.steps
    numeric = np.concatenate(
        [encoded.events.fixed_numeric[place], encoded.anchor_numeric[index]], axis=-1
    )
    batch = encoded.batch(chosen, size.events, size.steps)
    return {
        "codes": np.where(is_event[:, :, None], encoded.events.coded[place], PAD),
        "numeric": numeric * is_event[:, :, None],
        "place": np.where(is_event, size.steps - 1 - back, NONE).astype(np.int32),
        "steps": batch["steps"],
        "features": batch["features"],
    }


def build(architecture: Architecture, network: Network) -> keras.Model:
    """Return the reference network with the weights of a network; both share the head."""
    inputs = {
        "codes": keras.Input((None, len(CODE_COLUMNS)), dtype="int32", name="codes"),
        "numeric": keras.Input((None, len(NUMERIC)), name="numeric"),
        "place": keras.Input((None,), dtype="int32", name="place"),
        "steps": keras.Input((None, len(STEP)), name="steps"),
        "features": keras.Input((len(FEATURES),), name="features"),
    }
    size, steps = architecture.size, inputs["steps"]
    events = layers.Dense(size.width, activation="relu", name="event")(
        _embed_events(architecture, inputs)
    )
    belongs = ops.one_hot(inputs["place"], size.steps)  # (n, L, S); none of padding
    sums = ops.einsum("nls,nlw->nsw", belongs, events)
    days = layers.Concatenate()([ops.log1p(sums), sums / TYPICAL_DAY_EVENTS, steps])
    days = layers.Dense(size.width, activation="gelu", name="step")(days)
    encode = ENCODERS[architecture.encoder].encode
    state = encode(days, steps[:, :, 0] > 0, size.width, size.depth)
    reference = keras.Model(inputs, network.hazard_head([state, inputs["features"]]))
    _copy_weights(reference, network)
    return reference


def _embed_events(architecture: Architecture, inputs: dict[str, Any]) -> Any:  # noqa: ANN401 - tensors
    sizes, codes = architecture.vocabulary_sizes, inputs["codes"]

    def embed(name: str, values: Any) -> Any:  # noqa: ANN401 - tensors
        return layers.Embedding(sizes[name], EMBEDDING[name], name=name)(values)

    vectors = [embed(name, codes[:, :, n]) for n, name in enumerate(("event_type", *COLUMNS))]
    words = codes[:, :, len(vectors) :]
    word_vectors = embed("words", words) * ops.cast(words != PAD, "float32")[..., None]
    return layers.Concatenate()([*vectors, ops.sum(word_vectors, axis=2), inputs["numeric"]])


def _copy_weights(reference: keras.Model, network: Network) -> None:
    """Copy the weights of the network into the layers before the head."""
    *tables, kernel, bias = network.embed.get_weights()
    weights_of = {name: [table] for name, table in zip(EMBEDDING, tables, strict=True)}
    weights_of["event"] = [kernel, bias]
    weights_of |= {
        layer.name: layer.get_weights() for layer in network.read.layers if layer.weights
    }
    for name, weights in weights_of.items():
        reference.get_layer(name).set_weights(weights)
