"""Which rows of events cannot be used, and why: one list for files and for the warehouse."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.definition import EVENT_TYPES

REQUIRED = ("event_id", "customer_id", "event_type", "occurred_at")
"""Columns without which an event says nothing."""

RANGES = {"price": (0, 1e12), "quantity": (0, 1_000_000), "rating": (1, 5)}
"""Smallest and largest value of a column that may be null."""

MOST_EARLY_SECONDS = 86_400
"""An event that happened more than a day after it arrived comes from a clock that is wrong."""

OK = ""
"""The rule that a usable row breaks."""


class BadRow(NamedTuple):
    """One row that cannot be used.

    Args:
        number: line of the file, or place in the day.
        rule: what is wrong with it.
        payload: the row as JSON.
        key: event_id, as far as it has one.
    """

    number: int
    rule: str
    payload: str
    key: str | None = None


def broken_rules(events: pa.Table) -> pa.Array:
    """Return the name of the first rule that each row breaks, shape (n,); empty for a good row.

    Args:
        events: columns of `shop.events`; those that are absent count as null.
    """
    broken = pa.array([OK] * events.num_rows, pa.string())
    for rule, bad in _rules(events):
        bad = pc.and_(pc.fill_null(bad, False), pc.equal(broken, OK))
        broken = pc.if_else(bad, rule, broken)
    return broken


def _rules(events: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    for name in REQUIRED:
        empty = pc.is_null(_column(events, name))
        if name != "occurred_at":
            empty = pc.or_(empty, pc.equal(pc.utf8_length(_filled(events, name)), 0))
        yield f"{name} is missing", empty
    known = pc.is_in(_column(events, "event_type"), value_set=pa.array(EVENT_TYPES))
    yield "event_type is unknown", pc.invert(known)
    for name, (lowest, highest) in RANGES.items():
        if name in events.column_names:
            values = _column(events, name)
            yield f"{name} is below {lowest}", pc.less(values, lowest)
            yield f"{name} is above {highest:g}", pc.greater(values, highest)
    if "price" in events.column_names:
        yield "price is not finite", pc.invert(pc.is_finite(_column(events, "price")))
    if "ingested_at" in events.column_names:
        early = pc.seconds_between(_column(events, "ingested_at"), _column(events, "occurred_at"))
        yield "occurred_at is after ingested_at", pc.greater(early, MOST_EARLY_SECONDS)
    for name in events.column_names:
        if pa.types.is_string(events[name].type):
            # Postgres stores no such character; everything after it would be lost elsewhere.
            yield f"{name} holds a NUL", pc.match_substring(_column(events, name), "\0")
    yield "event_id comes twice", _again(events)


def _column(events: pa.Table, name: str) -> pa.Array:
    return events[name].combine_chunks()


def _filled(events: pa.Table, name: str) -> pa.Array:
    return pc.fill_null(_column(events, name), "")


def _again(events: pa.Table) -> pa.Array:
    """Tell which rows repeat the event_id of an earlier row."""
    ids = _column(events, "event_id")
    first = pc.index_in(ids, value_set=ids.unique())
    numbers = pa.array(range(len(ids)), pa.int64())
    earliest = (
        pa.table({"id": first, "number": numbers}).group_by("id").aggregate([("number", "min")])
    )
    return pc.invert(pc.is_in(numbers, value_set=earliest["number_min"].combine_chunks()))
