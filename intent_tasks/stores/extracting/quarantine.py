"""The quarantine: rows that break a rule, kept until a person decides about them.

A decision belongs to the digest of a row, so it holds whenever the day is extracted again. When the
source no longer holds the row, the row and the decision are deleted.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from intent_tasks.core.rules import BadRow
from intent_tasks.stores import postgres
from intent_tasks.tables import events, quarantine

MOST_CHARACTERS = 8000
"""Longer payloads are cut, so that one row cannot fill a disk."""

MOST_CHARACTERS_OF_A_KEY = 200

HELD, RELEASED, DROPPED = "held", "released", "dropped"

Correction = dict[str, Any]
"""Column of `shop.events` → the right value, as JSON."""

_DECISION = ("state", "correction", "decided_at", "decided_by", "reason")
_INSTANT = pa.timestamp("us", tz="UTC")


class Found(NamedTuple):
    """A row of the table `intent.quarantine`."""

    source: str
    row_number: int
    row_key: str | None
    rule: str
    payload: dict[str, Any]
    replayable: bool
    digest: str
    state: str
    correction: Correction | None
    found_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None


def arrivals_of(day: date) -> str:
    """Return the name of the source of rows that arrived in the warehouse on a day."""
    return f"{events.fullname} {day}"


def day_of(source: str) -> date | None:
    """Return the day of arrival that a source names; None: the source is a file."""
    name, _, day = source.rpartition(" ")
    try:
        return date.fromisoformat(day) if name == events.fullname else None
    except ValueError:  # a text that a person typed
        return None


def digest(payload: str) -> str:
    """Return the digest of a payload, which identifies the row."""
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def replace(connection: sa.Connection, source: str, rows: Sequence[BadRow]) -> None:
    """Replace the rows of one source, in the caller's transaction.

    The decision about a row stays as long as the source holds the row.
    """
    decided = _decided(connection, source)
    connection.execute(sa.delete(quarantine).where(quarantine.c.source == source))
    _insert(connection, source, rows, decided)


def add(connection: sa.Connection, source: str, rows: Sequence[BadRow]) -> None:
    """Add rows of a source, in the caller's transaction.

    The decision about a row of an earlier content of a file holds for an equal row of this one.
    """
    decided = _decided(connection, source) if rows else {}
    same = {name for row in rows if (name := digest(row.payload)) in decided}
    these = sa.and_(quarantine.c.source == source, quarantine.c.digest.in_(same))
    if same:
        connection.execute(sa.delete(quarantine).where(these, quarantine.c.row_number < 0))
    _insert(connection, source, rows, decided)


def keep_decided(connection: sa.Connection, source: str) -> None:
    """Delete the rows of a source without a decision, because row numbers will change.

    The rows that are kept get the numbers -1, -2 and so on.
    """
    kept = [*(quarantine.c[name] for name in quarantine.c.keys() if name != "row_number")]  # noqa: SIM118
    query = sa.select(*kept).where(quarantine.c.source == source, quarantine.c.state != HELD)
    rows = connection.execute(query.order_by(quarantine.c.row_number)).mappings().all()
    connection.execute(sa.delete(quarantine).where(quarantine.c.source == source))
    if rows:
        numbered = [{**row, "row_number": -n} for n, row in enumerate(rows, 1)]
        connection.execute(sa.insert(quarantine), numbered)


def _insert(
    connection: sa.Connection,
    source: str,
    rows: Sequence[BadRow],
    decided: dict[str, sa.Row[Any]],
) -> None:
    if rows:
        postgres.copy_in(connection, quarantine, _table(source, rows, decided))


def _decided(connection: sa.Connection, source: str) -> dict[str, sa.Row[Any]]:
    query = sa.select(quarantine.c.digest, *(quarantine.c[name] for name in _DECISION)).where(
        quarantine.c.source == source, quarantine.c.state != HELD
    )
    return {row.digest: row for row in connection.execute(query)}


def _table(source: str, rows: Sequence[BadRow], decided: dict[str, sa.Row[Any]]) -> pa.Table:
    digests = [digest(row.payload) for row in rows]
    stored = [_storable(row.payload) for row in rows]
    found = [decided.get(name) for name in digests]
    keys = [_text(row.key)[:MOST_CHARACTERS_OF_A_KEY] if row.key else row.key for row in rows]
    corrections = [json.dumps(row.correction) if row and row.correction else None for row in found]
    columns = {
        "source": [source] * len(rows),
        "row_key": keys,
        "customer_key": [row.customer_key for row in rows],
        "rule": [row.rule for row in rows],
        "payload": [payload for payload, _ in stored],
        "digest": digests,
        "state": [row.state if row else HELD for row in found],
        "correction": corrections,
        "decided_by": [row.decided_by if row else None for row in found],
        "reason": [row.reason if row else None for row in found],
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    more = {
        "row_number": pa.array([row.number for row in rows], pa.int32()),
        "replayable": pa.array([whole for _, whole in stored], pa.bool_()),
        "found_at": pa.array([datetime.now(UTC)] * len(rows), _INSTANT),
        "decided_at": pa.array([row.decided_at if row else None for row in found], _INSTANT),
    }
    for name, values in more.items():
        table = table.append_column(name, values)
    return table


def _storable(payload: str) -> tuple[str, bool]:
    """Return JSON that Postgres can store, and whether it is the whole row.

    Postgres stores neither NUL nor halves of characters; they are written as escaped text.
    """
    try:
        payload.encode()
        halves = "\\ud" in payload.lower()
    except UnicodeEncodeError:
        halves = True
    whole = json.dumps(_without_halves(json.loads(payload))) if halves else payload
    whole = whole.replace("\\u0000", "\\\\u0000")
    if len(whole) <= MOST_CHARACTERS:
        return whole, True
    cut = {"cut_after_characters": MOST_CHARACTERS, "begins": whole[:MOST_CHARACTERS]}
    return json.dumps(cut), False


def _without_halves(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_without_halves(part) for part in value]
    if isinstance(value, dict):
        return {_text(name): _without_halves(part) for name, part in value.items()}
    return value


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


# ── Decisions ─────────────────────────────────────────────────────────────────────────────────────


def released(connection: sa.Connection, days: Iterable[date]) -> dict[date, dict[str, Correction]]:
    """Return, for each day of arrival, digest → correction of the rows that were released."""
    sources = {arrivals_of(day): day for day in days}
    query = sa.select(quarantine.c.source, quarantine.c.digest, quarantine.c.correction).where(
        quarantine.c.source.in_(sources), quarantine.c.state == RELEASED
    )
    found: dict[date, dict[str, Correction]] = {day: {} for day in sources.values()}
    for source, name, correction in connection.execute(query):
        found[sources[source]][name] = correction or {}
    return found


def find(
    connection: sa.Connection,
    *,
    source: str | None = None,
    rule: str | None = None,
    state: str | None = None,
    row: str | None = None,
    most: int | None = None,
) -> list[Found]:
    """Return rows of the quarantine in the order of their sources.

    Args:
        connection: an open transaction.
        source: file, or `shop.events` and the day; None: all.
        rule: that they break.
        state: held, released or dropped.
        row: beginning of the digest.
        most: greatest number of rows.
    """
    query = sa.select(*(quarantine.c[name] for name in Found._fields)).order_by(
        quarantine.c.source, quarantine.c.row_number
    )
    for column, wanted in (("source", source), ("rule", rule), ("state", state)):
        if wanted is not None:
            query = query.where(quarantine.c[column] == wanted)
    if row is not None:
        query = query.where(quarantine.c.digest.startswith(row, autoescape=True))
    return [Found(*found) for found in connection.execute(query.limit(most))]


def count(connection: sa.Connection) -> list[tuple[str, str, str, int]]:
    """Count the rows by source, rule and state."""
    by = (quarantine.c.source, quarantine.c.rule, quarantine.c.state)
    query = sa.select(*by, sa.func.count()).group_by(*by).order_by(*by)
    return [tuple(row) for row in connection.execute(query)]


def decide(
    connection: sa.Connection,
    rows: Collection[Found],
    state: str,
    by: str,
    reason: str,
    correction: Correction | None = None,
) -> None:
    """Record a decision about rows, in the caller's transaction."""
    values = {
        "state": state,
        "correction": correction or sa.null(),
        "decided_at": datetime.now(UTC),
        "decided_by": by,
        "reason": reason,
    }
    _update(connection, rows, values)


def rename(connection: sa.Connection, rows: Collection[Found], rule: str) -> None:
    """Record that rows now break another rule, in the caller's transaction."""
    _update(connection, rows, {"rule": rule})


def _update(connection: sa.Connection, rows: Collection[Found], values: dict[str, Any]) -> None:
    digests: dict[str, list[str]] = {}
    for row in rows:
        digests.setdefault(row.source, []).append(row.digest)
    for source, names in digests.items():
        these = quarantine.c.digest == sa.any_(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))
        change = sa.update(quarantine).where(quarantine.c.source == source, these).values(values)
        connection.execute(change, {"names": names})
