"""Sizes of the network, and what each costs on paper before anything is built."""

from dataclasses import dataclass

from intent_tasks.errors import BadInput
from intent_tasks.models.encoders import ENCODERS


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Args:
        events: most events of a past that are read, the latest.
        steps: most days with events that are read.
        width: D, width of all layers.
        depth: layers of the encoder.
    """

    events: int
    steps: int
    width: int
    depth: int

    def encoder_parameters(self, encoder: str) -> int:
        """Return how many numbers the encoder learns."""
        count: int = ENCODERS[encoder].parameter_count(self.width, self.depth)
        return count

    def encoder_flops(self, encoder: str) -> float:
        """Return the floating-point operations to encode one longest past; training takes three."""
        attended = 4 * self.steps**2 * self.width * self.depth if encoder == "transformer" else 0
        read = 1 if encoder == "mlp" else self.steps
        return 2.0 * read * self.encoder_parameters(encoder) + attended

    def training_bytes(self, encoder: str) -> float:
        """Return the memory of weights, gradients and two moments of AdamW, in float32."""
        return 16.0 * self.encoder_parameters(encoder)


SIZES = {
    "nano": Size(128, 32, 32, 1),
    "small": Size(256, 64, 64, 1),
    "base": Size(512, 90, 128, 2),
    "large": Size(1024, 180, 768, 6),
    "xl": Size(2048, 365, 3072, 20),
}
"""By the value of INTENT_MODEL_SIZE. The vocabulary adds little to any of them."""


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
