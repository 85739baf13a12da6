"""What the rules of the contract measure in a day's predictions, and beside the last day's."""

from datetime import date, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations import predictions
from expectations.measures import share
from expectations.thresholds import Thresholds
from intent_tasks.definition import MAIN_HORIZON_DAYS
from intent_tasks.stores.contracts import profile
from intent_tasks.stores.contracts.contract import ADDED, Measured

Receipt = dict[str, Any]

Numbers = dict[str, float | None]

MOST_DAYS_BEFORE = 7
"""An older day of predictions says nothing of how today's should be."""

TABLE = predictions.TABLE


class Pinned(NamedTuple):
    """What was pinned for a day.

    Args:
        model_version: of the champion.
        base_rate: of the main horizon, that it was trained with.
    """

    model_version: int
    base_rate: float

    @classmethod
    def of(cls, receipt: Receipt) -> "Pinned":
        """Return what the receipt of the step `pin` says."""
        return cls(receipt["model_version"], receipt["base_rates"][str(MAIN_HORIZON_DAYS)])


def day_of_predictions(
    connection: sa.Connection, limits: Thresholds, day: date, pinned: Pinned, scored: int
) -> Measured:
    """Measure the predictions of a day, in the transaction that writes them.

    Args:
        connection: of the pipeline.
        limits: bounds and reference.
        day: shop day.
        pinned: for the day.
        scored: customers who were scored. Not all have rows: who was erased or has withdrawn
            consent since must not keep the others' rows, or their own of before, in place.
    """
    rows = predictions.relation(day, day)
    found = profile.of_rows(connection, "predictions", predictions.RULES, rows, {}, limits)
    if "rows" in found.bounds:
        found.numbers["rows"] = float(scored)
    for name, number in beside(connection, day, pinned, scored).items():
        if found.row_count and number is not None and name in limits.rules:
            found.numbers[name], found.bounds[name] = number, limits.rules[name]
            found.meanings[name] = ADDED[name]
    return found


def beside(connection: sa.Connection, day: date, pinned: Pinned, scored: int) -> Numbers:
    """Return the numbers of `predictions.BESIDE`; None: there is nothing to compare with."""
    before = _last_day(connection, day)
    mean, other = connection.execute(_alone(day, pinned.model_version)).one()
    found: Numbers = {
        "mean_of_base_rate": _ratio(mean, pinned.base_rate),
        "other_version": other,
        "rows_of_last_day": None,
        "agreement_with_last_day": None,
        "same_as_last_day": None,
        "hot_lost": None,
    }
    if before is None:
        return found
    rows, agreement, same, lost = connection.execute(_both(day, before)).one()
    return found | {
        "rows_of_last_day": _ratio(scored, rows),
        "agreement_with_last_day": agreement,
        "same_as_last_day": same,
        "hot_lost": lost,
    }


def _ratio(number: float | None, usual: float) -> float | None:
    return None if number is None or not usual else number / usual


def _of(table: sa.FromClause, day: date) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.as_of_date == day, table.c.role == "champion")


def _last_day(connection: sa.Connection, day: date) -> date | None:
    query = sa.select(sa.func.max(TABLE.c.as_of_date)).where(
        TABLE.c.role == "champion",
        TABLE.c.as_of_date < day,
        TABLE.c.as_of_date >= day - timedelta(days=MOST_DAYS_BEFORE),
    )
    found: date | None = connection.scalar(query)
    return found


def _alone(day: date, model_version: int) -> sa.Select[Any]:
    mean = sa.cast(sa.func.avg(TABLE.c[predictions.MAIN]), sa.Double)
    other = sa.func.count().filter(TABLE.c.model_version != model_version)
    return sa.select(
        mean, sa.cast(other, sa.Double) / sa.cast(sa.func.nullif(sa.func.count(), 0), sa.Double)
    ).where(_of(TABLE, day))


def _both(day: date, before: date) -> sa.Select[Any]:
    """Return the rows of the day before, and how the two days agree on the customers of both."""
    then, now = TABLE.alias("then"), TABLE.alias("now")
    was, is_now = then.c[predictions.MAIN], now.c[predictions.MAIN]
    of_both = sa.and_(now.c.customer_id == then.c.customer_id, _of(now, day))
    same = sa.func.count().filter(was == is_now)
    both = sa.cast(sa.func.nullif(sa.func.count(now.c.customer_id), 0), sa.Double)
    hot = then.c.band == "hot"
    return (
        sa.select(
            sa.func.count(sa.distinct(then.c.customer_id)),
            sa.func.corr(was, is_now),
            sa.cast(same, sa.Double) / both,
            share(now.c.customer_id.is_(None), hot),
        )
        .select_from(then.outerjoin(now, of_both))
        .where(_of(then, before))
    )
