"""Check for shop days that were never predicted."""

from datetime import date

from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger
from intent_tasks.stores.missing_days import describe_missing, missing_days


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check that every day is published, from the first published one up to a day.

    Raises:
        Refused: days are missing; the message gives them and the commands that predict them.
    """
    missing = missing_days(settings, as_of_date)
    if missing:
        raise Refused(describe_missing(settings, missing))
    receipt = {"as_of_date": str(as_of_date), "missing_days": 0}
    return ledger.finish_step(settings, "watch", as_of_date, receipt)
