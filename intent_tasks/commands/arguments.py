"""How arguments of several commands are read."""

from datetime import date, datetime

from intent_tasks.errors import BadInput


def day(text: str) -> date:
    """Return a shop day.

    Raises:
        BadInput: it is not written as YYYY-MM-DD.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise BadInput(f"{text!r} is not a day; write it as YYYY-MM-DD.") from None
