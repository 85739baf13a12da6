"""Thresholds proposed from the clean days of a shop: measured in SQL, counts and shares only.

Days of predictions that are published have kept the contract, and so have trainings that passed.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from expectations import dataset_profile, events, predictions, schema
from expectations.measures import Reference
from expectations.rules import ROW_COUNT, Rule, Scale, Severity
from expectations.threshold_fitting import bounds
from expectations.thresholds import Bound, Thresholds
from intent_tasks.definition import Definition
from intent_tasks.errors import BadInput, Refused
from intent_tasks.stores.contracts import prediction_profile, profile
from intent_tasks.stores.contracts.contract import ADDED
from intent_tasks.tables import contract_results, runs

LEAST_DAYS = 14
"""With fewer days the weekdays are not known."""

LEAST_ROWS = 10
"""A value seen in fewer rows is not written down: it might be of one person."""

LEAST_TRAININGS = 5
"""With fewer of them nothing is known of how they differ."""

MOST_VALUES = 100
"""A column with more values than this is text, and its values are nobody's business."""

WEEKDAY = Rule(
    "rows_of_weekday", Severity.STOP, ADDED["rows_of_weekday"], (), lambda _: sa.null(),
    Scale.RATIO, slack=0.4,
)  # fmt: skip

Progress = Callable[[str], None]


def of_events(
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
        shipped: thresholds of every shop; what the days do not tell stays as it is there.
        progress: told how far it is.

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
    seen = []
    for number, day in enumerate(days, 1):
        progress(f"events: day {number} of {len(days)}, {day}")
        rows = profile.rows_of_events(connection, definition, usable, day, day)
        seen.append(profile.measure(connection, rows, _possible(events, rows), limits))
    counts = [int(numbers[ROW_COUNT] or 0) for numbers in seen]
    full = [numbers for numbers in seen if numbers[ROW_COUNT]]
    if len(full) < LEAST_DAYS:
        raise BadInput(
            f"Only {len(full)} of the days {days[0]} to {days[-1]} have events; at least "
            f"{LEAST_DAYS} are needed to tell what is usual. Choose an earlier --first-day."
        )
    fitted = shipped.rules | bounds(events.RULES, full) | _weekday(counts)
    return Thresholds(fitted, _kinds(events, found, usable), usual)


def of_table(
    connection: sa.Connection, module: ModuleType, shipped: Thresholds
) -> Thresholds | None:
    """Return thresholds for a table of the shop as it is today; None when it has no rows."""
    found = schema.types(connection, module.TABLE)
    usable = _usable(module, found or {})
    if found is None or not usable:
        return None
    rows = module.relation(usable)
    usual = reference(connection, rows, module)
    possible = _possible(module, rows)
    numbers = profile.measure(connection, rows, possible, Thresholds(reference=usual))
    if not numbers[ROW_COUNT]:
        return None
    # A list of products or customers grows, and does not shrink by half over night.
    counted = {"rows": Bound(Severity.STOP, low=float(round((numbers[ROW_COUNT] or 0) / 2)))}
    fitted = shipped.rules | bounds(possible, [numbers]) | counted
    return Thresholds(fitted, _kinds(module, found, usable), usual)


def of_predictions(
    connection: sa.Connection, days: Sequence[date], shipped: Thresholds, progress: Progress
) -> Thresholds | None:
    """Return thresholds for the predictions of a day, from those published on some days.

    Args:
        connection: of the pipeline.
        days: shop days, ascending.
        shipped: thresholds of every shop.
        progress: told how far it is.

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
    seen = []
    for number, day in enumerate(sorted(published), 1):
        progress(f"predictions: day {number} of {len(published)}, {day}")
        rows = predictions.relation(day, day)
        alone = profile.measure(connection, rows, predictions.RULES, Thresholds(reference=usual))
        if day in pins:
            pinned = prediction_profile.Pinned.of(pins[day])
            alone |= prediction_profile.beside(connection, day, pinned, published[day])
        seen.append(alone)
    fitted = bounds([*predictions.RULES, *predictions.BESIDE], seen)
    return Thresholds(shipped.rules | fitted, {}, usual)


def _receipts(connection: sa.Connection, step: str, days: Iterable[date]) -> dict[date, Any]:
    query = sa.select(runs.c.as_of_date, runs.c.receipt)
    of_days = query.where(runs.c.step == step, runs.c.as_of_date.in_(list(days)))
    return dict(connection.execute(of_days).all())


def of_trainings(
    connection: sa.Connection, days: Sequence[date], shipped: Thresholds
) -> Thresholds | None:
    """Return thresholds for a training set, from what was written down of those that passed.

    Args:
        connection: of the pipeline.
        days: shop days, ascending.
        shipped: thresholds of every shop.

    Returns:
        None when there are too few of them.
    """
    c = contract_results.c
    query = sa.select(c.as_of_date, c.rule, c.severity, c.passed, c.observed)
    of_days = query.where(c.suite == "training_set", c.as_of_date.between(days[0], days[-1]))
    seen: dict[date, dict[str, float | None]] = {}
    refused = set()
    for day, rule, severity, passed, observed in connection.execute(of_days):
        seen.setdefault(day, {})[rule] = observed
        if not passed and severity != Severity.WARN:
            refused.add(day)
    clean = [numbers for day, numbers in seen.items() if day not in refused]
    if len(clean) < LEAST_TRAININGS:
        return None
    return Thresholds(shipped.rules | bounds(dataset_profile.RULES, clean))


def _possible(module: ModuleType, rows: sa.CTE) -> list[Rule]:
    there = set(rows.c.keys())
    return [rule for rule in module.RULES if there.issuperset(rule.needs)]


def _usable(module: ModuleType, found: schema.Types) -> dict[str, schema.Type]:
    return profile.usable_types(found, schema.findings(module.TABLE, found, {}))


def _kinds(module: ModuleType, found: schema.Types, usable: Iterable[str]) -> dict[str, str]:
    return {c.name: schema.kind(found[c.name]) for c in module.TABLE.columns if c.name in usable}


def reference(connection: sa.Connection, rows: sa.CTE, module: ModuleType) -> Reference:
    """Return the shares and deciles of the columns that the rules of a suite compare."""
    there = set(rows.c.keys())
    shares = {name: _shares(connection, rows.c[name]) for name in module.COMPARED if name in there}
    deciles = {
        name: _deciles(connection, rows.c[name]) for name in module.MEASURED if name in there
    }
    return Reference(
        {k: v for k, v in shares.items() if v}, {k: v for k, v in deciles.items() if v}
    )


def _shares(connection: sa.Connection, column: sa.ColumnElement[Any]) -> dict[str, float]:
    value, count = sa.cast(column, sa.Text), sa.func.count()
    query = (
        sa.select(value, count).where(column.is_not(None)).group_by(value)
        .order_by(count.desc(), value).limit(MOST_VALUES + 1)
    )  # fmt: skip
    counted: dict[str, int] = dict(connection.execute(query).all())
    if len(counted) > MOST_VALUES:
        return {}
    total = sum(counted.values())
    return {v: n / total for v, n in counted.items() if n >= LEAST_ROWS}


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
