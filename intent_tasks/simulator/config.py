"""The parameters of the simulated shop, each with its source; "chosen" where there is none.

Public shops: REES46 (all visitors of one store) and Retailrocket (buyers), compared with this shop
in `docs/simulator.md`.
"""

from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np

from intent_tasks.errors import BadInput

STATES = ("dormant", "browsing", "comparing", "ready", "sated")
"""Intent of a customer on a shop day, from least to most; only a purchase leads to `sated`."""

DORMANT, BROWSING, COMPARING, READY, SATED = range(len(STATES))

COUNTED = ("view", "view_again", "click", "search", "search_brand", "cart")
"""Kinds of events of which a session has a Poisson number. `view_again` is a view of the product
viewed just before; `search_brand` names a brand besides the category."""

BLOCK = 500
"""Customers that share one random generator; a constant, because another value gives other rows."""

LEAVES_OF_ROOT = 5
"""Categories of each department."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Config:
    """A simulated shop.

    Args:
        seed: seed of all random numbers. Chosen.
        customers: number of customers; 4,000 give over 300 buyers a week, enough to train and to
            measure.
        last_day: last shop day (UTC). Chosen.
        days: number of shop days, `last_day` included; 90 of history and 30 of anchors.
        products: number of products; Retailrocket has tens for each buyer, a demo needs fewer.
        leaves: number of categories, five in each department. Chosen.
        tail: exponent of popularity; top 1 % of products hold 9 to 18 % of events (both shops).
        type_shares: shares of customer types, rare to devoted: most have few events (Retailrocket:
            median 9 events, mean 46).
        type_activity: factor on `wake` and on sessions, by type: the long tail of activity.
        known_before: share of customers who joined before the first day; the others join evenly.
        wake: daily probability dormant → browsing, at activity 1. Chosen for gaps between days.
        moves: daily probabilities from browsing, comparing and ready (rows) to dormant, browsing,
            comparing and ready (columns); otherwise the state stays. Chosen: intent lasts for days.
        recover: daily probability sated → dormant. Chosen: a week of rest after a purchase.
        sessions: mean number a day by state, at activity 1; Retailrocket: 2.0 an active day.
        counts: mean number of each of `COUNTED` in a session, by state (rows); a session starts
            with one more view. REES46: 3.4 events a session, 41 % have one. Carts: three for a
            purchase (all visitors of Retailrocket: 69,332 and 22,457).
        engagement: shape of the gamma factor of mean 1 on `counts`, drawn for each day; a low value
            gives more sessions of one event and of very many (REES46: p90 8, p99 21).
        buy: probability of a purchase on a day in `ready` with a session, by type. REES46: 4.0 %
            of sessions buy.
        remove: probability that a carted product that is not bought is removed. Chosen.
        review: probability of a review on a sated day with a session. Chosen.
        bad_review: share of bad reviews. Chosen.
        refund: probability of a refund on a sated day with a session: about 4 % of purchases.
        weekdays: factor on `wake` and on sessions, Monday to Sunday; half the deviation of
            Retailrocket, because a shop for consumers is busy at weekends.
        season: amplitude of the yearly wave of the same factor; its peak is in December. Chosen.
        price_median, price_spread: of the log-normal price. REES46: p5 18, p50 154, p95 1053.
        seconds: median and log-spread between events; REES46: p10 10, p50 33, p90 115.
        changes: changes of the factor of weekday and season: first day, day after the last, factor;
            days count from the first shop day. Empty without plants, as are all that follow but
            the responses.
        prices: changes of the price level of the shop: first day, day after the last, factor on
            the first day, factor on the last day; it grows evenly between them.
        price_response: powers of the price level p: `wake`, moves to ready and `buy` are each
            multiplied by p to the minus its power. Chosen so that 1 % off for a week brings 1.5 %
            more purchases (measured): less than the 2.6 % of a brand (mean of 1,851 price
            elasticities, Bijmolt, van Heerde & Pieters 2005), much of which is taken from other
            brands in the shop.
        coupon: coupon for a random half of the customers: first day, day after the last, factor on
            `buy`.
        coupon_response: powers of that factor on the same three. Chosen: a coupon closes sales
            more than it brings customers back.
        mix: changes of the product mix: first day, day after the last, number of a department,
            factor on its weight.
    """

    seed: int = 7
    customers: int = 4000
    last_day: date = date(2026, 6, 30)
    days: int = 120
    products: int = 2000
    leaves: int = 40
    tail: float = 0.7
    type_shares: Numbers = (0.39, 0.25, 0.22, 0.12, 0.02)
    type_activity: Numbers = (0.12, 0.5, 1.5, 4.0, 10.0)
    known_before: float = 0.75
    wake: float = 0.25
    moves: tuple[Numbers, ...] = (
        (0.22, 0.0, 0.16, 0.01),
        (0.08, 0.10, 0.0, 0.20),
        (0.03, 0.02, 0.10, 0.0),
    )
    recover: float = 0.14
    sessions: Numbers = (0.015, 0.55, 0.9, 1.1, 0.25)
    counts: tuple[Numbers, ...] = (
        (0.2, 0.1, 0.1, 0.05, 0.0, 0.005),
        (1.0, 0.2, 0.3, 0.25, 0.05, 0.017),
        (1.3, 0.8, 0.4, 0.3, 0.2, 0.065),
        (0.7, 0.9, 0.3, 0.1, 0.25, 0.2),
        (0.4, 0.2, 0.1, 0.05, 0.0, 0.005),
    )
    engagement: float = 0.6
    buy: Numbers = (0.25, 0.27, 0.29, 0.31, 0.33)
    remove: float = 0.3
    review: float = 0.12
    bad_review: float = 0.25
    refund: float = 0.03
    weekdays: Numbers = (1.08, 1.12, 1.12, 1.1, 1.01, 0.79, 0.78)
    season: float = 0.1
    price_median: float = 150.0
    price_spread: float = 1.2
    seconds: Numbers = (33.0, 0.95)
    changes: tuple[Numbers, ...] = ()
    prices: tuple[Numbers, ...] = ()
    price_response: Numbers = (0.4, 1.4, 1.4)
    coupon: tuple[Numbers, ...] = ()
    coupon_response: Numbers = (0.25, 0.5, 1.0)
    mix: tuple[Numbers, ...] = ()

    def __post_init__(self) -> None:
        """Check all values.

        Raises:
            BadInput: a value is out of range.
        """
        _check(self)

    @property
    def blocks(self) -> int:
        """Number of blocks of customers."""
        return -(-self.customers // BLOCK)

    @property
    def departments(self) -> int:
        """Number of departments: the roots of the category tree."""
        return -(-self.leaves // LEAVES_OF_ROOT)

    @property
    def first_day(self) -> date:
        """First shop day."""
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def day_factors(self) -> np.ndarray:
        """Factor of weekday and season on `wake` and on sessions, shape (days,)."""
        days = np.datetime64(self.first_day) + np.arange(self.days)
        since_monday = (days.astype(int) + 3) % 7
        of_year = (days - days.astype("datetime64[Y]")).astype(int) / 365
        wave = 1 + self.season * np.cos(2 * np.pi * (of_year - 350 / 365))
        factors = np.asarray(self.weekdays)[since_monday] * wave
        for first, end, factor in self.changes:
            factors[int(first) : int(end)] *= factor
        return np.asarray(factors)

    @property
    def price_level(self) -> np.ndarray:
        """Factor on all prices, shape (days,)."""
        level, days = np.ones(self.days), np.arange(self.days)
        for first, end, start, last in self.prices:
            grown = np.clip((days - first) / max(end - first - 1, 1), 0, 1)
            within = (days >= first) & (days < end)
            level[within] *= (start ** (1 - grown) * last**grown)[within]
        return level


_RANGES = {
    "customers": (1, 10**8),
    "days": (1, 3660),
    "leaves": (5, 1000),
    "products": (10, 10**6),
    "seed": (0, 2**63),
    "tail": (0.0, 5.0),
    "engagement": (0.01, 1000.0),
}
_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(2200, 1, 1)
_SHARES = ("known_before", "wake", "recover", "remove", "review", "bad_review", "refund")
_SHAPES = {
    "moves": (3, 4),
    "sessions": (len(STATES),),
    "counts": (len(STATES), len(COUNTED)),
    "weekdays": (7,),
    "seconds": (2,),
    "price_response": (3,),
    "coupon_response": (3,),
}
_SPANS = {"changes": 3, "prices": 4, "coupon": 3, "mix": 4}
"""Length of each row of a parameter that holds changes in time."""


def _check(config: Config) -> None:
    for name, (least, most) in _RANGES.items():
        valid = least <= getattr(config, name) <= most
        _require(valid, config, name, f"{least} to {most}")
    _require(
        config.products >= 2 * config.leaves, config, "products", "at least two of each category"
    )
    valid = _FIRST_DAY + timedelta(days=config.days) <= config.last_day <= _LAST_DAY
    allowed = f"{config.days} days after {_FIRST_DAY}, to {_LAST_DAY}"
    _require(valid, config, "last_day", allowed)
    for name in _SHARES:
        _require(0 <= getattr(config, name) <= 1, config, name, "0 to 1")
    for field in fields(config):
        if isinstance(getattr(config, field.name), tuple):
            _check_numbers(config, field.name)
    for name in ("type_shares", "type_activity", "buy"):
        _require(
            len(getattr(config, name)) == len(config.buy), config, name, "one number for each type"
        )
    _require(abs(sum(config.type_shares) - 1) < 1e-9, config, "type_shares", "numbers of sum 1")
    _require(max(config.buy) <= 1, config, "buy", "0 to 1")
    _require(all(sum(row) <= 1 for row in config.moves), config, "moves", "rows of sum 0 to 1")
    _check_spans(config)


def _check_spans(config: Config) -> None:
    valid = all(0.01 <= level <= 100 for row in config.prices for level in row[2:])
    _require(valid, config, "prices", "levels of 0.01 to 100")
    valid = all(row[2] in range(config.departments) for row in config.mix)
    _require(valid, config, "mix", f"departments 0 to {config.departments - 1}")
    for name in _SPANS:
        valid = all(row[0] < row[1] for row in getattr(config, name))
        _require(valid, config, name, "a first day before the day after the last")


def _check_numbers(config: Config, name: str) -> None:
    try:
        numbers = np.asarray(getattr(config, name), float)
    except ValueError:
        numbers = np.asarray(np.nan)
    _require(bool(np.all(np.isfinite(numbers) & (numbers >= 0))), config, name, "0 or more")
    shape = _SHAPES.get(name, numbers.shape)
    if name in _SPANS:
        shape = (len(numbers), _SPANS[name]) if numbers.ndim and len(numbers) else (0,)
    _require(numbers.shape == shape, config, name, f"numbers of shape {shape}")


def _require(valid: bool, config: Config, name: str, allowed: str) -> None:
    if not valid:
        raise BadInput(f"{name}={getattr(config, name)} of the simulated shop; allowed: {allowed}.")
