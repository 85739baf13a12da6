"""The category a customer looks at next, given only what they looked at.

Taste is a standard normal vector that nobody sees. Given taste, a session is about one category,
and each new product is of that category or, at times, of any (see `events`). So the likelihood of
what was looked at is known exactly, and only the mean over taste has to be estimated: by importance
sampling (Owen, "Monte Carlo theory, methods and examples", ch. 9) around the most likely taste,
which is found by EM. The draws are the same each time; the error of each answer is told.
"""

from dataclasses import dataclass

import numpy as np

from intent_tasks.simulator.catalogue import category_weights, stock
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.events import FOCUS, TASTE, preferences
from intent_tasks.simulator.looks import Looks

STEPS = 12
"""Of the search for the most likely taste; how near it comes costs draws, not exactness."""

FREEDOM, WIDTH = 6, 1.15
"""Of the t distribution that is drawn from: wider than the posterior, with heavier tails."""

TINY = 1e-12

AT_ONCE = 50
"""Customers; bounds memory."""


@dataclass(frozen=True)
class Next:
    """The distribution of the category that is looked at next.

    Args:
        probability: shape (customers, leaves).
        error: standard error of each probability, from the finite number of draws.
    """

    probability: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Categories:
    """What is sold.

    Args:
        vectors: latent vector of each category, shape (leaves, dimensions).
        weights: weight of each category in each period of the product mix, (periods, leaves).
        period: of each day, shape (days,).
    """

    vectors: np.ndarray
    weights: np.ndarray
    period: np.ndarray

    @classmethod
    def of(cls, config: Config) -> "Categories":
        """Return those of a shop."""
        sold = stock(config)
        by_day = category_weights(config, sold)
        weights, period = np.unique(by_day, axis=0, return_inverse=True)
        return cls(sold.taste, weights, period)

    def shares(self, taste: np.ndarray) -> np.ndarray:
        """Return the preferences in each period, shape (periods, …, leaves)."""
        return np.stack([preferences(self.vectors, weight, taste) for weight in self.weights])


def next_category(
    sold: Categories, looks: Looks, day: int, draws: int = 256, seed: int = 1
) -> Next:
    """Return the distribution of the category of the first product of the next session.

    Args:
        sold: what the shop sells.
        looks: what customers looked at; days after `day` are not used.
        day: last day that is known, counted from the shop's first.
        draws: of taste, a customer.
        seed: of the draws.
    """
    known = looks.where(looks.day <= day)
    after = sold.period[min(day + 1, len(sold.period) - 1)]
    steps = _steps(draws, sold.vectors.shape[1], np.random.default_rng(seed))
    parts = [
        _sampled(sold, known.of(first, min(first + AT_ONCE, looks.customers)), after, steps)
        for first in range(0, looks.customers, AT_ONCE)
    ]
    return Next(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _steps(draws: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return draws of a t distribution, shape (draws, size)."""
    far = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (draws, 1)))
    return np.asarray(rng.normal(size=(draws, size)) * far)


def _sampled(
    sold: Categories, looks: Looks, period: int, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and their errors by self-normalised importance sampling."""
    size = sold.vectors.shape[1]
    mode, precision = np.zeros((looks.customers, size)), np.eye(size)[None]
    if len(looks.session):
        mode, precision = _most_likely(sold, looks)
    root = np.linalg.cholesky(np.linalg.inv(precision)) * WIDTH
    taste = mode[:, None] + np.einsum("nij,sj->nsi", root, steps)
    drawn_from = -(FREEDOM + size) / 2 * np.log1p((steps**2).sum(1) / FREEDOM)
    shares = np.ascontiguousarray(sold.shares(taste).swapaxes(-1, -2))
    weight = -(taste**2).sum(-1) / 2 - drawn_from
    if len(looks.session):
        weight += _log_likelihood(shares, sold.period, looks)
    weight = np.exp(weight - weight.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    probability = np.einsum("ns,nks->nk", weight, shares[period])
    off = (shares[period] - probability[..., None]) ** 2
    return probability, np.sqrt(np.einsum("ns,nks->nk", weight**2, off))


@dataclass(frozen=True)
class _Sessions:
    """What each session may be about, given taste.

    With n views of a category of share s, the session is likelier to be about it than if all its
    views were of any category by (FOCUS + (1 - FOCUS) s) / ((1 - FOCUS) s) to the power of n.

    Args:
        first: first entry of each session, shape (sessions,).
        entry: session of each entry, shape (entries,).
        about: of each entry, that the session is about its category; shape (entries, draws).
        other: that it is about one that was not looked at, shape (sessions, draws).
        told: log likelihood of each session, shape (sessions, draws). `about` and `other` are
            shares of it.
    """

    first: np.ndarray
    entry: np.ndarray
    about: np.ndarray
    other: np.ndarray
    told: np.ndarray

    @classmethod
    def of(cls, share: np.ndarray, looks: Looks) -> "_Sessions":
        """Weigh what sessions are about, from the share of each entry's category."""
        first, views = _firsts(looks.session), looks.views[:, None]
        entry = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(share)]))
        log_share, any_share = np.log(share), (1 - FOCUS) * share
        log_any = log_share + np.log(1 - FOCUS)
        focus = log_share + views * (np.log(FOCUS + any_share) - log_any)
        most = np.maximum(np.maximum.reduceat(focus, first), 0)  # so that nothing overflows
        about = np.exp(focus - most[entry])
        other = np.maximum(1 - np.add.reduceat(share, first), 0) * np.exp(-most)
        whole = np.add.reduceat(about, first) + other
        told = np.add.reduceat(views * log_any, first) + np.log(whole) + most
        return cls(first, entry, about / whole[entry], other / whole, told)


