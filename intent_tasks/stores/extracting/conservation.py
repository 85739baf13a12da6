"""Check that every row and customer is accounted for, and find days with changed input.

The view `intent.conservation` computes the sums from the ledger and the tables.
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
    """Check in the caller's transaction that nothing of a day is lost.

    Raises:
        Refused: a sum does not agree; the message has both sides.
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
    """Return the days on which a sum does not agree, and the sum; day None: over all time."""
    query = sa.select(_view.c.as_of_date, _view.c.breach).where(_view.c.holds.is_(sa.false()))
    return [(day, breach) for day, breach in connection.execute(query.order_by(_view.c.as_of_date))]


def stale(connection: sa.Connection, settings: Settings) -> list[date]:
    """Return the published days whose history has a snapshot that was written after them."""
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
    """Return days as text; a run without a gap as its first to its last day."""
    parts: list[list[Any]] = []
    for day in days:
        if parts and day - parts[-1][1] == timedelta(days=1):
            parts[-1][1] = day
        else:
            parts.append([day, day])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in parts)
