"""Gated recurrent units: each step updates a state.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
"""

from keras import layers

from intent_tasks.models.tensors import Tensor


def encode(steps: Tensor, mask: Tensor, width: int, depth: int) -> Tensor:
    """Return one vector for each row, shape (n, width)."""
    for n in range(depth):
        steps = layers.GRU(width, return_sequences=n < depth - 1, name=f"gru_{n}")(steps, mask=mask)
    return steps


def parameter_count(width: int, depth: int) -> int:
    """Return the number of parameters: three gates, each with two biases."""
    return depth * 3 * (2 * width * width + 2 * width)
