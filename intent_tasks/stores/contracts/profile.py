"""Profiles: the number of each rule of a suite, measured in one `SELECT` a table."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from expectations import customers, dataset_profile, events, products, rules, schema
from expectations.catalogue import COMPARISON_MEANINGS, applying
from expectations.measures import Day
from expectations.rules import ROW_COUNT, Rule, Severity
from expectations.thresholds import Bound, Thresholds
from intent_tasks.core.dataset_profile import DatasetProfile
from intent_tasks.definition import Definition
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import source
from intent_tasks.tables import runs

WEEKS = 4
"""Number of earlier same weekdays with which the rows of a day are compared."""

LEAST_WEEKS = 2
"""With fewer earlier weekdays, rows are not compared."""

PLANNER = {"work_mem": "32MB", "parallel_tuple_cost": "0.01"}
"""Settings of PostgreSQL: memory that sorts the ids of 2 million events, and a cost at which it
groups in parallel although it expects many more groups than there are."""

TABLES: dict[str, Any] = {"products": products, "customers": customers}
"""Tables of the shop that are measured as they are today. Both may be absent."""


@dataclass(frozen=True)
class Profile:
    """The numbers of one suite.

    Args:
        suite: its name.
        row_count: rows that were measured.
        numbers: rule → its number; None where it could not be measured.
        bounds: rule → its bound, for the rules that apply.
        meanings: rule → what it measures, in words.
    """

    suite: str
    row_count: int
    numbers: dict[str, float | None]
    bounds: dict[str, Bound]
    meanings: dict[str, str]


def profile_events(
    connection: sa.Connection,
    definition: Definition,
    limits: Thresholds,
    day: date,
    usual_rows: float | None,
) -> Profile:
    """Return the profile of the events that arrived on a shop day.

    Args:
        connection: that may read schema `shop`.
        definition: of the shop day.
        limits: bounds and reference.
        day: shop day.
        usual_rows: rows of the same weekday; None: unknown.

    Raises:
        Refused: there is no such table.
    """
    found = schema.types(connection, events.TABLE)
    if found is None:
        raise Refused("There is no table or view shop.events; see docs/tables.md.")
    findings = schema.findings(events.TABLE, found, limits.columns)
    usable = usable_types(found, findings)
    # The day of arrival needs a time.
    has_time = "occurred_at" in usable
    rows = rows_of_events(connection, definition, usable, day, day) if has_time else None
    profile = profile_rows(connection, "events", events.RULES, rows, findings, limits)
    return _add_relative_rows(profile, limits, "rows_of_weekday", usual_rows)


def rows_of_events(
    connection: sa.Connection,
    definition: Definition,
    usable: schema.Types,
    first: date,
    last: date,
) -> sa.CTE:
    """Return the relation of the events that arrived from one day to another."""
    start, end = definition.day_start(first), definition.day_end(last)
    sold = schema.types(connection, products.TABLE) or {}
    return events.relation(
        usable,
        source.arrived_at(usable),
        source.arrived_between(usable, start, end),
        start,
        end,
        definition.time_zone,
        usable_types(sold, schema.findings(products.TABLE, sold, {})),
    )


def usable_types(
    found: schema.Types, findings: Mapping[str, schema.Finding]
) -> dict[str, schema.Type]:
    """Return the columns that can be used, with their types."""
    return {n: found[n] for n, finding in findings.items() if finding.fine and n in found}


def profile_table(connection: sa.Connection, suite: str, limits: Thresholds) -> Profile | None:
    """Return the profile of `shop.products` or `shop.customers`; None: there is no such table."""
    module = TABLES[suite]
    found = schema.types(connection, module.TABLE)
    if found is None and not limits.columns:
        return None
    findings = schema.findings(module.TABLE, found or {}, limits.columns)
    usable = usable_types(found or {}, findings)
    rows = module.relation(usable) if usable else None
    return profile_rows(connection, suite, module.RULES, rows, findings, limits)


def profile_training_set(found: DatasetProfile, limits: Thresholds) -> Profile:
    """Return the profile of a training set. A rule that does not apply has no number."""
    chosen = applying("training_set", limits, dataset_profile.RULES, [])
    numbers = {rule.name: rule.measure(found) for rule in chosen}
    measured = [rule for rule in chosen if numbers[rule.name] is not None]
    return Profile(
        "training_set",
        sum(part.rows for part in found.splits.values()),
        {rule.name: numbers[rule.name] for rule in measured},
        {rule.name: limits.rules[rule.name] for rule in measured},
        {rule.name: rule.meaning for rule in measured},
    )


def usual_rows(settings: Settings, day: date) -> float | None:
    """Return the median of the rows that arrived on the same weekday of the last four weeks."""
    days = [day - timedelta(weeks=n + 1) for n in range(WEEKS)]
    query = sa.select(runs.c.receipt).where(runs.c.step == "snapshot", runs.c.as_of_date.in_(days))
    with postgres.reading(settings.pipeline_url) as connection:
        counts = [int(receipt["rows_in_warehouse"]) for receipt in connection.scalars(query)]
    return usual_of(counts)


def usual_of(counts: Sequence[int]) -> float | None:
    """Return the median of the rows of earlier weekdays, or None when they are too few."""
    not_empty = [count for count in counts if count]
    return statistics.median(not_empty) if len(not_empty) >= LEAST_WEEKS else None


def profile_rows(
    connection: sa.Connection,
    suite: str,
    suite_rules: Sequence[Rule],
    rows: sa.CTE | None,
    findings: Mapping[str, schema.Finding],
    limits: Thresholds,
) -> Profile:
    """Return the profile of rows by the rules that have bounds, and by the state of the columns.

    Args:
        connection: that may read the rows.
        suite: its name.
        suite_rules: its rules.
        rows: None where none can be read.
        findings: state of each column of the contract.
        limits: bounds and reference.
    """
    bounds = {f"column_{name}": Bound(Severity.STOP, low=1) for name in findings}
    numbers: dict[str, float | None] = {
        f"column_{name}": float(f.fine) for name, f in findings.items()
    }
    meanings = {
        f"column_{n}": f"column {n} is as agreed; found: {f.found}" for n, f in findings.items()
    }
    row_count = 0
    if rows is not None:
        chosen = applying(suite, limits, suite_rules, rows.c.keys())
        measured = measure(connection, rows, chosen, limits)
        row_count = int(measured.pop(ROW_COUNT) or 0)
        if row_count:
            # Without rows only the rule `rows`, below, has a number.
            numbers |= measured
            bounds |= {rule.name: limits.rules[rule.name] for rule in chosen}
            meanings |= {rule.name: rule.meaning for rule in chosen}
    if "rows" in limits.rules and all(f.fine for f in findings.values()):
        numbers["rows"], bounds["rows"] = float(row_count), limits.rules["rows"]
        meanings["rows"] = COMPARISON_MEANINGS["rows"]
    return Profile(suite, row_count, numbers, bounds, meanings)


def measure(
    connection: sa.Connection, rows: sa.CTE, chosen: Sequence[Rule], limits: Thresholds
) -> dict[str, float | None]:
    """Return the number of each rule and `row_count`, from one `SELECT`."""
    query = rules.profile(Day(rows, limits.reference), chosen)
    for name, value in PLANNER.items():
        connection.execute(sa.func.set_config(name, value, True))
    row = connection.execute(query).mappings().one()
    return {name: None if value is None else float(value) for name, value in row.items()}


def _add_relative_rows(
    profile: Profile, limits: Thresholds, rule: str, usual: float | None
) -> Profile:
    """Add the number of rows relative to the usual one."""
    if usual and profile.row_count and rule in limits.rules:
        profile.numbers[rule] = profile.row_count / usual
        profile.bounds[rule] = limits.rules[rule]
        profile.meanings[rule] = COMPARISON_MEANINGS[rule]
    return profile
