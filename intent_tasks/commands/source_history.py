"""The part of `intent check-source` about history: enough to train on, or how long to wait."""

from collections.abc import Mapping
from datetime import date, timedelta
from math import inf

import sqlalchemy as sa

from intent_tasks.core.anchors import Split, needed_days, training_split
from intent_tasks.definition import HORIZONS_DAYS, LEAST_BUYERS
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import source_facts, source_ids

MOST_WEEKS = 52


def judge(
    connection: sa.Connection, settings: Settings, first: date, last: date
) -> tuple[bool, str]:
    """Return True if there is enough history to train on, and the line about it.

    Args:
        connection: to the shop.
        settings: of this installation.
        first: shop day on which the first event arrived.
        last: last shop day that is over.
    """
    split = _split(settings, first, last)
    lag = max(HORIZONS_DAYS) + settings.maturity_lag_days
    anchors = vars(split) if split else {"latest": [last - timedelta(days=lag)]}
    found = source_facts.buyers(connection, settings, anchors)
    start = max(first, last - timedelta(days=settings.training_days + lag))
    customers_who_bought = source_facts.distinct_buyers(connection, settings, start, last)
    # A shop that is too young for outcomes shows no purchase rate.
    is_young = last - timedelta(days=lag) < first
    rate = inf if is_young else sum(found.values()) / sum(map(len, anchors.values()))
    weeks = _weeks_to_wait(settings, first, last, rate)
    days = (last - first).days + 1
    buyers = f"{customers_who_bought:,} buyers in the {(last - start).days + 1} days up to {last}"
    if split is None:
        if loaded_at_once := source_ids.loaded_at_once(connection, settings):
            return False, loaded_at_once.strip()
        return False, (
            f"{days} days of history; training needs {needed_days(settings.maturity_lag_days)} "
            f"({buyers}); {_wait(weeks)}."
        )
    if (fewest := min(found.values())) < LEAST_BUYERS:
        return False, (
            f"{fewest} customers purchase in the smallest split; each needs {LEAST_BUYERS} "
            f"({_describe_splits(found)}; {buyers}); {_wait(weeks)}."
        )
    return True, (
        f"Enough history to train on: {days} days, {buyers}; {_describe_splits(found)} "
        f"(each split needs {LEAST_BUYERS})."
    )


def _split(settings: Settings, first: date, last: date) -> Split | None:
    return training_split(first, last, settings.training_days, settings.maturity_lag_days)


def _describe_splits(found: Mapping[str, int]) -> str:
    """Return the buyers of each split; a customer counts once for each day before a purchase."""
    counts = ", ".join(f"{count:,} to {use}" for use, count in found.items())
    return (
        f"customers who purchase within {max(HORIZONS_DAYS)} days, counted once for each day of "
        f"a split: {counts}"
    )


def _weeks_to_wait(settings: Settings, first: date, last: date, rate: float) -> int | None:
    """Return the weeks of the same purchase rate until there is enough; None: over a year."""
    for weeks in range(1, MOST_WEEKS + 1):
        split = _split(settings, first, last + timedelta(weeks=weeks))
        if split and all(len(days) * rate >= LEAST_BUYERS for days in vars(split).values()):
            return weeks
    return None


def _wait(weeks: int | None) -> str:
    if weeks is None:
        return (
            "waiting does not help: load older history, or raise "
            "INTENT_POPULATION_DAYS or INTENT_TRAINING_DAYS"
        )
    return f"about {weeks} more week{'s' if weeks > 1 else ''}, or load older history"
