"""Causal self-attention with rotary positions, normalised before each layer.

Sources: Vaswani et al. 2017, "Attention is all you need"; Xiong et al. 2020, "On layer
normalization in the transformer architecture"; Su et al. 2021, "RoFormer".
"""

import keras
import numpy as np
from keras import layers, ops

from intent_tasks.models.tensors import LayerOption, Tensor

HEAD_WIDTH = 32
"""Width of one attention head; a narrower network has one head."""
WIDER = 4
"""Width of the hidden dense layer relative to the network."""


@keras.saving.register_keras_serializable("intent")
class RotaryAttention(layers.Layer):  # type: ignore[misc]
    """Causal self-attention; queries and keys are rotated by their position."""

    def __init__(self, width: int, **kwargs: LayerOption) -> None:
        """Create the projections; `width` is divided among the heads."""
        super().__init__(**kwargs)
        self.heads = max(1, width // HEAD_WIDTH)
        self.projections = layers.Dense(3 * width, use_bias=False, name="queries_keys_values")
        self.result = layers.Dense(width, use_bias=False, name="result")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights."""
        self.projections.build(shape)
        self.result.build(shape)

    def call(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Return the attention output of each step, shape (n, S, width)."""
        length, width = ops.shape(steps)[1], steps.shape[-1]
        parts = ops.reshape(
            self.projections(steps), (-1, length, 3, self.heads, width // self.heads)
        )
        queries, keys = _rotated(parts[:, :, 0]), _rotated(parts[:, :, 1])
        places = ops.arange(length)
        # A step always attends to itself, so that padding attends to something.
        allowed = (places[:, None] >= places[None]) & mask[:, None, :] | (
            places[:, None] == places[None]
        )
        attended = ops.dot_product_attention(queries, keys, parts[:, :, 2], mask=allowed[:, None])
        return self.result(ops.reshape(attended, (-1, length, width)))


def _rotated(vectors: Tensor) -> Tensor:
    """Rotate pairs of coordinates by an angle that grows with the position, same shape."""
    half = vectors.shape[-1] // 2
    speed = (10_000.0 ** (-np.arange(half) / half)).astype(np.float32)
    angle = ops.cast(ops.arange(ops.shape(vectors)[1]), "float32")[:, None] * speed
    sine = ops.cast(ops.sin(angle), vectors.dtype)[None, :, None]
    cosine = ops.cast(ops.cos(angle), vectors.dtype)[None, :, None]
    left, right = vectors[..., :half], vectors[..., half:]
    return ops.concatenate([left * cosine - right * sine, left * sine + right * cosine], -1)


def encode(steps: Tensor, mask: Tensor, width: int, depth: int) -> Tensor:
    """Return one vector for each row, shape (n, width)."""
    for n in range(depth):
        normal = layers.LayerNormalization(name=f"before_attention_{n}")(steps)
        steps = steps + RotaryAttention(width, name=f"attention_{n}")(normal, mask)
        normal = layers.LayerNormalization(name=f"before_dense_{n}")(steps)
        wide = layers.Dense(WIDER * width, activation="gelu", name=f"wide_{n}")(normal)
        steps = steps + layers.Dense(width, name=f"narrow_{n}")(wide)
    return layers.LayerNormalization(name="normal")(steps)[:, -1]


def parameter_count(width: int, depth: int) -> int:
    """Return the number of parameters."""
    attention = 4 * width * width + 2 * width
    dense = 2 * WIDER * width * width + WIDER * width + width + 2 * width
    return depth * (attention + dense) + 2 * width
