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
    return address.drivername.split("+")[0] in ("postgresql", "postgres")


def driver_arguments(text: str) -> dict[str, Any]:
    """Return the arguments with which psycopg2 connects to the database of a URL.

    Raises:
        ArgumentError, ValueError: of SQLAlchemy; the text is not a URL.
    """
    if match := _USUAL_FORM.fullmatch(text):
        password = unquote(match["password"])
        return {**match.groupdict(), "password": password, "port": int(match["port"])}
    from sqlalchemy import make_url
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    dialect: Any = PGDialect_psycopg2
    _, arguments = dialect().create_connect_args(make_url(text))
    return dict(arguments)
