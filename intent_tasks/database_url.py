"""URLs of databases, read without SQLAlchemy where they have the usual form.

SQLAlchemy takes longer to import than a short command runs. It still reads every other form.
"""

import re
from typing import Any
from urllib.parse import unquote

_USUAL_FORM = re.compile(
    r"postgres(?:ql)?(?:\+psycopg2)?://(?P<user>\w+):(?P<password>[\w.~%+=-]+)@"
    r"(?P<host>[\w.-]+):(?P<port>\d{1,5})/(?P<dbname>\w+)",
    re.ASCII,
)


def is_of_postgres(text: str) -> bool:
    """Return True if a text is the URL of a Postgres database."""
    if _USUAL_FORM.fullmatch(text):
        return True
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(text)
    except (ArgumentError, ValueError):
        return False
    after_role = text.partition("://")[2].partition(":")[2]
    if after_role.count("@") > 1:  # what follows the first would be taken for the host
        return False
    return address.drivername.split("+")[0] in ("postgresql", "postgres")


def usual_arguments(text: str) -> dict[str, Any] | None:
    """Return the arguments with which psycopg2 connects to a URL of the usual form, else None."""
    match = _USUAL_FORM.fullmatch(text)
    if match is None:
        return None
    return {
        **match.groupdict(),
        "password": unquote(match["password"]),
        "port": int(match["port"]),
    }
