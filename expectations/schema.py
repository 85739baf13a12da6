"""The types that the shop's columns may have, and how each is converted.

A type is accepted if it holds the values of the contract without loss: numbers and UUIDs as ids,
domains over known types, enums, `citext`, `char(n)` without padding, `money`. For any other type
`intent check-source`, the extract and the contract give the same message.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

Type = sa.types.TypeEngine[Any]
Types = Mapping[str, Type]
"""Column → its type in the shop."""

KINDS: dict[type[Type], str] = {
    sa.Boolean: "boolean",
    sa.Integer: "whole number",
    sa.Numeric: "number",
    sa.Float: "number",
    postgresql.MONEY: "number",
    sa.Date: "date",
    sa.ARRAY: "array",
    sa.String: "text",
    sa.Uuid: "text",
}
"""Type → its kind; types of one kind differ only in size or name."""

MAY_BE = {
    "text": ("text", "whole number", "number"),
    "number": ("number", "whole number"),
    "whole number": ("whole number", "number"),
}
"""Kind of the contract → kinds that are accepted without fitted thresholds."""

WANTED = {
    "text": "text",
    "number": "a number",
    "whole number": "a number",
    "time with zone": "timestamp with time zone",
    "array": "an array of numbers",
}
"""Kind → its name in a message, if that is another."""

_INTEGER = (-(2**31), 2**31 - 1)
_NUMBER = (-1e300, 1e300)
_GREATEST = sys.float_info.max
_MOST_DIGITS = 300
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


class Finding(NamedTuple):
    """The state of one column: whether it can be used, and its kind or what is wrong."""

    fine: bool
    found: str


def types(connection: sa.Connection, table: sa.Table) -> dict[str, Type] | None:
    """Return column → type of a table of the shop; None: there is no such table."""
    options = connection.get_execution_options().get("schema_translate_map") or {}
    name = options.get(table.schema, table.schema)
    with warnings.catch_warnings():
        # A type that SQLAlchemy does not know is refused later, like any other.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        try:
            found = sa.inspect(connection).get_columns(table.name, schema=name)
        except sa.exc.NoSuchTableError:
            return None
    return {column["name"]: column["type"] for column in found}


def plain(found: Type) -> Type:
    """Return the type under a domain; any other type unchanged."""
    while isinstance(found, postgresql.DOMAIN):
        found = found.data_type
    return found


def kind(column_type: Type) -> str:
    """Return the kind of a type; times with and without a zone are different kinds."""
    column_type = plain(column_type)
    if isinstance(column_type, sa.DateTime):
        return "time with zone" if column_type.timezone else "time without zone"
    return next((k for t, k in KINDS.items() if isinstance(column_type, t)), _named(column_type))


def _named(found: Type) -> str:
    if isinstance(found, sa.types.NullType):
        return "of another type"
    return str(found).lower()


# ── Judging ───────────────────────────────────────────────────────────────────────────────────────


def problem(column: sa.Column[Any], found: Type) -> str:
    """Return why a column of the shop cannot be read, and how to mend it; empty: it can."""
    meant, there = kind(column.type), kind(found)
    if there in MAY_BE.get(meant, (meant,)) and _holds(column.type, plain(found)):
        return ""
    return (
        f"{column.table}.{column.name} is {_name(found)} and must be "
        f"{WANTED.get(meant, meant)}: {_mend(column, meant, there)}."
    )


def _holds(wanted: Type, found: Type) -> bool:
    if not isinstance(wanted, sa.ARRAY):
        return True
    return isinstance(found, sa.ARRAY) and kind(found.item_type) in MAY_BE["number"]


def _name(found: Type) -> str:
    if isinstance(found, sa.types.NullType):
        return "of a type that is not known"
    return str(found)


_MENDS = {
    ("time with zone", "time without zone"): "say in a view in which zone it is, such as "
    "{0} AT TIME ZONE 'Europe/Stockholm'",
    ("time with zone", "date"): "say in a view when that day begins, such as "
    "{0}::timestamp AT TIME ZONE 'Europe/Stockholm'",
    ("boolean", "whole number"): "say in a view what counts as yes, such as {0} = 1",
    ("boolean", "text"): "say in a view what counts as yes, such as {0} = 'yes'",
    ("text", "array"): "join it in a view, such as array_to_string({0}, '.')",
    ("text", "json"): "take one text out of it in a view, such as {0} ->> 'en'",
    ("text", "jsonb"): "take one text out of it in a view, such as {0} ->> 'en'",
    ("text", "bytea"): "write it as text in a view, such as encode({0}, 'hex')",
}
"""(Kind of the contract, kind in the shop) → conversion in a view; otherwise a cast."""


def _mend(column: sa.Column[Any], meant: str, found: str) -> str:
    if found == "text" and meant in _CASTS:
        wanted = _CASTS[meant]
        return (
            f"cast it in a view, such as {column.name}::{wanted}; where it is always null, "
            f"NULL::{wanted}"
        )
    return _MENDS.get((meant, found), "cast it in a view").format(column.name)


_CASTS = {
    "number": "double precision",
    "whole number": "integer",
    "time with zone": "timestamptz",
}
"""Kind of the contract → type that a text is cast to; a NULL without a type is a text."""


def findings(table: sa.Table, found: Types, fitted: Mapping[str, str]) -> dict[str, Finding]:
    """Return the state of each column of the contract; other columns do not matter.

    Args:
        table: of the contract.
        found: column → type in the shop.
        fitted: column → kind when the thresholds were fitted.
    """
    added = sorted(found.keys() - {c.name for c in table.columns})
    return {c.name: _finding(c, found, fitted, added) for c in table.columns}


def _finding(
    column: sa.Column[Any], found: Types, fitted: Mapping[str, str], added: list[str]
) -> Finding:
    meant = kind(column.type)
    allowed = (fitted[column.name],) if column.name in fitted else MAY_BE.get(meant, (meant,))
    if column.name not in found:
        renamed = f"; not in the contract: {', '.join(added)}" if added else ""
        needed = not column.nullable or column.name in fitted
        return Finding(not needed, f"missing{renamed}")
    now, wrong = kind(found[column.name]), problem(column, found[column.name])
    if now in allowed and not wrong:
        return Finding(True, now)
    change = f"{now}, was {' or '.join(allowed)}"
    return Finding(False, f"{change}; {wrong}" if wrong else change)


# ── Reading ───────────────────────────────────────────────────────────────────────────────────────


def read_as(column: sa.Column[Any], found: Type) -> sa.Label[Any]:
    """Return a column as the type of the contract; a null stays null.

    A number that does not fit the type of the contract, also NaN and infinity, becomes null; see
    `unreadable`. A time outside the years 1 to 9999 becomes the first or last instant of them.
    """
    value: Any = column
    for wanted, reader in _READERS:
        if isinstance(column.type, wanted):
            value = reader(column, plain(found))
    if column.name in _STANDS_FOR_NONE:
        value = sa.func.nullif(value, _STANDS_FOR_NONE[column.name])
    return sa.cast(value, column.type).label(column.name)


def unreadable(column: sa.Column[Any], found: Type) -> sa.ColumnElement[bool] | None:
    """Return whether `read_as` makes a value null; None: never for this column."""
    holds = None
    for wanted, condition in ((sa.Integer, _holds_integer), (sa.Double, _holds_number)):
        if isinstance(column.type, wanted):
            holds = condition(column, plain(found))
    if column.name in _STANDS_FOR_NONE:
        is_given = _exact(column, plain(found)) != _STANDS_FOR_NONE[column.name]
        holds = is_given if holds is None else sa.and_(holds, is_given)
    return None if holds is None else sa.not_(sa.func.coalesce(holds, column.is_(None)))


_STANDS_FOR_NONE = {"rating": 0}
"""Column → the number that shops write where there is no value."""


def _as_text(column: sa.Column[Any], found: Type) -> sa.ColumnElement[Any]:
    """Return a text that is the same for the same number of any type: 7.00 is 7."""
    if isinstance(found, sa.Float):
        nan = sa.cast(sa.literal("NaN"), sa.Double)
        exact = sa.cast(sa.func.nullif(column, nan), sa.Text)
        return sa.func.trim_scale(sa.cast(exact, sa.Numeric))
    if kind(found) == "number":
        return sa.func.trim_scale(_exact(column, found))
    return column


def _exact(column: sa.Column[Any], found: Type) -> sa.ColumnElement[Any]:
    return sa.cast(column, sa.Numeric) if isinstance(found, postgresql.MONEY) else column


def _as_number(column: sa.Column[Any], found: Type) -> sa.ColumnElement[Any]:
    holds = _holds_number(column, found)
    value = _exact(column, found)
    return value if holds is None else sa.case((holds, value))


def _as_integer(column: sa.Column[Any], found: Type) -> sa.ColumnElement[Any]:
    holds = _holds_integer(column, found)
    return column if holds is None else sa.case((holds, _exact(column, found)))


def _holds_number(column: sa.Column[Any], found: Type) -> sa.ColumnElement[bool] | None:
    # PostgreSQL orders NaN after all numbers.
    if isinstance(found, sa.Float):
        return column.between(-_GREATEST, _GREATEST)
    if not isinstance(found, sa.Numeric):
        return None
    return sa.and_(column.between(*_NUMBER), sa.func.scale(column) < _MOST_DIGITS)


def _holds_integer(column: sa.Column[Any], found: Type) -> sa.ColumnElement[bool] | None:
    if kind(found) == "number" or isinstance(found, sa.BigInteger):
        return _exact(column, found).between(*_INTEGER)
    return None


def _as_instant(column: sa.Column[Any], _: Type) -> sa.ColumnElement[Any]:
    if column.nullable:
        return column
    held = sa.func.least(
        sa.func.greatest(column, sa.literal(_FIRST, column.type)), sa.literal(_LAST, column.type)
    )
    return sa.case((column.is_not(None), held))


_READERS: tuple[tuple[type[Type], Callable[..., sa.ColumnElement[Any]]], ...] = (
    (sa.Text, _as_text),
    (sa.Double, _as_number),
    (sa.Integer, _as_integer),
    (sa.DateTime, _as_instant),
)
"""Type of the contract → conversion of other types, before the cast."""
