"""The profile of a day's predictions, with comparisons to those of the last day."""

from datetime import date, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations import predictions
from expectations.catalogue import COMPARISON_MEANINGS
from expectations.measures import share
from expectations.thresholds import Thresholds
from intent_tasks.definition import MAIN_HORIZON_DAYS
from intent_tasks.stores.contracts.profile import Profile, profile_rows

Receipt = dict[str, Any]

Numbers = dict[str, float | None]

MOST_DAYS_BEFORE = 7
"""Predictions that are older than this are not compared with."""

TABLE = predictions.TABLE


class Pinned(NamedTuple):
    """The version that is pinned for a day.

    Args:
        model_version: of the champion.
        base_rate: of the main horizon in its training data.
    """

    model_version: int
    base_rate: float

    @classmethod
    def of(cls, receipt: Receipt) -> "Pinned":
        """Return the version of a receipt of the step `pin`."""
        return cls(receipt["model_version"], receipt["base_rates"][str(MAIN_HORIZON_DAYS)])


def profile_predictions(
    connection: sa.Connection, limits: Thresholds, day: date, pinned: Pinned, scored: int
) -> Profile:
    """Return the profile of the predictions of a day, in the transaction that writes them.

    Args:
        connection: of the pipeline.
        limits: bounds and reference.
        day: shop day.
        pinned: for the day.
        scored: customers who were scored. Customers who were erased or have withdrawn consent since
            then have no row, and that must not stop the publication.
    """
    rows = predictions.relation(day, day)
    profile = profile_rows(connection, "predictions", predictions.RULES, rows, {}, limits)
    if "rows" in profile.bounds:
        profile.numbers["rows"] = float(scored)
    for name, number in compare(connection, day, pinned, scored).items():
        if profile.row_count and number is not None and name in limits.rules:
            profile.numbers[name], profile.bounds[name] = number, limits.rules[name]
            profile.meanings[name] = COMPARISON_MEANINGS[name]
    return profile


def compare(connection: sa.Connection, day: date, pinned: Pinned, scored: int) -> Numbers:
    """Return the numbers of `predictions.COMPARISONS`; None: there is nothing to compare with."""
    last_day = _last_day(connection, day)
    mean, other = connection.execute(_select_day(day, pinned.model_version)).one()
    numbers: Numbers = {
        "mean_of_base_rate": _ratio(mean, pinned.base_rate),
        "other_version": other,
        "rows_of_last_day": None,
        "agreement_with_last_day": None,
        "same_as_last_day": None,
        "hot_lost": None,
    }
    if last_day is None:
        return numbers
    rows, agreement, same, lost = connection.execute(_select_both(day, last_day)).one()
    return numbers | {
        "rows_of_last_day": _ratio(scored, rows),
        "agreement_with_last_day": agreement,
        "same_as_last_day": same,
        "hot_lost": lost,
    }


def _ratio(number: float | None, usual: float) -> float | None:
    return None if number is None or not usual else number / usual


def _is_champion(table: sa.FromClause, day: date) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.as_of_date == day, table.c.role == "champion")


def _last_day(connection: sa.Connection, day: date) -> date | None:
    query = sa.select(sa.func.max(TABLE.c.as_of_date)).where(
        TABLE.c.role == "champion",
        TABLE.c.as_of_date < day,
        TABLE.c.as_of_date >= day - timedelta(days=MOST_DAYS_BEFORE),
    )
    last_day: date | None = connection.scalar(query)
    return last_day


def _select_day(day: date, model_version: int) -> sa.Select[Any]:
    mean = sa.cast(sa.func.avg(TABLE.c[predictions.MAIN]), sa.Double)
    other = sa.func.count().filter(TABLE.c.model_version != model_version)
    return sa.select(
        mean, sa.cast(other, sa.Double) / sa.cast(sa.func.nullif(sa.func.count(), 0), sa.Double)
    ).where(_is_champion(TABLE, day))


def _select_both(day: date, last_day: date) -> sa.Select[Any]:
    """Count the rows of the last day, and compare the predictions of customers of both days."""
    then, now = TABLE.alias("then"), TABLE.alias("now")
    was, is_now = then.c[predictions.MAIN], now.c[predictions.MAIN]
    same_customer = sa.and_(now.c.customer_id == then.c.customer_id, _is_champion(now, day))
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
        .select_from(then.outerjoin(now, same_customer))
        .where(_is_champion(then, last_day))
    )
