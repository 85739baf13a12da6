"""Every parameter of the simulated shop, with its reason; "chosen" where no source gives a number.

Public shops: REES46 (all visitors of one store) and Retailrocket (buyers), compared with this shop
in `docs/simulator.md`.
"""

from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np

from intent_tasks.errors import BadInput

STATES = ("dormant", "browsing", "comparing", "ready", "sated")
"""Intent of a customer on a shop day, least to most; `sated` follows a purchase only."""

DORMANT, BROWSING, COMPARING, READY, SATED = range(len(STATES))

COUNTED = ("view", "view_again", "click", "search", "search_brand", "cart")
"""What a session holds a Poisson number of. `view_again` shows the product viewed just before;
`search_brand` names a brand beside the category."""

BLOCK = 500
"""Customers that share one stream of random numbers; a constant, since it decides the rows."""

LEAVES_OF_ROOT = 5

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Config:
    """A simulated shop.

    Args:
        seed: of every random number. Chosen.
        customers: how many; 4,000 give over 300 buyers a week, enough to train and to measure on.
        last_day: last shop day (UTC). Chosen.
        days: shop days up to and with `last_day`; 90 of history and 30 of anchors.
        products: sold; Retailrocket has tens of products a buyer, a demo needs fewer.
        leaves: categories at the end of the tree, five under each root. Chosen.
        tail: exponent of popularity; top 1 % of products hold 9 to 18 % of events (both shops).
        type_shares: of customers, from rare to devoted: most have a short history (Retailrocket:
            median 9 events, mean 46).
        type_activity: factor on waking up and on sessions, by type: the long tail of activity.
        known_before: share of customers there before the first day; the others join evenly.
        wake: daily probability dormant → browsing, of activity 1. Chosen for gaps between days.
        moves: daily probabilities from browsing, comparing and ready (rows) to dormant, browsing,
            comparing and ready (columns); what is left over stays. Chosen: intent lasts for days.
        recover: daily probability sated → dormant. Chosen: a week of rest after a purchase.
        sessions: mean a day by state, of activity 1; Retailrocket has 2.0 an active day.
        counts: mean number of `COUNTED` a session holds, by state (rows); a session starts with
            one more view. REES46: 3.4 events a session, 41 % have one. Carts: three for a purchase
            (all visitors of Retailrocket: 69,332 and 22,457).
        engagement: shape of the gamma factor of mean 1 on `counts`, drawn anew each day: the lower,
            the more sessions of one event and the more of very many (REES46: p90 8, p99 21).
        buy: probability of a purchase on a day in `ready` with a session, by type. REES46: 4.0 %
            of sessions buy.
        remove: probability that a carted piece which is not bought is removed. Chosen.
        review: probability of a review on a sated day with a session. Chosen.
        bad_review: share of reviews that speak badly. Chosen.
        refund: probability of a refund on a sated day with a session: about 4 % of purchases.
        weekdays: factor on waking up and on sessions, Monday to Sunday; Retailrocket × 7, halfway
            to even, since a shop for consumers has a weekend.
        season: height of the yearly wave of the same factor, with its peak in December. Chosen.
        price_median, price_spread: of the log-normal price. REES46: p5 18, p50 154, p95 1053.
        seconds: median and log-spread between events; REES46: p10 10, p50 33, p90 115.
        changes: of the factor of weekday and season: first day, day after the last, factor; days
            are counted from the first. None unless planted, as all that follow but the responses.
        prices: of the price level of the whole shop: first day, day after the last, factor on the
            first day, factor on the last day; it grows evenly between them.
        price_response: a price level p acts on waking up, on moves to ready, and on `buy`, each
            times p to the minus these powers. Chosen so that 1 % off for a week brings 1.5 % more
            purchases (measured): less than the 2.6 % of a brand (mean of 1,851 price elasticities,
            Bijmolt, van Heerde & Pieters 2005), much of it taken from other brands in the shop.
        coupon: of the half of the customers who are given one: first day, day after the last,
            factor on `buy`.
        coupon_response: powers of the coupon's factor that act on the same three. Chosen: it brings
            people back less than it closes a sale.
        mix: of what is looked at: first day, day after the last, number of a department (root of
            the category tree), factor on its weight.
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
        """Refuse impossible numbers."""
        _check(self)

    @property
    def blocks(self) -> int:
        """Number of blocks of customers."""
        return -(-self.customers // BLOCK)

    @property
    def departments(self) -> int:
        """Number of roots of the category tree, of five leaves each."""
        return -(-self.leaves // LEAVES_OF_ROOT)

    @property
    def first_day(self) -> date:
        """First shop day."""
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def day_factors(self) -> np.ndarray:
        """Factor of weekday and season on waking up and on sessions, shape (days,)."""
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
"""Numbers in each row of what changes from a day to another."""


def _check(config: Config) -> None:
    for name, (least, most) in _RANGES.items():
        fine = least <= getattr(config, name) <= most
        _require(fine, config, name, f"{least} to {most}")
    _require(config.products >= 2 * config.leaves, config, "products", "two of each leaf or more")
    fine = _FIRST_DAY + timedelta(days=config.days) <= config.last_day <= _LAST_DAY
    allowed = f"{config.days} days after {_FIRST_DAY}, to {_LAST_DAY}"
    _require(fine, config, "last_day", allowed)
    for name in _SHARES:
        _require(0 <= getattr(config, name) <= 1, config, name, "0 to 1")
    for field in fields(config):
        if isinstance(getattr(config, field.name), tuple):
            _check_numbers(config, field.name)
    for name in ("type_shares", "type_activity", "buy"):
        _require(len(getattr(config, name)) == len(config.buy), config, name, "one number a type")
    _require(abs(sum(config.type_shares) - 1) < 1e-9, config, "type_shares", "numbers of sum 1")
    _require(max(config.buy) <= 1, config, "buy", "0 to 1")
    _require(all(sum(row) <= 1 for row in config.moves), config, "moves", "rows of sum 0 to 1")
    _check_spans(config)


def _check_spans(config: Config) -> None:
    fine = all(0.01 <= level <= 100 for row in config.prices for level in row[2:])
    _require(fine, config, "prices", "levels of 0.01 to 100")
    fine = all(row[2] in range(config.departments) for row in config.mix)
    _require(fine, config, "mix", f"departments 0 to {config.departments - 1}")
    for name in _SPANS:
        fine = all(row[0] < row[1] for row in getattr(config, name))
        _require(fine, config, name, "a first day before the day after the last")


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


def _require(fine: bool, config: Config, name: str, allowed: str) -> None:
    if not fine:
        raise BadInput(f"{name}={getattr(config, name)} of the simulated shop; allowed: {allowed}.")
