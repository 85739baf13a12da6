"""Whether every row and every customer is accounted for, and which days were made from other rows.

The view `intent.conservation` does the sums, in SQL, from the ledger and the tables.
"""

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.tables import INTENT, SNAPSHOT_STEP, runs

_view = sa.table(
    "conservation",
    sa.column("as_of_date", sa.Date),
    *(sa.column(name) for name in ("holds", "breach")),
    schema=INTENT,
)


def check(connection: sa.Connection, as_of_date: date) -> None:
    """Make sure that nothing of a day is lost, as the caller's transaction sees it.

    Raises:
        Refused: the sums do not agree; with both sides of each that does not.
    """
    query = sa.select(_view.c.breach).where(
        _view.c.as_of_date == as_of_date, _view.c.holds.is_(sa.false())
    )
    if breach := connection.execute(query).scalar():
        raise Refused(
            f"Not everything of {as_of_date} is accounted for: {breach}. Nothing was published, "
            f"and the day before stays. Run the day again from extract; if it stays so, compare "
            f"intent.conservation with intent.runs."
        )


def breaches(connection: sa.Connection) -> list[tuple[date | None, str]]:
    """Return the days on which something is not accounted for, and what; None: over all time."""
    query = sa.select(_view.c.as_of_date, _view.c.breach).where(_view.c.holds.is_(sa.false()))
    return [(day, breach) for day, breach in connection.execute(query.order_by(_view.c.as_of_date))]


def stale(connection: sa.Connection, settings: Settings) -> list[date]:
    """Return the published days of whose history a snapshot was written anew after they were."""
    arrived, published = runs.alias("arrived"), runs.alias("published")
    reach = timedelta(days=settings.history_days - 1)
    first = sa.cast(published.c.as_of_date - sa.literal(reach, sa.Interval), sa.Date)
    query = (
        sa.select(published.c.as_of_date)
        .where(
            published.c.step == "publish",
            sa.exists().where(
                arrived.c.step == SNAPSHOT_STEP,
                arrived.c.as_of_date.between(first, published.c.as_of_date),
                arrived.c.finished_at > published.c.finished_at,
            ),
        )
        .order_by(published.c.as_of_date)
    )
    return list(connection.scalars(query))


def spans(days: list[date]) -> str:
    """Return days as a person writes them: runs without a gap as first to last."""
    parts: list[list[Any]] = []
    for day in days:
        if parts and day - parts[-1][1] == timedelta(days=1):
            parts[-1][1] = day
        else:
            parts.append([day, day])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in parts)
