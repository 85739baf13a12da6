"""Which rows of events cannot be used, and why: one list for files and for the warehouse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.definition import EVENT_TYPES

REQUIRED = ("event_id", "customer_id", "event_type", "occurred_at")
"""Columns without which an event says nothing."""

RANGES = {"price": (0, 1e12), "quantity": (0, 1_000_000), "rating": (1, 5)}
"""Smallest and largest value of a column that may be null."""

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""An event before the first or after the last of these years comes from a clock never set."""

MOST_EARLY_SECONDS = 86_400
"""An event that happened more than a day after it arrived comes from a clock that is wrong."""

MOST_CHARACTERS = {"query_text": 100_000, "review_text": 100_000}
MOST_CHARACTERS_OF_A_NAME = 1_000
"""Longest text of a column: what people write, and every other."""

OK = ""
"""The rule that a usable row breaks."""

AGAIN = "event_id comes twice"
"""The rule that the second of two rows with one event_id breaks."""

CHANGED = "event_id comes twice with other content"
"""The rule that it breaks in a file where it says something else than the first."""


class BadRow(NamedTuple):
    """One row that cannot be used.

    Args:
        number: line of the file, or place in the day.
        rule: what is wrong with it.
        payload: the row as JSON.
        key: event_id, as far as it has one.
        customer_key: keyed HMAC of its customer, as far as it names one.
    """

    number: int
    rule: str
    payload: str
    key: str | None = None
    customer_key: str | None = None


def broken_rules(
    events: pa.Table,
    repeats: bool = True,
    accepted: bool = False,
    now: datetime | None = None,
) -> pa.Array:
    """Return the name of the first rule that each row breaks, shape (n,); empty for a good row.

    Args:
        events: columns of `shop.events`; those that are absent count as null.
        repeats: also look for rows with the event_id of an earlier one.
        accepted: a person has looked at the rows: an odd value is as it is, and only what no
            snapshot can hold or nothing can be made of is broken.
        now: moment they arrive at, where they do not tell.
    """
    events, bad_texts = _readable(events)
    found = [*bad_texts, *_unusable(events)]
    if not accepted:
        found += _odd(events, now)
    if repeats:
        found.append((AGAIN, _again(events)))
    broken = pa.repeat(pa.scalar(OK, pa.string()), events.num_rows)
    for rule, bad in found:
        if pc.any(bad).as_py():
            bad = pc.and_(pc.fill_null(bad, False), pc.equal(broken, OK))
            broken = pc.if_else(bad, rule, broken)
    return broken


def _readable(events: pa.Table) -> tuple[pa.Table, list[tuple[str, pa.Array]]]:
    """Return the rows without texts that are no UTF-8, and which they were."""
    found = []
    for place, name in enumerate(events.column_names):
        column = _column(events, name)
        if not pa.types.is_string(column.type):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            bad = pa.array([_is_no_utf8(text) for text in column.cast(pa.binary()).to_pylist()])
            events = events.set_column(
                place, name, pc.if_else(bad, None, column.view(pa.binary())).cast(pa.string())
            )
            found.append((f"{name} is not UTF-8", bad))
    return events, found


def _is_no_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


def _unusable(events: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Yield the rules that nobody can waive: without them there is no event, or no place for it."""
    for name in REQUIRED:
        empty = pc.is_null(_column(events, name))
        if name != "occurred_at":
            empty = pc.or_(empty, pc.equal(pc.utf8_length(_filled(events, name)), 0))
        yield f"{name} is missing", empty
    known = pc.is_in(_column(events, "event_type"), value_set=pa.array(EVENT_TYPES))
    yield "event_type is unknown", pc.invert(known)
    yield from _outside(events, "rating")
    if "price" in events.column_names:
        yield "price is not finite", pc.invert(pc.is_finite(_column(events, "price")))
    for name in _texts(events):
        # Postgres stores no such character; everything after it would be lost elsewhere.
        yield f"{name} holds a NUL", pc.match_substring(_column(events, name), "\0")


def _odd(events: pa.Table, now: datetime | None) -> Iterator[tuple[str, pa.Array]]:
    """Yield the rules about values that are hardly true, but that a person may accept."""
    yield from _outside(events, "price")
    yield from _outside(events, "quantity")
    occurred = _column(events, "occurred_at")
    yield f"occurred_at is before {FIRST_YEAR}", pc.less(occurred, _start_of(FIRST_YEAR))
    after = pc.greater_equal(occurred, _start_of(LAST_YEAR + 1))
    yield f"occurred_at is after {LAST_YEAR}", after
    if now is not None:
        latest = pa.scalar(now + timedelta(seconds=MOST_EARLY_SECONDS), occurred.type)
        yield "occurred_at is in the future", pc.greater(occurred, latest)
    if "ingested_at" in events.column_names:
        early = pc.seconds_between(_column(events, "ingested_at"), occurred)
        yield "occurred_at is after ingested_at", pc.greater(early, MOST_EARLY_SECONDS)
    for name in _texts(events):
        most = MOST_CHARACTERS.get(name, MOST_CHARACTERS_OF_A_NAME)
        long = pc.greater(pc.utf8_length(_column(events, name)), most)
        yield f"{name} is longer than {most} characters", long


def _outside(events: pa.Table, name: str) -> Iterator[tuple[str, pa.Array]]:
    lowest, highest = RANGES[name]
    if name in events.column_names:
        values = _column(events, name)
        yield f"{name} is below {lowest}", pc.less(values, lowest)
        yield f"{name} is above {highest:g}", pc.greater(values, highest)


def _start_of(year: int) -> pa.Scalar:
    return pa.scalar(datetime(year, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))


def _texts(events: pa.Table) -> list[str]:
    return [name for name in events.column_names if pa.types.is_string(events[name].type)]


def _column(events: pa.Table, name: str) -> pa.Array:
    return events[name].combine_chunks()


def _filled(events: pa.Table, name: str) -> pa.Array:
    return pc.fill_null(_column(events, name), "")


def _again(events: pa.Table) -> pa.Array:
    """Tell which rows repeat the event_id of an earlier row."""
    ids = _column(events, "event_id").dictionary_encode("encode")
    # Codes count up as ids appear: one that is not above all before it was there already.
    codes = ids.indices.to_numpy()
    again = np.zeros(len(codes), bool)
    again[1:] = codes[1:] <= np.maximum.accumulate(codes)[:-1]
    return pa.array(again)
