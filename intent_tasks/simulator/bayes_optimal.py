"""The best possible prediction: the exact probability of a purchase, given all events.

A forward filter over customer type and intent (Rabiner, 1989, "A tutorial on hidden Markov
models", eq. 18 to 21) gives their distribution at the anchor; the Markov chain gives the days after
it. The result is exact because only the numbers of events depend on intent (see `process`).
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

TINY_MEAN = 1e-300
"""Replaces a mean of zero, so that its logarithm is finite."""


def probabilities(
    config: Config,
    observed: Observed,
    anchor: int,
    horizons: Sequence[int],
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return the exact probability of a purchase within each horizon after the anchor.

    Args:
        config: the shop. All customers count as having the coupon; for customers without it, call
            with `coupon=()`.
        observed: what customers did; days after the anchor are ignored.
        anchor: last observed day, counted from the shop's first day.
        horizons: numbers of days.
        known: whether each day is observed, shape (anchor + 1,); None: all are.

    Returns:
        float, shape (customers, horizons). Customers who have not joined count as joining on the
        day after the anchor.
    """
    chance = filtered(config, observed, anchor, known)
    none = [np.einsum("ksn,ks->n", chance, no_purchase(config, anchor + 1, h)) for h in horizons]
    return np.asarray(np.clip(1 - np.stack(none, axis=-1), 0, 1))


def filtered(
    config: Config, observed: Observed, anchor: int, known: np.ndarray | None = None
) -> np.ndarray:
    """Return the probability of type and intent on the day after the anchor.

    The arguments are those of `probabilities`.

    Returns:
        float, shape (types, states, customers).
    """
    chain, means = transitions(config).swapaxes(-1, -2), session_means(config)
    buy, unobserved = buying(config), _marginal(config).swapaxes(-1, -2)
    fresh = np.multiply.outer(config.type_shares, np.eye(len(STATES)))[..., None]
    chance = np.repeat(fresh[:, DORMANT], len(observed.joined), axis=-1)
    for day in range(anchor + 1):
        chance[..., (observed.joined == day) & (day > 0)] = fresh[:, BROWSING]
        if known is not None and not known[day]:
            chance = unobserved[day] @ chance
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
    """Return the likelihood of a day, up to factors that do not depend on intent and type.

    Args:
        config: the shop.
        means: mean number of sessions, shape (types, states).
        buy: probability of a purchase, shape (types,).
        sessions: shape (customers,).
        kinds: shape (customers, kinds).
    """
    quiet = np.exp(-means)[..., None]
    likelihood = np.repeat(quiet, len(sessions), axis=-1)
    active = np.flatnonzero(sessions)
    n, k = sessions[active], kinds[active]
    # A purchase adds a cart, which changes nothing: the purchase alone reveals the state.
    counts = k[:, : len(COUNTED)].astype(float)
    rates = np.asarray(config.counts)
    log_likelihood = np.log(np.maximum(rates, TINY_MEAN)) @ counts.T
    # Integrating out the gamma factor of engagement makes the counts negative multinomial.
    shape = config.engagement
    log_likelihood -= (shape + counts.sum(-1)) * np.log(shape + np.outer(rates.sum(-1), n))
    log_likelihood = np.log(np.maximum(means, TINY_MEAN))[..., None] * n + log_likelihood
    active_days = np.exp(log_likelihood - log_likelihood.max((0, 1)))
    likelihood[..., active] = active_days * quiet * _followed(config, buy, k)
    return likelihood


def _followed(config: Config, buy: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return the likelihood of purchase, review and refund, or of none, on a day with sessions."""
    bought = kinds[:, PURCHASE] > 0
    reviewed = kinds[:, GOOD] + kinds[:, BAD] > 0
    refunded = kinds[:, REFUND] > 0
    likelihood = np.ones((len(buy), len(STATES), len(kinds)))
    likelihood *= ~(bought | reviewed | refunded)
    for number, chance in enumerate(buy):
        likelihood[number, READY] = np.where(bought, chance, 1 - chance) * ~(reviewed | refunded)
    review = np.where(reviewed, config.review, 1 - config.review)
    likelihood[:, SATED] = review * np.where(refunded, config.refund, 1 - config.refund) * ~bought
    return likelihood


def _ended(kinds: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Set the state of customers whose intent an event ended; the type stays as probable."""
    ends = ((kinds[:, PURCHASE] > 0, SATED), (kinds[:, GOOD] > 0, BROWSING))
    for ended, state in (*ends, ((kinds[:, BAD] > 0) | (kinds[:, REFUND] > 0), DORMANT)):
        types = chance[..., ended].sum(1)
        chance[..., ended] = 0
        chance[:, state, ended] = types
    return chance


def no_purchase(config: Config, day: int, horizon: int) -> np.ndarray:
    """Return the probability of no purchase within `horizon` days from `day` on.

    Args:
        config: the shop.
        day: counted from the shop's first day; may be after its last day.
        horizon: number of days.

    Returns:
        float, shape (types, states), by the intent on `day`.
    """
    more = max(day + horizon - config.days, 0)
    longer = replace(
        config, days=config.days + more, last_day=config.last_day + timedelta(days=more)
    )
    chain = _chain_without_purchase(longer)
    none = np.ones((len(config.buy), len(STATES)))
    for later in reversed(range(day, day + horizon)):
        none = np.einsum("kst,kt->ks", chain[later], none)
    return none


def _marginal(config: Config) -> np.ndarray:
    """Return probabilities of the next state, shape (days, types, from, to)."""
    chain = _chain_without_purchase(config)
    visits = 1 - np.exp(-session_means(config))
    chain[..., READY, SATED] += visits[..., READY] * buying(config)
    return chain


def _chain_without_purchase(config: Config) -> np.ndarray:
    """Return probabilities of the next state and no purchase, shape (days, types, from, to)."""
    chain = transitions(config)
    visits = 1 - np.exp(-session_means(config))
    chain[..., READY, :] *= 1 - (visits[..., READY] * buying(config))[..., None]
    visit, no_refund = visits[..., SATED], 1 - config.refund
    to_dormant = visit * (1 - no_refund * (1 - config.review * config.bad_review))
    to_browsing = visit * no_refund * config.review * (1 - config.bad_review)
    chain[..., SATED, :] *= (1 - to_dormant - to_browsing)[..., None]
    chain[..., SATED, DORMANT] += to_dormant
    chain[..., SATED, BROWSING] += to_browsing
    return chain
