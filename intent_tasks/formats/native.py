"""Our own format: a CSV with the columns of `shop.events`; those that may be null may be absent.

Times are ISO 8601 with a zone (`2026-06-30T12:00:00+02:00`), or UTC without one.
"""

import pandas as pd

from intent_tasks.tables import events

REQUIRED = tuple(column.name for column in events.columns if not column.nullable)
OPTIONAL = tuple(column.name for column in events.columns if column.nullable)

_TIMES = ("occurred_at", "ingested_at")
_NUMBERS = ("quantity", "price", "rating")


def convert(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines as events; what cannot be read as what it should be becomes null."""
    converted = {name: lines[name] for name in lines.columns}
    for name in set(_TIMES) & set(lines.columns):
        converted[name] = pd.to_datetime(lines[name], utc=True, format="ISO8601", errors="coerce")
    for name in set(_NUMBERS) & set(lines.columns):
        converted[name] = pd.to_numeric(lines[name], errors="coerce")
    return pd.DataFrame(converted)
