"""Whether a shop's history is enough to learn from, and how long to wait where it is not."""

from collections.abc import Mapping
from datetime import date, timedelta
from math import inf

import sqlalchemy as sa

from intent_tasks.core.anchors import Split, needed_days, training_split
from intent_tasks.definition import HORIZONS_DAYS, LEAST_BUYERS
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import source_facts, source_ids

MOST_WEEKS = 52


def judged(
    connection: sa.Connection, settings: Settings, first: date, last: date
) -> tuple[bool, str]:
    """Return whether there is enough to learn from, and what is to be said of it.

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
    # A shop that is younger than its outcomes need tells nothing of how many buy.
    is_young = last - timedelta(days=lag) < first
    rate = inf if is_young else sum(found.values()) / sum(map(len, anchors.values()))
    weeks = _weeks_to_wait(settings, first, last, rate)
    days = (last - first).days + 1
    said = f"{customers_who_bought:,} buyers in the {(last - start).days + 1} days up to {last}"
    if split is None:
        if loaded_at_once := source_ids.loaded_at_once(connection, settings):
            return False, loaded_at_once.strip()
        return False, (
            f"{days} days of history, {needed_days(settings.maturity_lag_days)} needed to learn "
            f"({said}); {_wait(weeks)}."
        )
    if (fewest := min(found.values())) < LEAST_BUYERS:
        return False, (
            f"{fewest} customers purchase in the smallest part, {LEAST_BUYERS} needed in each "
            f"({_parts(found)}; {said}); {_wait(weeks)}."
        )
    return True, (
        f"Enough history to learn from: {days} days, {said}; {_parts(found)} "
        f"({LEAST_BUYERS} needed in each part)."
    )


def _split(settings: Settings, first: date, last: date) -> Split | None:
    return training_split(first, last, settings.training_days, settings.maturity_lag_days)


def _parts(found: Mapping[str, int]) -> str:
    """Say what the parts count: a customer who purchases after several of the days, for each."""
    counts = ", ".join(f"{count:,} to {part}" for part, count in found.items())
    return (
        f"who purchases within {max(HORIZONS_DAYS)} days, counted once for each day that is "
        f"learned from: {counts}"
    )


def _weeks_to_wait(settings: Settings, first: date, last: date, rate: float) -> int | None:
    """Return after how many weeks of the same business there is enough; None: not in a year."""
    for weeks in range(1, MOST_WEEKS + 1):
        split = _split(settings, first, last + timedelta(weeks=weeks))
        if split and all(len(days) * rate >= LEAST_BUYERS for days in vars(split).values()):
            return weeks
    return None


def _wait(weeks: int | None) -> str:
    if weeks is None:
        return (
            "time alone will not bring enough: load older history, or raise "
            "INTENT_POPULATION_DAYS or INTENT_TRAINING_DAYS"
        )
    return f"about {weeks} more week{'s' if weeks > 1 else ''}, or load older history"
