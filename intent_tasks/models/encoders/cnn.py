"""Dilated causal convolutions: each block sees twice as far back as the one before.

Source: Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
networks for sequence modeling", section 3.
"""

from typing import Any

from keras import layers, ops

KERNEL = 3
"""Steps that a convolution reads at once."""


def encode(steps: Any, mask: Any, width: int, depth: int) -> Any:  # noqa: ANN401 - tensors
    """Return one vector each, shape (n, width)."""
    known = ops.cast(mask, steps.dtype)[:, :, None]  # what is not there must not say anything
    for n in range(depth):
        normal = layers.LayerNormalization(name=f"normal_{n}")(steps) * known
        heard = layers.Conv1D(
            width,
            KERNEL,
            padding="causal",
            dilation_rate=2**n,
            activation="gelu",
            name=f"conv_{n}",
        )(normal)
        steps = steps + heard
    return layers.LayerNormalization(name="normal")(steps)[:, -1]


def parameter_count(width: int, depth: int) -> int:
    """Return how many numbers are learned."""
    return depth * (KERNEL * width * width + 3 * width) + 2 * width
