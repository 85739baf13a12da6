"""Dilated causal convolutions: each block reads twice as far back as the one before.

Source: Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
networks for sequence modeling", section 3.
"""

from keras import layers, ops

from intent_tasks.models.tensors import Tensor

KERNEL = 3
"""Number of steps that a convolution reads."""


def encode(steps: Tensor, mask: Tensor, width: int, depth: int) -> Tensor:
    """Return one vector for each row, shape (n, width)."""
    present = ops.cast(mask, steps.dtype)[:, :, None]  # padding must not contribute
    for n in range(depth):
        normal = layers.LayerNormalization(name=f"normal_{n}")(steps) * present
        convolved = layers.Conv1D(
            width,
            KERNEL,
            padding="causal",
            dilation_rate=2**n,
            activation="gelu",
            name=f"conv_{n}",
        )(normal)
        steps = steps + convolved
    return layers.LayerNormalization(name="normal")(steps)[:, -1]


def parameter_count(width: int, depth: int) -> int:
    """Return the number of parameters."""
    return depth * (KERNEL * width * width + 3 * width) + 2 * width
