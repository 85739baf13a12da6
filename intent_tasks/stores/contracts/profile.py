"""What the rules of the contract measure in the shop's tables, in one `SELECT` a table."""

import statistics
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from expectations import customers, dataset_profile, events, products, schema
from expectations.measures import Day
from expectations.rules import ROW_COUNT, Rule, Severity, profile
from expectations.thresholds import Bound, Thresholds
from intent_tasks.core.dataset_profile import DatasetProfile
from intent_tasks.definition import Definition
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts.contract import ADDED, Measured, applying
from intent_tasks.stores.extracting import source
from intent_tasks.tables import runs

WEEKS = 4
"""Same weekdays before a day with which its number of rows is compared."""

LEAST_WEEKS = 2
"""With fewer of them nothing is compared."""

PLANNED = {"work_mem": "32MB", "parallel_tuple_cost": "0.01"}
"""Memory of each sort and group: enough for the ids of 2 million events. And workers group a few
columns in parallel although PostgreSQL expects many more groups than there are."""

TABLES: dict[str, Any] = {"products": products, "customers": customers}
"""The shop's tables that are measured as they are today; both may be absent."""


def day_of_events(
    connection: sa.Connection,
    definition: Definition,
    limits: Thresholds,
    day: date,
    usual_rows: float | None,
) -> Measured:
    """Measure the events that arrived on a shop day.

    Args:
        connection: that may read schema `shop`.
        definition: of the shop day.
        limits: bounds and reference.
        day: shop day.
        usual_rows: of the same weekday; None: not known.

    Raises:
        Refused: there is no such table.
    """
    found = schema.types(connection, events.TABLE)
    if found is None:
        raise Refused("There is no table or view shop.events; see docs/tables.md.")
    findings = schema.findings(events.TABLE, found, limits.columns)
    usable = usable_types(found, findings)
    # Without it nobody knows which rows arrived on a day.
    dated = "occurred_at" in usable
    rows = rows_of_events(connection, definition, usable, day, day) if dated else None
    measured = of_rows(connection, "events", events.RULES, rows, findings, limits)
    return _add(measured, limits, "rows_of_weekday", usual_rows)


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


def table(connection: sa.Connection, suite: str, limits: Thresholds) -> Measured | None:
    """Measure `shop.products` or `shop.customers`; None when there is no such table."""
    module = TABLES[suite]
    found = schema.types(connection, module.TABLE)
    if found is None and not limits.columns:
        return None
    findings = schema.findings(module.TABLE, found or {}, limits.columns)
    usable = usable_types(found or {}, findings)
    rows = module.relation(usable) if usable else None
    return of_rows(connection, suite, module.RULES, rows, findings, limits)


def of_training(found: DatasetProfile, limits: Thresholds) -> Measured:
    """Measure what a model is about to be trained on; a rule that does not apply has no number."""
    chosen = applying("training_set", limits, dataset_profile.RULES, [])
    numbers = {rule.name: rule.measure(found) for rule in chosen}
    there = [rule for rule in chosen if numbers[rule.name] is not None]
    return Measured(
        "training_set",
        sum(part.rows for part in found.splits.values()),
        {rule.name: numbers[rule.name] for rule in there},
        {rule.name: limits.rules[rule.name] for rule in there},
        {rule.name: rule.meaning for rule in there},
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
    seen = [count for count in counts if count]
    return statistics.median(seen) if len(seen) >= LEAST_WEEKS else None


def of_rows(
    connection: sa.Connection,
    suite: str,
    rules: Sequence[Rule],
    rows: sa.CTE | None,
    findings: Mapping[str, schema.Finding],
    limits: Thresholds,
) -> Measured:
    """Measure rows by the rules that have bounds, and what became of the columns.

    Args:
        connection: that may read the rows.
        suite: its name.
        rules: of the suite.
        rows: None where none can be read.
        findings: of the columns of the contract.
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
        chosen = applying(suite, limits, rules, rows.c.keys())
        found = measure(connection, rows, chosen, limits)
        row_count = int(found.pop(ROW_COUNT) or 0)
        if row_count:
            # Of no rows nothing can be measured; that there are none is said once, below.
            numbers |= found
            bounds |= {rule.name: limits.rules[rule.name] for rule in chosen}
            meanings |= {rule.name: rule.meaning for rule in chosen}
    if "rows" in limits.rules and all(f.fine for f in findings.values()):
        numbers["rows"], bounds["rows"] = float(row_count), limits.rules["rows"]
        meanings["rows"] = ADDED["rows"]
    return Measured(suite, row_count, numbers, bounds, meanings)


def measure(
    connection: sa.Connection, rows: sa.CTE, rules: Sequence[Rule], limits: Thresholds
) -> dict[str, float | None]:
    """Return the number of each rule and `row_count`, from one `SELECT`."""
    query = profile(Day(rows, limits.reference), rules)
    for name, value in PLANNED.items():
        connection.execute(sa.func.set_config(name, value, True))
    found = connection.execute(query).mappings().one()
    return {name: None if value is None else float(value) for name, value in found.items()}


def _add(measured: Measured, limits: Thresholds, rule: str, usual: float | None) -> Measured:
    """Add the number of rows relative to the usual one."""
    if usual and measured.row_count and rule in limits.rules:
        measured.numbers[rule] = measured.row_count / usual
        measured.bounds[rule] = limits.rules[rule]
        measured.meanings[rule] = ADDED[rule]
    return measured
