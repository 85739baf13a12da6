"""The category a customer views next, given the categories viewed before.

Taste is a hidden standard normal vector. Given taste, a session is about one category, and each new
product is of that category or, at times, of any (see `events`). So the likelihood of the views is
exact, and only the mean over taste must be estimated: by importance sampling (Owen, "Monte Carlo
theory, methods and examples", ch. 9) around the most probable taste, which EM finds. The draws are
the same in each call, and each result has its standard error.
"""

from dataclasses import dataclass

import numpy as np

from intent_tasks.simulator.catalogue import category_weights, stock
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.events import FOCUS, TASTE, preferences
from intent_tasks.simulator.looks import Looks

STEPS = 12
"""Number of EM steps to the most probable taste; fewer need more draws, but add no bias."""

FREEDOM, WIDTH = 6, 1.15
"""Parameters of the proposal, a t distribution: wider than the posterior, with heavier tails."""

TINY = 1e-12

AT_ONCE = 50
"""Number of customers that are computed at once; bounds memory."""


@dataclass(frozen=True)
class Next:
    """The distribution of the category that is viewed next.

    Args:
        probability: shape (customers, leaves).
        error: standard error of each probability, from the finite number of draws.
    """

    probability: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Categories:
    """The categories of a shop.

    Args:
        vectors: latent vector of each category, shape (leaves, dimensions).
        weights: weight of each category in each period of the product mix, (periods, leaves).
        period: period of each day, shape (days,).
    """

    vectors: np.ndarray
    weights: np.ndarray
    period: np.ndarray

    @classmethod
    def of(cls, config: Config) -> "Categories":
        """Return the categories of a shop."""
        products = stock(config)
        by_day = category_weights(config, products)
        weights, period = np.unique(by_day, axis=0, return_inverse=True)
        return cls(products.taste, weights, period)

    def shares(self, taste: np.ndarray) -> np.ndarray:
        """Return the preferences in each period, shape (periods, …, leaves)."""
        return np.stack([preferences(self.vectors, weight, taste) for weight in self.weights])


def next_category(
    categories: Categories, looks: Looks, day: int, draws: int = 256, seed: int = 1
) -> Next:
    """Return the distribution of the category of the first product of the next session.

    Args:
        categories: categories of the shop.
        looks: viewed categories; days after `day` are ignored.
        day: last observed day, counted from the shop's first day.
        draws: number of draws of taste for each customer.
        seed: seed of the draws.
    """
    known = looks.where(looks.day <= day)
    after = categories.period[min(day + 1, len(categories.period) - 1)]
    steps = _steps(draws, categories.vectors.shape[1], np.random.default_rng(seed))
    parts = [
        _sampled(categories, known.of(first, min(first + AT_ONCE, looks.customers)), after, steps)
        for first in range(0, looks.customers, AT_ONCE)
    ]
    return Next(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _steps(draws: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return draws of a t distribution, shape (draws, size)."""
    far = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (draws, 1)))
    return np.asarray(rng.normal(size=(draws, size)) * far)


def _sampled(
    categories: Categories, looks: Looks, period: int, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and their errors by self-normalised importance sampling."""
    size = categories.vectors.shape[1]
    mode, precision = np.zeros((looks.customers, size)), np.eye(size)[None]
    if len(looks.session):
        mode, precision = _most_probable(categories, looks)
    root = np.linalg.cholesky(np.linalg.inv(precision)) * WIDTH
    taste = mode[:, None] + np.einsum("nij,sj->nsi", root, steps)
    drawn_from = -(FREEDOM + size) / 2 * np.log1p((steps**2).sum(1) / FREEDOM)
    shares = np.ascontiguousarray(categories.shares(taste).swapaxes(-1, -2))
    weight = -(taste**2).sum(-1) / 2 - drawn_from
    if len(looks.session):
        weight += _log_likelihood(shares, categories.period, looks)
    weight = np.exp(weight - weight.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    probability = np.einsum("ns,nks->nk", weight, shares[period])
    off = (shares[period] - probability[..., None]) ** 2
    return probability, np.sqrt(np.einsum("ns,nks->nk", weight**2, off))


@dataclass(frozen=True)
class _Sessions:
    """Probabilities of the category that each session is about, given taste.

    n views of a category with share s multiply the odds that the session is about it by
    (FOCUS + (1 - FOCUS) s) / ((1 - FOCUS) s) to the power of n.

    Args:
        first: first entry of each session, shape (sessions,).
        entry: session of each entry, shape (entries,).
        about: probability that the session is about the category of the entry, (entries, draws).
        other: probability that it is about a category without views, (sessions, draws).
        log_likelihood: log likelihood of each session, (sessions, draws).
    """

    first: np.ndarray
    entry: np.ndarray
    about: np.ndarray
    other: np.ndarray
    log_likelihood: np.ndarray

    @classmethod
    def of(cls, share: np.ndarray, looks: Looks) -> "_Sessions":
        """Compute the probabilities from the share of each entry's category."""
        first, views = _firsts(looks.session), looks.views[:, None]
        entry = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(share)]))
        log_share, any_share = np.log(share), (1 - FOCUS) * share
        log_any = log_share + np.log(1 - FOCUS)
        focus = log_share + views * (np.log(FOCUS + any_share) - log_any)
        most = np.maximum(np.maximum.reduceat(focus, first), 0)  # so that nothing overflows
        about = np.exp(focus - most[entry])
        other = np.maximum(1 - np.add.reduceat(share, first), 0) * np.exp(-most)
        whole = np.add.reduceat(about, first) + other
        log_likelihood = np.add.reduceat(views * log_any, first) + np.log(whole) + most
        return cls(first, entry, about / whole[entry], other / whole, log_likelihood)


