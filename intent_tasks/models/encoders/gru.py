"""Gated recurrent units: a state that each step moves, as the forward filter moves a belief.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
"""

from typing import Any

from keras import layers


def encode(steps: Any, mask: Any, width: int, depth: int) -> Any:  # noqa: ANN401 - tensors
    """Return one vector each, shape (n, width)."""
    for n in range(depth):
        steps = layers.GRU(width, return_sequences=n < depth - 1, name=f"gru_{n}")(steps, mask=mask)
    return steps


def parameter_count(width: int, depth: int) -> int:
    """Return how many numbers are learned: three gates, each with two biases."""
    return depth * 3 * (2 * width * width + 2 * width)
