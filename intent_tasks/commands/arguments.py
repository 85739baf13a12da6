"""How arguments of several commands are read."""

from datetime import date, datetime

from intent_tasks.definition import KNOWN_DAYS
from intent_tasks.errors import BadInput


def day(text: str) -> date:
    """Return a shop day.

    Raises:
        BadInput: it is not written as YYYY-MM-DD, or no shop can have it.
    """
    try:
        found = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise BadInput(f"{text!r} is not a day; write it as YYYY-MM-DD.") from None
    first, last = KNOWN_DAYS
    if not first <= found <= last:
        raise BadInput(f"{found} is no shop day; write one from {first} to {last}.")
    return found
