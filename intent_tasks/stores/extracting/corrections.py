"""Corrections with which a person releases a row: parsed, stored as JSON, applied to rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.stores.extracting.quarantine import Correction
from intent_tasks.tables import events


def parse(assignments: Sequence[str]) -> Correction:
    """Parse corrections such as `price=9.99`; an empty value is null.

    Raises:
        BadInput: a name is not a column of `shop.events`, or a value does not fit its type.
    """
    return dict(_assignment(text) for text in assignments)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if name == "ingested_at":
        raise BadInput("ingested_at says when a row arrived, which is past: it stays as it is.")
    if not equals or name not in events.c:
        raise BadInput(
            f"{text!r} corrects nothing: write COLUMN=VALUE with a column of {events.fullname}: "
            f"{', '.join(c.name for c in events.columns)}."
        )
    column = events.c[name]
    if value == "":
        if not column.nullable:
            raise BadInput(f"{name} may not be empty.")
        return name, None
    try:
        return name, _typed(column.type, value)
    except ValueError:
        raise BadInput(f"{name}={value!r}: that is no {_kind(column.type)}.") from None


def _typed(wanted: sa.types.TypeEngine[Any], value: str) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(wanted, sa.Integer):
        return int(value)
    if isinstance(wanted, sa.Float):
        return float(value)
    if isinstance(wanted, sa.DateTime):
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC).isoformat()
    if "\0" in value:
        raise ValueError
    return value


def _kind(wanted: sa.types.TypeEngine[Any]) -> str:
    if isinstance(wanted, sa.DateTime):
        return "time with its zone, such as 2026-06-30T12:00:00+00:00"
    return {int: "whole number", float: "number"}.get(wanted.python_type, "text")


def apply(rows: pa.Table, corrections: Sequence[Correction]) -> pa.Table:
    """Apply a correction to each row; columns that the shop does not have are not added."""
    corrected = [
        row | {name: _read(name, value) for name, value in correction.items()}
        for row, correction in zip(rows.to_pylist(), corrections, strict=True)
    ]
    return pa.Table.from_pylist(corrected, rows.schema)


def _read(name: str, value: Any) -> Any:  # noqa: ANN401 - what a column holds
    is_time = isinstance(events.c[name].type, sa.DateTime) and value is not None
    return datetime.fromisoformat(value) if is_time else value


def typed(correction: Correction) -> dict[str, Any]:
    """Return a correction with its times as datetime."""
    return {name: _read(name, value) for name, value in correction.items()}


def event(payload: Correction, correction: Correction) -> pa.Table:
    """Return the event of a payload with its correction: one row with the columns of the shop.

    Raises:
        BadInput: a value does not fit the type of its column.
    """
    values = payload | correction
    typed: dict[str, Any] = {}
    for field in SCHEMA:
        value = values.get(field.name)
        try:
            typed[field.name] = _value(field.name, value)
            pa.scalar(typed[field.name], field.type)
        except (ValueError, OverflowError, pa.ArrowInvalid):
            raise BadInput(
                f"{field.name} of the row is {str(value)[:100]!r}, which is no "
                f"{_kind(events.c[field.name].type)}. Correct it with --set {field.name}=VALUE."
            ) from None
    return pa.Table.from_pylist([typed], SCHEMA)


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - what a column holds
    wanted = events.c[name].type
    if value is None or isinstance(wanted, sa.Text):
        return None if value is None else str(value)
    return _read(name, _typed(wanted, str(value)))
