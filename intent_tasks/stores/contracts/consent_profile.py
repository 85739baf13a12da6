"""What the rules of the contract measure of consent on a day, and beside the days before."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations import consent, schema
from expectations.rules import Rule
from expectations.thresholds import Thresholds
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts import profile
from intent_tasks.stores.contracts.contract import Measured
from intent_tasks.stores.extracting import source
from intent_tasks.stores.privacy import consent_record
from intent_tasks.tables import customers, events, runs

LEAST_CUSTOMERS = 100
"""With fewer customers with events on a day, those of the whole population are counted."""

MOST_EVENTS = 200_000
"""Events whose customers are looked at: they show the share as well as all of a busy day."""

CHANCE = 2.0
"""Standard deviations by which the share of few customers may differ from the usual one."""

LEAST_USUAL = 0.05
"""A few refusals may become twice as many without a cause that concerns the record."""

USUAL_DAYS = 28
"""Days that passed, the nearest ones, whose median is usual."""


class Consented(NamedTuple):
    """What was measured, and what the receipt of the day keeps of it."""

    measured: Measured
    kept: dict[str, Any]

    def beside(self, table: Measured) -> Measured:
        """Return what was measured of `shop.customers` with what was measured of consent."""
        return replace(
            table,
            numbers=table.numbers | self.measured.numbers,
            bounds=table.bounds | self.measured.bounds,
            meanings=table.meanings | self.measured.meanings,
        )


def day_of_consent(
    connection: sa.Connection, settings: Settings, limits: Thresholds, day: date
) -> Consented | None:
    """Measure how many customers with events on a shop day have a row, and say no.

    Args:
        connection: that may read schema `shop`.
        settings: population and time zone.
        limits: bounds.
        day: shop day.

    Returns:
        None when the shop records no consent, or its tables cannot be joined: then the rules about
        their columns say so.

    Raises:
        Refused: the shop recorded consent before, and does not any more.
    """
    found = consent_record.types(connection)
    if problem := consent_record.missing(settings, found):
        raise Refused(problem)
    columns = {n for n in consent_record.COLUMNS if n in found}
    if columns and "customer_id" not in found:
        raise Refused(consent_record.LACKS_ID)
    usable = columns and not any(
        schema.problem(customers.c[name], found[name]) for name in ("customer_id", *columns)
    )
    if not usable or customers.c.customer_id.name not in found or not _has_events(connection):
        return None
    days, result = 1, _of_days(connection, settings, limits, columns, day, 1)
    if result.row_count < LEAST_CUSTOMERS:
        days = settings.population_days
        result = _of_days(connection, settings, limits, columns, day, days)
    if not result.row_count:
        return None
    seen = {name: value for name, value in result.numbers.items() if value is not None}
    kept = {
        "columns": sorted(columns),
        "days": days,
        "customers": result.row_count,
        "shares": {name: round(value, 6) for name, value in seen.items()},
        **consent_record.counted(connection, columns),
    }
    _count(result)
    _compare(result, limits, _usual(settings, day, days))
    return Consented(result, kept)


def _has_events(connection: sa.Connection) -> bool:
    """Tell whether the events of a day can be read at all; else rules of `events` say so."""
    found = schema.types(connection, events) or {}
    fine = schema.findings(events, found, {})
    return all(fine[name].fine for name in ("customer_id", "occurred_at"))


def _of_days(
    connection: sa.Connection,
    settings: Settings,
    limits: Thresholds,
    columns: set[str],
    day: date,
    days: int,
) -> Measured:
    definition = settings.definition
    start = definition.day_start(day - timedelta(days=days - 1))
    arrived = source.arrived_between(source.columns(connection), start, definition.day_end(day))
    customer_id = consent_record.customer_id(connection, events)
    some = sa.select(customer_id).where(arrived).limit(MOST_EVENTS).subquery()
    active = sa.select(some.c.customer_id).where(some.c.customer_id != "").distinct().cte("active")
    rows = consent.relation(active, consent_record.by_customer(connection, columns))
    names = {rule.name for rule in consent.RULES}
    bounds = {name: bound for name, bound in limits.rules.items() if name in names}
    return profile.of_rows(connection, consent.SUITE, consent.RULES, rows, {}, Thresholds(bounds))


def _count(result: Measured) -> None:
    """Say how many customers the coverage is about."""
    share = result.numbers.get(consent.COVERAGE)
    if share is not None:
        covered = round(share * result.row_count)
        result.meanings[consent.COVERAGE] += f": {covered:,} of {result.row_count:,}"


def _compare(result: Measured, limits: Thresholds, usual: Mapping[str, float]) -> None:
    """Add each share relative to the usual one; without a usual coverage, the coverage itself."""
    rules = {rule.name: rule for rule in consent.BESIDE if rule.name in limits.rules}
    coverage = result.numbers.get(consent.COVERAGE)
    first_day = rules.pop(consent.FIRST_DAY, None)
    if first_day and coverage is not None and consent.COVERAGE not in usual:
        covered = result.meanings[consent.COVERAGE].rpartition(": ")[2]
        _add(result, limits, first_day, coverage)
        result.meanings[consent.FIRST_DAY] += f": {covered}"
    for rule in rules.values():
        name = rule.name.removesuffix(consent.OF_USUAL)
        share, before = result.numbers.get(name), usual.get(name)
        if share is not None and before:
            _add(result, limits, rule, _of_usual(share, before, result.row_count))


def _of_usual(share: float, usual: float, count: int) -> float:
    """Return a share relative to the usual one, as near to 1 as chance allows.

    A usual share below LEAST_USUAL counts as that much when a higher one is compared with it.
    """
    chance = CHANCE * math.sqrt(usual * (1 - usual) / count)
    if share < usual:
        return min(1.0, (share + chance) / usual)
    return max(1.0, (share - chance) / max(usual, LEAST_USUAL))


def _add(result: Measured, limits: Thresholds, rule: Rule, number: float) -> None:
    result.numbers[rule.name] = number
    result.bounds[rule.name] = limits.rules[rule.name]
    result.meanings[rule.name] = rule.meaning


def _usual(settings: Settings, day: date, days: int) -> dict[str, float]:
    """Return the median of each share on the nearest other days that passed."""
    kept = runs.c.receipt[consent_record.KEPT]
    query = (
        sa.select(kept["shares"])
        .where(
            runs.c.step == consent_record.STEP,
            runs.c.as_of_date != day,
            sa.cast(kept["days"].astext, sa.Integer) == days,
        )
        .order_by(sa.func.abs(runs.c.as_of_date - day))
        .limit(USUAL_DAYS)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        found: list[dict[str, float]] = list(connection.scalars(query))
    names = {name for shares in found for name in shares}
    return {
        name: statistics.median(shares[name] for shares in found if name in shares)
        for name in names
    }
