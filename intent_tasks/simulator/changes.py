"""Changes of the shop itself that can be planted: of behaviour, prices and product mix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from intent_tasks.simulator.catalogue import ROOTS
from intent_tasks.simulator.config import Config, Numbers

WEEK, FOREVER = 7, 10**6


@dataclass(frozen=True)
class Change:
    """A change of the shop from a day on; the best possible prediction takes it into account.

    Args:
        field: parameter of the config to which rows are added.
        start: share of the shop's days before the change.
        rows: function of the first day, the number of days of the shop, and the amount.
        amount: default amount.
        least: minimum amount.
        most: maximum amount.
        meaning: meaning of the amount, as a phrase.
    """

    field: str
    start: float
    rows: Callable[[int, int, float], tuple[Numbers, ...]]
    amount: float
    least: float
    most: float
    meaning: str

    def first(self, config: Config) -> int:
        """Return the first day of the change, counted from the shop's first day."""
        return int(config.days * self.start)


def _week(first: int, _: int, amount: float) -> tuple[Numbers, ...]:
    return ((first, first + WEEK, amount),)


def _on(first: int, _: int, amount: float) -> tuple[Numbers, ...]:
    return ((first, FOREVER, amount),)


def _sale(first: int, _: int, level: float) -> tuple[Numbers, ...]:
    return ((first, first + WEEK, level, level),)


def _price_jump(first: int, _: int, level: float) -> tuple[Numbers, ...]:
    return ((first, FOREVER, level, level),)


def _inflation(first: int, days: int, level: float) -> tuple[Numbers, ...]:
    return ((first, days, 1, level), (days, FOREVER, level, level))


def _mix(first: int, _: int, factor: float) -> tuple[Numbers, ...]:
    return ((first, FOREVER, 0, factor),)


_THIRD = "in the last third of the days"
CHANGES = {
    "peak": Change(
        "changes", 1 / 2, _week, 2, 0, 10, "factor on waking up and on sessions, a week from half"
    ),
    "drift": Change("changes", 2 / 3, _on, 2, 0, 10, f"drift of behaviour: that factor {_THIRD}"),
    "sale": Change("prices", 5 / 8, _sale, 0.8, 0.1, 1, "factor on all prices, a week from 5/8"),
    "price_jump": Change(
        "prices", 2 / 3, _price_jump, 1.25, 0.1, 10, f"sudden drift of prices: factor {_THIRD}"
    ),
    "inflation": Change(
        "prices", 2 / 3, _inflation, 1.25, 0.1, 10, f"the same, reached evenly {_THIRD}"
    ),
    "mix": Change(
        "mix", 2 / 3, _mix, 5, 0, 100, f"drift of mix: factor on department {ROOTS[0]} {_THIRD}"
    ),
    "coupon": Change(
        "coupon", 3 / 4, _week, 2, 0, 10, "factor on buying of a random half, a week from 3/4"
    ),
}
"""Changes of customers, prices or products by name; `plants.PLANTS` holds the faults in events."""


def changed(config: Config, plants: Mapping[str, float]) -> Config:
    """Return the config with the changes among the plants."""
    for name, change in CHANGES.items():
        if name in plants:
            rows = change.rows(change.first(config), config.days, plants[name])
            field: dict[str, Any] = {change.field: (*getattr(config, change.field), *rows)}
            config = replace(config, **field)
    return config


def answers(config: Config, plants: Mapping[str, float]) -> list[dict[str, object]]:
    """Return first day and amount of each change; the coupon has answers by customer instead."""
    return [
        {
            "plant": name,
            "kind": change.field,
            "day": config.first_day + timedelta(days=change.first(config)),
            "value": plants[name],
        }
        for name, change in CHANGES.items()
        if name in plants and name != "coupon"
    ]
