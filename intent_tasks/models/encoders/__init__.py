"""Encoders: each module of this package is one, and its name is the value of INTENT_MODEL_ENCODER.

`encode(steps, mask, width, depth)` encodes the steps of each row, shape (n, S, width), newest last,
to one vector, shape (n, width). `mask`, bool of shape (n, S), is False for the padding before the
first step. `parameter_count(width, depth)` returns the number of parameters.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from intent_tasks.models.tensors import Tensor


class Encoder(Protocol):
    """Functions that each module of this package defines."""

    def encode(self, steps: Tensor, mask: Tensor, width: int, depth: int) -> Tensor:
        """Return one vector for each row, shape (n, width)."""

    def parameter_count(self, width: int, depth: int) -> int:
        """Return the number of parameters."""


def _discover() -> dict[str, Encoder]:
    """Return the encoders of this package by name, the smallest first."""
    names = [module.name for module in iter_modules(__path__)]
    encoders: dict[str, Encoder] = {n: import_module(f"{__name__}.{n}") for n in names}
    return dict(sorted(encoders.items(), key=lambda item: item[1].parameter_count(32, 1)))


ENCODERS = _discover()
"""By the value of INTENT_MODEL_ENCODER."""
