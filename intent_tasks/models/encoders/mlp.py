"""Pooled: the mean over all steps and the newest step, then dense layers; blind to order."""

from typing import Any

from keras import layers


def encode(steps: Any, mask: Any, width: int, depth: int) -> Any:  # noqa: ANN401 - tensors
    """Return one vector each, shape (n, width)."""
    mean = layers.GlobalAveragePooling1D(name="pooled")(steps, mask=mask)
    state = layers.Concatenate()([mean, steps[:, -1]])
    for n in range(depth):
        state = layers.Dense(width, activation="gelu", name=f"mlp_{n}")(state)
    return state


def parameter_count(width: int, depth: int) -> int:
    """Return how many numbers are learned: the first layer reads two vectors, the others one."""
    return (depth + 1) * width * width + depth * width
