"""How the shop's events are read: which columns there are, and when a row arrived."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.tables import events


def columns(connection: sa.Connection) -> list[str]:
    """Return the columns that `shop.events` has; the optional ones may be absent.

    Raises:
        Refused: there is no such table, or the role may not see it.
    """
    try:
        found = sa.inspect(connection).get_columns(events.name, schema=events.schema)
    except sa.exc.NoSuchTableError:
        raise Refused(
            f"There is no table or view {events.fullname}. Make one with the columns in "
            "docs/tables.md, and let the role intent_extract read it."
        ) from None
    return [column["name"] for column in found]


def arrived_at(available: Collection[str]) -> sa.ColumnElement[Any]:
    """Return when a row reached the warehouse; where that is not recorded, when it happened."""
    if "ingested_at" not in available:
        return events.c.occurred_at
    return sa.func.coalesce(events.c.ingested_at, events.c.occurred_at)


def arrivals(available: Collection[str], start: datetime, end: datetime) -> sa.Select[Any]:
    """Select the events that arrived from `start` up to, not including, `end`."""
    known = [column for column in events.columns if column.name in available]
    arrived = arrived_at(available)
    return sa.select(*known).where(arrived >= start, arrived < end)
