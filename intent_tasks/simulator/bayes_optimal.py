"""The limit: the exact probability of a purchase given all that can be seen, which none can beat.

A forward filter over customer type and intent (Rabiner, 1989, "A tutorial on hidden Markov
models", eq. 18 to 21) gives the state of mind at the anchor; the chain ahead gives the rest. Exact
because the numbers of events are all in an event that depends on intent (see `process`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from intent_tasks.simulator.config import (
    BROWSING,
    COUNTED,
    DORMANT,
    READY,
    SATED,
    STATES,
    Config,
)
from intent_tasks.simulator.observed import Observed
from intent_tasks.simulator.process import (
    BAD,
    GOOD,
    PURCHASE,
    REFUND,
)
from intent_tasks.simulator.rates import buying, session_means, transitions

NEVER = 1e-300
"""Stands for a mean of zero, so that its logarithm is finite."""


def probabilities(
    config: Config,
    observed: Observed,
    anchor: int,
    horizons: Sequence[int],
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return the exact probability of a purchase within each horizon after the anchor.

    Args:
        config: the shop. A coupon is taken as given to all: of those without it, ask again with
            `coupon=()`.
        observed: what customers did; days after the anchor are not looked at.
        anchor: last day that is known, counted from the shop's first day.
        horizons: numbers of days.
        known: which days are looked at, shape (anchor + 1,); None: all.

    Returns:
        float, shape (customers, horizons); of customers who have not joined, as if they join on
        the day after the anchor.
    """
    chance = filtered(config, observed, anchor, known)
    none = [np.einsum("ksn,ks->n", chance, unbought(config, anchor + 1, h)) for h in horizons]
    return np.asarray(np.clip(1 - np.stack(none, axis=-1), 0, 1))


def filtered(
    config: Config, observed: Observed, anchor: int, known: np.ndarray | None = None
) -> np.ndarray:
    """Return the probability of type and intent on the day after the anchor.

    Args: as of `probabilities`.

    Returns:
        float, shape (types, states, customers).
    """
    chain, means = transitions(config).swapaxes(-1, -2), session_means(config)
    buy, unknown = buying(config), _marginal(config).swapaxes(-1, -2)
    fresh = np.multiply.outer(config.type_shares, np.eye(len(STATES)))[..., None]
    chance = np.repeat(fresh[:, DORMANT], len(observed.joined), axis=-1)
    for day in range(anchor + 1):
        chance[..., (observed.joined == day) & (day > 0)] = fresh[:, BROWSING]
        if known is not None and not known[day]:
            chance = unknown[day] @ chance
            continue
        kinds = observed.kinds[day]
        chance *= _likelihood(config, means[day], buy[day], observed.sessions[day], kinds)
        chance /= chance.sum((0, 1))
        chance = _ended(kinds, chain[day] @ chance)
    chance[..., observed.joined > anchor] = fresh[:, BROWSING]
    return np.asarray(chance)


def _likelihood(
    config: Config, means: np.ndarray, buy: np.ndarray, sessions: np.ndarray, kinds: np.ndarray
) -> np.ndarray:
    """Return how likely the day is, but for factors that intent and type do not change.

    Args:
        config: the shop.
        means: mean number of sessions, shape (types, states).
        buy: probability of a purchase, shape (types,).
        sessions: shape (customers,).
        kinds: shape (customers, kinds).
    """
    quiet = np.exp(-means)[..., None]
    likely = np.repeat(quiet, len(sessions), axis=-1)
    active = np.flatnonzero(sessions)
    n, k = sessions[active], kinds[active]
    # A purchase carts one more; it tells the state by itself, so the extra one changes nothing.
    held = k[:, : len(COUNTED)].astype(float)
    rates = np.asarray(config.counts)
    spoken = np.log(np.maximum(rates, NEVER)) @ held.T
    # The factor of engagement is integrated out: numbers of all kinds are negative multinomial.
    shape = config.engagement
    spoken -= (shape + held.sum(-1)) * np.log(shape + np.outer(rates.sum(-1), n))
    spoken = np.log(np.maximum(means, NEVER))[..., None] * n + spoken
    spoken = np.exp(spoken - spoken.max((0, 1)))
    likely[..., active] = spoken * quiet * _followed(config, buy, k)
    return likely


def _followed(config: Config, buy: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return how likely purchase, review and refund, or their lack, are on a day with sessions."""
    bought = kinds[:, PURCHASE] > 0
    reviewed = kinds[:, GOOD] + kinds[:, BAD] > 0
    refunded = kinds[:, REFUND] > 0
    likely = np.ones((len(buy), len(STATES), len(kinds)))
    likely *= ~(bought | reviewed | refunded)
    for number, chance in enumerate(buy):
        likely[number, READY] = np.where(bought, chance, 1 - chance) * ~(reviewed | refunded)
    review = np.where(reviewed, config.review, 1 - config.review)
    likely[:, SATED] = review * np.where(refunded, config.refund, 1 - config.refund) * ~bought
    return likely


def _ended(kinds: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Move all who ended an intent to the state that follows; their type stays as likely."""
    ends = ((kinds[:, PURCHASE] > 0, SATED), (kinds[:, GOOD] > 0, BROWSING))
    for who, state in (*ends, ((kinds[:, BAD] > 0) | (kinds[:, REFUND] > 0), DORMANT)):
        types = chance[..., who].sum(1)
        chance[..., who] = 0
        chance[:, state, who] = types
    return chance


def unbought(config: Config, day: int, horizon: int) -> np.ndarray:
    """Return the probability of no purchase from `day` on for `horizon` days.

    Args:
        config: the shop.
        day: counted from the shop's first day; may lie after its last.
        horizon: number of days.

    Returns:
        float, shape (types, states) of intent on `day`.
    """
    more = max(day + horizon - config.days, 0)
    longer = replace(
        config, days=config.days + more, last_day=config.last_day + timedelta(days=more)
    )
    ahead = _unseen(longer)
    none = np.ones((len(config.buy), len(STATES)))
    for later in reversed(range(day, day + horizon)):
        none = np.einsum("kst,kt->ks", ahead[later], none)
    return none


def _marginal(config: Config) -> np.ndarray:
    """Return probabilities of the next state whatever happens, shape (days, types, from, to)."""
    chain = _unseen(config)
    visits = 1 - np.exp(-session_means(config))
    chain[..., READY, SATED] += visits[..., READY] * buying(config)
    return chain


def _unseen(config: Config) -> np.ndarray:
    """Return probabilities of the next state and no purchase, shape (days, types, from, to)."""
    chain = transitions(config)
    visits = 1 - np.exp(-session_means(config))
    chain[..., READY, :] *= 1 - (visits[..., READY] * buying(config))[..., None]
    rest, kept = visits[..., SATED], 1 - config.refund
    home = rest * (1 - kept * (1 - config.review * config.bad_review))
    again = rest * kept * config.review * (1 - config.bad_review)
    chain[..., SATED, :] *= (1 - home - again)[..., None]
    chain[..., SATED, DORMANT] += home
    chain[..., SATED, BROWSING] += again
    return chain
