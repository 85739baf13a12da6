"""Check that every row and customer of a day is accounted for.

The view `intent.conservation` computes the sums from the ledger and the tables.
"""

from datetime import date

import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.tables import INTENT

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
