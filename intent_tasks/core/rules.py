"""Which rows of events cannot be used, and why: one list for files and for the warehouse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.definition import EVENT_TYPES

REQUIRED = ("event_id", "customer_id", "event_type", "occurred_at")
"""Columns that an event must have."""

RANGES = {"price": (0, 1e12), "quantity": (0, 1_000_000), "rating": (1, 5)}
"""Smallest and largest value of a column that may be null."""

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""An event outside these years comes from a clock that was never set."""

MOST_EARLY_SECONDS = 86_400
"""An event that happened more than a day after it arrived comes from a wrong clock."""

MOST_CHARACTERS = {"query_text": 100_000, "review_text": 100_000}
MOST_CHARACTERS_OF_A_NAME = 1_000
"""Maximum length of a text: of what people write, and of all other columns."""

OK = ""
"""Rule of a usable row."""

DUPLICATE = "event_id comes twice"
"""Rule that the second of two rows with one event_id breaks."""

CHANGED_DUPLICATE = "event_id comes twice with other content"
"""Rule that it breaks in a file if its content differs from that of the first."""

IDENTITY = ("customer_id", "event_type", "product_id")
"""Two rows with one event_id are the same event, sent twice, if these columns are equal."""


def cannot_be_read(name: str) -> str:
    """Return the rule that an unreadable value of an optional column breaks; the value is null."""
    return f"{name} cannot be read"


class BadRow(NamedTuple):
    """One row that cannot be used.

    Args:
        number: line of the file, or position in the day.
        rule: the broken rule.
        payload: the row as JSON.
        key: event_id, if it has one.
        customer_key: keyed HMAC of its customer, if it names one.
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
    """Return the name of the first rule that each row breaks, shape (n,); OK for a good row.

    Args:
        events: columns of `shop.events`; absent columns count as null.
        repeats: also check for rows with the event_id of an earlier one.
        accepted: a person has accepted the rows: odd values are allowed, and only unusable rows
            break a rule.
        now: time of arrival, if the rows have no `ingested_at`.
    """
    events, bad_texts = _require_utf8(events)
    checks = [*bad_texts, *_unusable(events)]
    if not accepted:
        checks += _odd(events, now)
    if repeats:
        checks.append((DUPLICATE, _duplicates(events)))
    broken = pa.repeat(pa.scalar(OK, pa.string()), events.num_rows)
    for rule, bad in checks:
        if pc.any(bad).as_py():
            bad = pc.and_(pc.fill_null(bad, False), pc.equal(broken, OK))
            broken = pc.if_else(bad, rule, broken)
    return broken


def _require_utf8(events: pa.Table) -> tuple[pa.Table, list[tuple[str, pa.Array]]]:
    """Replace texts that are not UTF-8 by null; return the rows, and the rules with bad rows."""
    rules = []
    for position, name in enumerate(events.column_names):
        column = _column(events, name)
        if not pa.types.is_string(column.type):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            bad = pa.array([_is_no_utf8(text) for text in column.cast(pa.binary()).to_pylist()])
            events = events.set_column(
                position, name, pc.if_else(bad, None, column.view(pa.binary())).cast(pa.string())
            )
            rules.append((f"{name} is not UTF-8", bad))
    return events, rules


def _is_no_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


def _unusable(events: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Yield the rules about rows that cannot be stored or that are no event."""
    for name in REQUIRED:
        empty = pc.is_null(_column(events, name))
        if name != "occurred_at":
            empty = pc.or_(empty, pc.equal(pc.utf8_length(_filled(events, name)), 0))
        yield f"{name} is missing", empty
    is_known = pc.is_in(_column(events, "event_type"), value_set=pa.array(EVENT_TYPES))
    yield "event_type is unknown", pc.invert(is_known)
    yield from _outside(events, "rating")
    if "price" in events.column_names:
        yield "price is not finite", pc.invert(pc.is_finite(_column(events, "price")))
    for name in _texts(events):
        # Postgres cannot store this character; other programs would cut the text there.
        yield f"{name} holds a NUL", pc.match_substring(_column(events, name), "\0")


def _odd(events: pa.Table, now: datetime | None) -> Iterator[tuple[str, pa.Array]]:
    """Yield the rules about improbable values, which a person may accept."""
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


def _duplicates(events: pa.Table) -> pa.Array:
    """Return which rows have the event_id of an earlier row."""
    ids = _column(events, "event_id").dictionary_encode("encode")
    # Codes ascend by first appearance, so a code that is not a new maximum appeared before.
    codes = ids.indices.to_numpy()
    is_duplicate = np.zeros(len(codes), bool)
    is_duplicate[1:] = codes[1:] <= np.maximum.accumulate(codes)[:-1]
    return pa.array(is_duplicate)