def _firsts(group: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.r_[True, group[1:] != group[:-1]])


def _log_likelihood(shares: np.ndarray, period: np.ndarray, looks: Looks) -> np.ndarray:
    """Return the log likelihood of the views.

    Args:
        shares: shape (periods, customers, leaves, draws).
        period: period of each day.
        looks: at least one entry.

    Returns:
        Shape (customers, draws).
    """
    sessions = _Sessions.of(shares[period[looks.day], looks.customer, looks.leaf], looks)
    total = np.zeros((shares.shape[1], shares.shape[3]))
    customers = looks.customer[sessions.first]
    total[np.unique(customers)] = np.add.reduceat(sessions.log_likelihood, _firsts(customers))
    return total


def _most_probable(categories: Categories, looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable taste of each customer and its precision matrix, by EM.

    Returns:
        Shapes (customers, dimensions) and (customers, dimensions, dimensions).
    """
    size = categories.vectors.shape[1]
    taste = np.zeros((looks.customers, size))
    precision = np.tile(np.eye(size), (looks.customers, 1, 1))
    vectors = categories.vectors * TASTE
    for _ in range(STEPS):
        shares = categories.shares(taste)
        counts = _expected(shares, categories.period, looks)
        totals = counts.sum(-1)
        slope = (counts - totals[..., None] * shares).sum(0) @ vectors - taste
        mean = shares @ vectors
        precision = np.einsum("pn,pnk,ki,kj->nij", totals, shares, vectors, vectors, optimize=True)
        precision -= np.einsum("pn,pni,pnj->nij", totals, mean, mean)
        precision += np.eye(size)
        step = np.linalg.solve(precision, slope[..., None])[..., 0]
        taste += step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1)
    return taste, precision


def _expected(shares: np.ndarray, period: np.ndarray, looks: Looks) -> np.ndarray:
    """Return the expected number of draws of each category, given taste; shape of `shares`."""
    place = period[looks.day], looks.customer, looks.leaf
    share = shares[place]
    sessions = _Sessions.of(share[:, None], looks)
    about, other = sessions.about[:, 0], sessions.other[:, 0]
    # Categories without views divide `other` by their shares; viewed ones are subtracted below.
    outside = other / np.maximum(1 - np.add.reduceat(share, sessions.first), TINY)
    counts = np.zeros_like(shares)
    per_share = np.zeros(shares.shape[:2])
    np.add.at(per_share, tuple(part[sessions.first] for part in place[:2]), outside)
    counts += per_share[..., None] * shares
    by_chance = about * (1 - FOCUS) * share / (FOCUS + (1 - FOCUS) * share)
    drawn = about - share * outside[sessions.entry] + looks.views * (1 - about + by_chance)
    np.add.at(counts, place, drawn)
    return counts
