"""Sizes of the network."""

from dataclasses import dataclass

from intent_tasks.errors import BadInput
from intent_tasks.models.encoders import ENCODERS


@dataclass(frozen=True)
class Size:
    """Size of a network.

    Args:
        events: maximum number of events of a customer that are read, the latest.
        steps: maximum number of days with events that are read.
        width: D, width of all layers.
        depth: layers of the encoder.
    """

    events: int
    steps: int
    width: int
    depth: int

    def encoder_parameters(self, encoder: str) -> int:
        """Return the number of parameters of the encoder."""
        return ENCODERS[encoder].parameter_count(self.width, self.depth)


SIZES = {
    "nano": Size(128, 32, 32, 1),
    "small": Size(256, 64, 64, 1),
    "base": Size(512, 90, 128, 2),
    "large": Size(1024, 180, 768, 6),
    "xl": Size(2048, 365, 3072, 20),
}
"""Sizes by the value of INTENT_MODEL_SIZE. The vocabulary adds few parameters to any of them."""


def size_of(size: str, encoder: str) -> Size:
    """Return a size by name.

    Raises:
        BadInput: there is no such size or encoder.
    """
    if encoder not in ENCODERS:
        raise BadInput(f"INTENT_MODEL_ENCODER={encoder}; allowed: {', '.join(ENCODERS)}.")
    if size not in SIZES:
        raise BadInput(f"INTENT_MODEL_SIZE={size}; allowed: {', '.join(SIZES)}.")
    return SIZES[size]
