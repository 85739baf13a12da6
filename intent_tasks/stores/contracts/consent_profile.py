"""The profile of consent on a day, with comparisons to the days before."""

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
from intent_tasks.stores.contracts.profile import Profile, profile_rows
from intent_tasks.stores.extracting import source
from intent_tasks.stores.privacy import consent_record
from intent_tasks.tables import customers, events, runs

LEAST_CUSTOMERS = 100
"""On a day with fewer active customers, those of the whole population are counted."""

MOST_EVENTS = 200_000
"""Events whose customers are counted. More of a busy day would not change the shares."""

CHANCE = 2.0
"""Standard deviations by which the share of few customers may differ from the usual one."""

LEAST_USUAL = 0.05
"""A lower usual share counts as this one: few refusals double easily."""

USUAL_DAYS = 28
"""Number of the nearest days that passed, whose median is the usual share."""


class ConsentProfile(NamedTuple):
    """The profile of consent, and what the receipt of the day records of it."""

    profile: Profile
    record: dict[str, Any]

    def added_to(self, customers_profile: Profile) -> Profile:
        """Return the profile of `shop.customers` with the rules of consent."""
        return replace(
            customers_profile,
            numbers=customers_profile.numbers | self.profile.numbers,
            bounds=customers_profile.bounds | self.profile.bounds,
            meanings=customers_profile.meanings | self.profile.meanings,
        )


def profile_consent(
    connection: sa.Connection, settings: Settings, limits: Thresholds, day: date
) -> ConsentProfile | None:
    """Measure the share of active customers of a shop day who have a row, and who say no.

    Args:
        connection: that may read schema `shop`.
        settings: population and time zone.
        limits: bounds.
        day: shop day.

    Returns:
        None when the shop records no consent, or its tables cannot be joined: then the rules of
        their columns are broken.

    Raises:
        Refused: the shop recorded consent before and no longer does.
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
    days, profile = 1, _profile_days(connection, settings, limits, columns, day, 1)
    if profile.row_count < LEAST_CUSTOMERS:
        days = settings.population_days
        profile = _profile_days(connection, settings, limits, columns, day, days)
    if not profile.row_count:
        return None
    shares = {name: value for name, value in profile.numbers.items() if value is not None}
    record = {
        "columns": sorted(columns),
        "days": days,
        "customers": profile.row_count,
        "shares": {name: round(value, 6) for name, value in shares.items()},
        **consent_record.counted(connection, columns),
    }
    _add_counts(profile)
    _compare(profile, limits, _usual_shares(settings, day, days))
    return ConsentProfile(profile, record)


def _has_events(connection: sa.Connection) -> bool:
    """Return whether the events of a day can be read; if not, rules of `events` are broken."""
    types = schema.types(connection, events) or {}
    findings = schema.findings(events, types, {})
    return all(findings[name].fine for name in ("customer_id", "occurred_at"))


def _profile_days(
    connection: sa.Connection,
    settings: Settings,
    limits: Thresholds,
    columns: set[str],
    day: date,
    days: int,
) -> Profile:
    definition = settings.definition
    start = definition.day_start(day - timedelta(days=days - 1))
    arrived = source.arrived_between(source.columns(connection), start, definition.day_end(day))
    customer_id = consent_record.customer_id(connection, events)
    rows_of = sa.select(customer_id).where(arrived).limit(MOST_EVENTS).subquery()
    has_id = rows_of.c.customer_id != ""
    active = sa.select(rows_of.c.customer_id).where(has_id).distinct().cte("active")
    rows = consent.relation(active, consent_record.by_customer(connection, columns))
    names = {rule.name for rule in consent.RULES}
    bounds = {name: bound for name, bound in limits.rules.items() if name in names}
    return profile_rows(connection, consent.SUITE, consent.RULES, rows, {}, Thresholds(bounds))


def _add_counts(profile: Profile) -> None:
    """Add the numbers of customers to the meaning of the coverage."""
    share = profile.numbers.get(consent.COVERAGE)
    if share is not None:
        covered = round(share * profile.row_count)
        profile.meanings[consent.COVERAGE] += f": {covered:,} of {profile.row_count:,}"


def _compare(profile: Profile, limits: Thresholds, usual: Mapping[str, float]) -> None:
    """Add each share relative to the usual one; without a usual coverage, the coverage itself."""
    rules = {rule.name: rule for rule in consent.COMPARISONS if rule.name in limits.rules}
    coverage = profile.numbers.get(consent.COVERAGE)
    first_day = rules.pop(consent.FIRST_DAY, None)
    if first_day and coverage is not None and consent.COVERAGE not in usual:
        counts = profile.meanings[consent.COVERAGE].rpartition(": ")[2]
        _add(profile, limits, first_day, coverage)
        profile.meanings[consent.FIRST_DAY] += f": {counts}"
    for rule in rules.values():
        name = rule.name.removesuffix(consent.OF_USUAL)
        share, usual_share = profile.numbers.get(name), usual.get(name)
        if share is not None and usual_share:
            _add(profile, limits, rule, _of_usual(share, usual_share, profile.row_count))


def _of_usual(share: float, usual: float, count: int) -> float:
    """Return a share relative to the usual one, as near to 1 as chance allows.

    A usual share below LEAST_USUAL counts as that much when a higher one is compared with it.
    """
    chance = CHANCE * math.sqrt(usual * (1 - usual) / count)
    if share < usual:
        return min(1.0, (share + chance) / usual)
    return max(1.0, (share - chance) / max(usual, LEAST_USUAL))


def _add(profile: Profile, limits: Thresholds, rule: Rule, number: float) -> None:
    profile.numbers[rule.name] = number
    profile.bounds[rule.name] = limits.rules[rule.name]
    profile.meanings[rule.name] = rule.meaning


def _usual_shares(settings: Settings, day: date, days: int) -> dict[str, float]:
    """Return the median of each share on the nearest other days that passed."""
    record = runs.c.receipt[consent_record.KEPT]
    query = (
        sa.select(record["shares"])
        .where(
            runs.c.step == consent_record.STEP,
            runs.c.as_of_date != day,
            sa.cast(record["days"].astext, sa.Integer) == days,
        )
        .order_by(sa.func.abs(runs.c.as_of_date - day))
        .limit(USUAL_DAYS)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        days_shares: list[dict[str, float]] = list(connection.scalars(query))
    names = {name for shares in days_shares for name in shares}
    return {
        name: statistics.median(shares[name] for shares in days_shares if name in shares)
        for name in names
    }
