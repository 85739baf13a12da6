"""Propose thresholds from the clean days of a shop: counts and shares, measured in SQL.

Published predictions and trainings that passed have kept the contract, so they count as clean.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from expectations import dataset_profile, events, predictions, schema
from expectations.catalogue import COMPARISON_MEANINGS
from expectations.measures import Reference
from expectations.rules import ROW_COUNT, Rule, Scale, Severity
from expectations.threshold_fitting import bounds
from expectations.thresholds import Bound, Thresholds
from intent_tasks.definition import Definition
from intent_tasks.errors import BadInput, Refused
from intent_tasks.stores.contracts import prediction_profile, profile
from intent_tasks.tables import contract_results, runs

LEAST_DAYS = 14
"""The fewest days to fit: each weekday is seen twice."""

LEAST_ROWS = 10
"""A value of fewer rows is not written to the file: it might identify a person."""

LEAST_TRAININGS = 5
"""The fewest trainings to fit."""

MOST_VALUES = 100
"""A column with more values is free text, and its values are not written to the file."""

WEEKDAY = Rule(
    "rows_of_weekday", Severity.STOP, COMPARISON_MEANINGS["rows_of_weekday"], (),
    lambda _: sa.null(), Scale.RATIO, slack=0.4,
)  # fmt: skip

Progress = Callable[[str], None]


def fit_events(
    connection: sa.Connection,
    definition: Definition,
    days: Sequence[date],
    shipped: Thresholds,
    progress: Progress,
) -> Thresholds:
    """Return thresholds for the events of one day, from those days of arrival.

    Args:
        connection: that may read schema `shop`.
        definition: of the shop day.
        days: clean shop days, ascending and without gaps.
        shipped: thresholds of every shop, which hold where the days give no bound.
        progress: called with each day.

    Raises:
        Refused: there is no such table.
        BadInput: too few days have events.
    """
    found = schema.types(connection, events.TABLE)
    if found is None:
        raise Refused("There is no table or view shop.events; see docs/tables.md.")
    usable = _usable(events, found)
    span = profile.rows_of_events(connection, definition, usable, days[0], days[-1])
    usual = reference(connection, span, events)
    limits = Thresholds(reference=usual)
    profiles = []
    for number, day in enumerate(days, 1):
        progress(f"events: day {number} of {len(days)}, {day}")
        rows = profile.rows_of_events(connection, definition, usable, day, day)
        profiles.append(profile.measure(connection, rows, _measurable(events, rows), limits))
    counts = [int(numbers[ROW_COUNT] or 0) for numbers in profiles]
    with_rows = [numbers for numbers in profiles if numbers[ROW_COUNT]]
    if len(with_rows) < LEAST_DAYS:
        raise BadInput(
            f"Only {len(with_rows)} of the days {days[0]} to {days[-1]} have events; at least "
            f"{LEAST_DAYS} are needed. Choose an earlier --first-day."
        )
    fitted = shipped.rules | bounds(events.RULES, with_rows) | _weekday(counts)
    return Thresholds(fitted, _kinds(events, found, usable), usual)


def fit_table(
    connection: sa.Connection, module: ModuleType, shipped: Thresholds
) -> Thresholds | None:
    """Return thresholds for a table of the shop as it is today; None when it has no rows."""
    found = schema.types(connection, module.TABLE)
    usable = _usable(module, found or {})
    if found is None or not usable:
        return None
    rows = module.relation(usable)
    usual = reference(connection, rows, module)
    measurable = _measurable(module, rows)
    numbers = profile.measure(connection, rows, measurable, Thresholds(reference=usual))
    if not numbers[ROW_COUNT]:
        return None
    # A list of products or customers does not shrink by half over night.
    counted = {"rows": Bound(Severity.STOP, low=float(round((numbers[ROW_COUNT] or 0) / 2)))}
    fitted = shipped.rules | bounds(measurable, [numbers]) | counted
    return Thresholds(fitted, _kinds(module, found, usable), usual)


def fit_predictions(
    connection: sa.Connection, days: Sequence[date], shipped: Thresholds, progress: Progress
) -> Thresholds | None:
    """Return thresholds for the predictions of a day, from those published on some days.

    Args:
        connection: of the pipeline.
        days: shop days, ascending.
        shipped: thresholds of every shop.
        progress: called with each day.

    Returns:
        None when too few of the days are published.
    """
    span = predictions.relation(days[0], days[-1])
    count = sa.select(span.c.as_of_date, sa.func.count()).group_by(span.c.as_of_date)
    published: dict[date, int] = dict(connection.execute(count).all())
    pins = _receipts(connection, "pin", published)
    if len(published) < LEAST_DAYS:
        return None
    usual = reference(connection, span, predictions)
    profiles = []
    for number, day in enumerate(sorted(published), 1):
        progress(f"predictions: day {number} of {len(published)}, {day}")
        rows = predictions.relation(day, day)
        limits = Thresholds(reference=usual)
        numbers = profile.measure(connection, rows, predictions.RULES, limits)
        if day in pins:
            pinned = prediction_profile.Pinned.of(pins[day])
            numbers |= prediction_profile.compare(connection, day, pinned, published[day])
        profiles.append(numbers)
    fitted = bounds([*predictions.RULES, *predictions.COMPARISONS], profiles)
    return Thresholds(shipped.rules | fitted, {}, usual)


def _receipts(connection: sa.Connection, step: str, days: Iterable[date]) -> dict[date, Any]:
    query = sa.select(runs.c.as_of_date, runs.c.receipt)
    of_days = query.where(runs.c.step == step, runs.c.as_of_date.in_(list(days)))
    return dict(connection.execute(of_days).all())


def fit_training_sets(
    connection: sa.Connection, days: Sequence[date], shipped: Thresholds
) -> Thresholds | None:
    """Return thresholds for a training set, from the recorded numbers of those that passed.

    Args:
        connection: of the pipeline.
        days: shop days, ascending.
        shipped: thresholds of every shop.

    Returns:
        None when too few of them passed.
    """
    c = contract_results.c
    query = sa.select(c.as_of_date, c.rule, c.severity, c.passed, c.observed)
    of_days = query.where(c.suite == "training_set", c.as_of_date.between(days[0], days[-1]))
    numbers_of: dict[date, dict[str, float | None]] = {}
    refused = set()
    for day, rule, severity, passed, observed in connection.execute(of_days):
        numbers_of.setdefault(day, {})[rule] = observed
        if not passed and severity != Severity.WARN:
            refused.add(day)
    clean = [numbers for day, numbers in numbers_of.items() if day not in refused]
    if len(clean) < LEAST_TRAININGS:
        return None
    return Thresholds(shipped.rules | bounds(dataset_profile.RULES, clean))


def _measurable(module: ModuleType, rows: sa.CTE) -> list[Rule]:
    columns = set(rows.c.keys())
    return [rule for rule in module.RULES if columns.issuperset(rule.needs)]


def _usable(module: ModuleType, found: schema.Types) -> dict[str, schema.Type]:
    return profile.usable_types(found, schema.findings(module.TABLE, found, {}))


def _kinds(module: ModuleType, found: schema.Types, usable: Iterable[str]) -> dict[str, str]:
    return {c.name: schema.kind(found[c.name]) for c in module.TABLE.columns if c.name in usable}


def reference(connection: sa.Connection, rows: sa.CTE, module: ModuleType) -> Reference:
    """Return the shares and deciles of the columns that the rules of a suite compare."""
    columns = set(rows.c.keys())
    shares = {n: _shares(connection, rows.c[n]) for n in module.COMPARED if n in columns}
    deciles = {n: _deciles(connection, rows.c[n]) for n in module.MEASURED if n in columns}
    return Reference(
        {k: v for k, v in shares.items() if v}, {k: v for k, v in deciles.items() if v}
    )


def _shares(connection: sa.Connection, column: sa.ColumnElement[Any]) -> dict[str, float]:
    value, count = sa.cast(column, sa.Text), sa.func.count()
    query = (
        sa.select(value, count).where(column.is_not(None)).group_by(value)
        .order_by(count.desc(), value).limit(MOST_VALUES + 1)
    )  # fmt: skip
    counts: dict[str, int] = dict(connection.execute(query).all())
    if len(counts) > MOST_VALUES:
        return {}
    total = sum(counts.values())
    return {v: n / total for v, n in counts.items() if n >= LEAST_ROWS}


def _deciles(connection: sa.Connection, column: sa.ColumnElement[Any]) -> list[float]:
    parts = sa.cast([n / 10 for n in range(1, 10)], sa.ARRAY(sa.Double))
    query = sa.select(sa.func.percentile_disc(parts).within_group(column))
    return [float(value) for value in connection.scalar(query) or ()]


def _weekday(counts: Sequence[int]) -> dict[str, Bound]:
    """Return the bound on rows relative to the same weekday, from the rows of consecutive days."""
    days = [
        {WEEKDAY.name: count / usual}
        for number, count in enumerate(counts)
        if count and (usual := profile.usual_of(counts[number % 7 : number : 7][-profile.WEEKS :]))
    ]
    return bounds([WEEKDAY], days)


def days_between(first: date, last: date) -> list[date]:
    """Return the days from the first to the last, both included.

    Raises:
        BadInput: there are too few.
    """
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    if len(days) < LEAST_DAYS:
        raise BadInput(
            f"{first} to {last} are {len(days)} days; at least {LEAST_DAYS} are needed, so that "
            "every weekday is seen twice."
        )
    return days