def _firsts(group: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.r_[True, group[1:] != group[:-1]])


def _log_likelihood(shares: np.ndarray, period: np.ndarray, looks: Looks) -> np.ndarray:
    """Return the log likelihood of what was looked at.

    Args:
        shares: shape (periods, customers, leaves, draws).
        period: of each day.
        looks: one entry at least.

    Returns:
        shape (customers, draws).
    """
    sessions = _Sessions.of(shares[period[looks.day], looks.customer, looks.leaf], looks)
    total = np.zeros((shares.shape[1], shares.shape[3]))
    people = looks.customer[sessions.first]
    total[np.unique(people)] = np.add.reduceat(sessions.told, _firsts(people))
    return total


def _most_likely(sold: Categories, looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Return the most likely taste of each customer and how sharply it is known, by EM.

    Returns:
        shape (customers, dimensions) and (customers, dimensions, dimensions).
    """
    size = sold.vectors.shape[1]
    taste = np.zeros((looks.customers, size))
    precision = np.tile(np.eye(size), (looks.customers, 1, 1))
    vectors = sold.vectors * TASTE
    for _ in range(STEPS):
        shares = sold.shares(taste)
        counts = _expected(shares, sold.period, looks)
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
    """Return how often each category was drawn, given taste, as expected; shape of `shares`."""
    place = period[looks.day], looks.customer, looks.leaf
    share = shares[place]
    sessions = _Sessions.of(share[:, None], looks)
    about, other = sessions.about[:, 0], sessions.other[:, 0]
    # What was not looked at shares `other` in proportion; what was is taken out again.
    outside = other / np.maximum(1 - np.add.reduceat(share, sessions.first), TINY)
    counts = np.zeros_like(shares)
    per_share = np.zeros(shares.shape[:2])
    np.add.at(per_share, tuple(part[sessions.first] for part in place[:2]), outside)
    counts += per_share[..., None] * shares
    by_chance = about * (1 - FOCUS) * share / (FOCUS + (1 - FOCUS) * share)
    drawn = about - share * outside[sessions.entry] + looks.views * (1 - about + by_chance)
    np.add.at(counts, place, drawn)
    return counts
