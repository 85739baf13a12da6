"""Whether a table still has the columns of the contract, each of a type that can be meant."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

KINDS: dict[type[sa.types.TypeEngine[Any]], str] = {
    sa.Boolean: "boolean",
    sa.Integer: "whole number",
    sa.Numeric: "number",
    sa.Float: "number",
    sa.Date: "date",
    sa.ARRAY: "array",
    sa.String: "text",
    sa.Uuid: "text",
    postgresql.DOMAIN: "text",
}
"""Types that differ in size or name only are of one kind."""

MAY_BE = {
    "text": ("text", "whole number"),
    "number": ("number", "whole number"),
    "whole number": ("whole number", "number"),
}
"""Kinds that a column of the contract may have where no thresholds were fitted."""


class Finding(NamedTuple):
    """What became of one column: whether it can be used, and what was found."""

    fine: bool
    found: str


def kind(column_type: sa.types.TypeEngine[Any]) -> str:
    """Return of which kind a type is; a time without a zone is another than one with it."""
    if isinstance(column_type, sa.DateTime):
        return "time with zone" if column_type.timezone else "time without zone"
    return next(
        (k for t, k in KINDS.items() if isinstance(column_type, t)), str(column_type).lower()
    )


def findings(
    table: sa.Table, found: Mapping[str, sa.types.TypeEngine[Any]], fitted: Mapping[str, str]
) -> dict[str, Finding]:
    """Return what became of each column of the contract; others that are found do not matter.

    Args:
        table: of the contract.
        found: type of each column there is.
        fitted: kind of each column that there was when the thresholds were fitted.
    """
    added = sorted(found.keys() - {c.name for c in table.columns})
    return {c.name: _finding(c, found, fitted, added) for c in table.columns}


def _finding(
    column: sa.Column[Any],
    found: Mapping[str, sa.types.TypeEngine[Any]],
    fitted: Mapping[str, str],
    added: list[str],
) -> Finding:
    meant = kind(column.type)
    allowed = (fitted[column.name],) if column.name in fitted else MAY_BE.get(meant, (meant,))
    if column.name not in found:
        renamed = f"; not in the contract: {', '.join(added)}" if added else ""
        needed = not column.nullable or column.name in fitted
        return Finding(not needed, f"missing{renamed}")
    now = kind(found[column.name])
    said = now if now in allowed else f"{now}, was {' or '.join(allowed)}"
    return Finding(now in allowed, said)
