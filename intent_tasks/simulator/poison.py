"""Unusable rows, one of each named kind."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

LONE_SURROGATE = b"broken \xed\xa0\x80 text"
"""Half a surrogate pair: invalid UTF-8, which a text column can still hold."""

CHANGES: dict[str, dict[str, Any]] = {
    "null_event_id": {"event_id": None},
    "null_customer_id": {"customer_id": None},
    "null_event_type": {"event_type": None},
    "null_occurred_at": {"occurred_at": None},
    "empty_customer_id": {"customer_id": ""},
    "unknown_type": {"event_type": "teleport"},
    "year_0001": {"occurred_at": datetime(1, 1, 1, tzinfo=UTC)},
    "year_9999": {"occurred_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)},
    "nan_price": {"price": float("nan")},
    "infinite_price": {"price": float("inf")},
    "negative_price": {"price": -1.0},
    "negative_quantity": {"quantity": -3},
    "greatest_quantity": {"quantity": 2**31 - 1},
    "rating_of_99": {"rating": 99},
    "nul_text": {"query_text": "before\0after"},
    "lone_surrogate": {"query_text": None},
    "ten_megabytes_of_text": {"review_text": "very " * 2_000_000},
    "sql_text": {"query_text": "'; DROP TABLE shop.events; --"},
    "template_text": {"query_text": "{{7*7}}"},
    "script_text": {"review_text": "<script>alert(1)</script>"},
    "formula_text": {"query_text": '=HYPERLINK("http://example.invalid")'},
    "right_to_left_text": {"query_text": "\u202egnp.exe"},
}
"""Kind → the columns that it changes in a good row."""

KINDS = (*CHANGES, "future_clock", "duplicate_id")

NOT_IN_POSTGRES = frozenset(
    {
        "null_event_id",
        "null_customer_id",
        "null_event_type",
        "null_occurred_at",
        "nul_text",
        "lone_surrogate",
    }
)
"""Kinds that a table `shop.events` cannot hold; only files contain them."""


def rows(events: pa.Table, for_postgres: bool) -> tuple[list[str], pa.Table]:
    """Return the kinds, and one row of each, derived from a good row.

    Args:
        events: at least one row, columns of `shop.events`.
        for_postgres: leave out kinds that Postgres cannot hold.
    """
    kinds = [kind for kind in KINDS if not (for_postgres and kind in NOT_IN_POSTGRES)]
    good = events.slice(0, 1).to_pylist()[0]
    changed = [_row(good, kind) for kind in kinds]
    table = pa.Table.from_pylist(changed, events.schema)
    if "lone_surrogate" in kinds:
        texts = [(row["query_text"] or "").encode() or None for row in changed]
        texts[kinds.index("lone_surrogate")] = LONE_SURROGATE
        column = pa.array(texts, pa.binary()).view(pa.string())
        table = table.set_column(events.schema.get_field_index("query_text"), "query_text", column)
    return kinds, table


def _row(good: dict[str, Any], kind: str) -> dict[str, Any]:
    row = good | {"event_id": f"poison-{kind}", "event_type": "view"} | CHANGES.get(kind, {})
    if kind == "future_clock":
        row["occurred_at"] = good["ingested_at"] + timedelta(days=400)
    if kind == "duplicate_id":
        row["event_id"] = good["event_id"]
    return row
