"""Daily rates of the hidden process, from customer type, day, price level and coupon."""

import numpy as np

from intent_tasks.simulator.config import BROWSING, DORMANT, READY, SATED, STATES, Config

WAKE, TO_READY, BUY = range(3)
"""What price level and coupon change: waking up, moves to ready, buying when ready."""


def responses(config: Config) -> np.ndarray:
    """Return the factors of price level and coupon on the three rates, shape (days, 3)."""
    factors = config.price_level[:, None] ** -np.asarray(config.price_response)
    for first, end, factor in config.coupon:
        factors[int(first) : int(end)] *= factor ** np.asarray(config.coupon_response)
    return np.asarray(factors)


def transitions(config: Config) -> np.ndarray:
    """Return daily probabilities of the next state if no event ends an intent.

    Returns:
        float, shape (days, types, from, to): from day d to day d + 1, with the coupon.
    """
    factors, moves = responses(config), np.asarray(config.moves)
    wake = config.wake * np.multiply.outer(
        config.day_factors * factors[:, WAKE], config.type_activity
    )
    chain = np.zeros((*wake.shape, len(STATES), len(STATES)))
    chain[..., DORMANT, BROWSING] = np.minimum(wake, 1)
    chain[..., BROWSING : READY + 1, : READY + 1] = moves
    room = 1 - moves[:-1, :READY].sum(1)
    to_ready = np.minimum(np.outer(factors[:, TO_READY], moves[:-1, READY]), room)
    chain[..., BROWSING:READY, READY] = to_ready[:, None]
    chain[..., SATED, DORMANT] = config.recover
    stay = np.maximum(1 - chain.sum(-1), 0)
    return np.asarray(chain + stay[..., None] * np.eye(len(STATES)))


def session_means(config: Config) -> np.ndarray:
    """Return the mean number of sessions, shape (days, types, states)."""
    scale = np.multiply.outer(config.day_factors, np.sqrt(config.type_activity))
    return np.asarray(np.multiply.outer(scale, config.sessions))


def buying(config: Config) -> np.ndarray:
    """Return the probability of a purchase on a day in `ready` with a session, with the coupon.

    Returns:
        float, shape (days, types).
    """
    return np.minimum(np.outer(responses(config)[:, BUY], config.buy), 1)
