"""Reasons of a prediction: the choice from attributed events, and the sentence about them."""

from collections.abc import Iterable
from typing import TypedDict

MOST_REASONS = 3
"""Maximum number of reasons of a prediction."""

LEAST_EFFECT = 0.02
"""Change of the log-odds below which an event is no reason."""

EFFECT_DIGITS = 3
"""Decimals of an effect."""


class Reason(TypedDict):
    """An event that changed a prediction; `effect` is its change of the log-odds."""

    event_type: str
    product_id: str | None
    occurred_on: str
    effect: float


def choose(attributed: Iterable[Reason]) -> list[Reason]:
    """Return the strongest reasons, each event type on a product and day once.

    Args:
        attributed: events with their effect, the strongest first.
    """
    chosen: dict[tuple[str, str | None, str], Reason] = {}
    for reason in attributed:
        if abs(reason["effect"]) >= LEAST_EFFECT:
            key = (reason["event_type"], reason["product_id"], reason["occurred_on"])
            rounded = round(reason["effect"], EFFECT_DIGITS)
            chosen.setdefault(key, reason | {"effect": rounded})
    return list(chosen.values())[:MOST_REASONS]


def sentence(reasons: list[Reason]) -> str | None:
    """Return reasons as a sentence, or None when there are none."""
    parts = [
        f"{r['event_type']}{' of ' + r['product_id'] if r['product_id'] else ''} on "
        f"{r['occurred_on']} {'raised' if r['effect'] > 0 else 'lowered'} it"
        for r in reasons
    ]
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "." if text else None  # ids keep their capitals
