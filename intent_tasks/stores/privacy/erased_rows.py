"""Delete customers from the tables of schema `intent`, and of a shop that this system filled."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from intent_tasks.definition import ALL_BUCKETS
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger, postgres, snapshots
from intent_tasks.stores.extracting import source
from intent_tasks.stores.extracting.quarantine import RELEASED
from intent_tasks.stores.privacy import personal_data
from intent_tasks.tables import events, predictions, quarantine, runs

People = dict[str, str]
"""customer_key → customer_id."""

Removed = Counter[tuple[str, str]]
"""(place, customer_key) → rows that were removed."""


def are(table: sa.Table, people: People) -> sa.ColumnElement[bool]:
    """Return whether a row is of the customers, by customer_key if the table has it, else by id."""
    if "customer_key" in table.c:
        return table.c.customer_key.in_(list(people))
    return table.c.customer_id.in_(list(people.values()))


def clear_intent(settings: Settings, people: People) -> Removed:
    """Delete from the tables of schema `intent` in one transaction, the pair of id and key last."""
    removed: Removed = Counter()
    with postgres.changing(settings.pipeline_url, "erase") as connection:
        for place in personal_data.TABLES:
            clear = _clear_quarantine if place.table is quarantine else _clear_table
            counts = clear(connection, place.table, people)
            removed += Counter({(place.table.fullname, key): n for key, n in counts.items()})
        _settle_copies(connection)
    return removed


def _settle_copies(connection: sa.Connection) -> None:
    """Take copies that were deleted from the shop off the count of copies.

    No other place counts a copy as erased, so `clear_shop` has taken off too many erased rows.
    """
    erased = runs.c.receipt["rows_erased"].as_integer()
    query = sa.select(runs.c.step, runs.c.as_of_date, erased)
    for step, day, count in connection.execute(query.where(runs.c.step.in_(ARRIVALS), erased < 0)):
        restate(connection, (step,), day, {"rows_erased": -count, "rows_repeated": count})


def _clear_table(connection: sa.Connection, table: sa.Table, people: People) -> Counter[str]:
    keys = {customer_id: key for key, customer_id in people.items()}
    day = table.c.as_of_date if table is predictions else sa.null()
    query = sa.delete(table).where(are(table, people)).returning(table.c.customer_id, day)
    rows = connection.execute(query).all()
    published = Counter(row[1] for row in rows if row[1] is not None)
    for on, count in published.items():
        restate(connection, ("publish",), on, {"rows": -count, "erased": count})
    return Counter(keys[row.customer_id] for row in rows)


def _clear_quarantine(connection: sa.Connection, table: sa.Table, people: People) -> Counter[str]:
    """Delete the rows of the quarantine that name a customer in any field."""
    counts: Counter[str] = Counter()
    keys = {customer_id: key for key, customer_id in people.items()}
    query = sa.select(table)
    for row in connection.execute(query).all():
        contents = [row.payload, row.correction or {}]
        named = {row.customer_key} & people.keys() or {
            keys[name] for part in contents for name in _named(part, keys)
        }
        if not named:
            continue
        counts[min(named)] += 1
        same = (table.c.source == row.source) & (table.c.row_number == row.row_number)
        connection.execute(sa.delete(table).where(same))
        prefix = f"{events.fullname} "
        # A released row is in the snapshot, so `clear_snapshots` counts it.
        if row.source.startswith(prefix) and row.state != RELEASED:
            day = date.fromisoformat(row.source.removeprefix(prefix))
            restate(connection, ARRIVALS, day, {"rows_quarantined": -1, "rows_erased": 1})
    return counts


def _named(payload: object, ids: Collection[str]) -> set[str]:
    """Return the ids that are a value of a payload, or are quoted in one that was cut."""
    values = set(leaves(payload))
    cut = str(payload.get("begins", "")) if isinstance(payload, dict) else ""
    quoted = {name for name in ids if json.dumps(name) in cut} if cut else set()
    return quoted | {name for name in values if name in ids}


def leaves(value: object) -> Iterator[str]:
    """Yield every value of a payload, as text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif value is not None:
        yield str(value)


def clear_shop(settings: Settings, people: People) -> Removed:
    """Delete from the tables of the shop, if this installation filled them."""
    removed: Removed = Counter()
    if settings.shop_owner_url is None:
        return removed
    keys = {customer_id: key for key, customer_id in people.items()}
    arrived: Counter[date] = Counter()
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        for table in personal_data.OWNED_SHOP_TABLES:
            if not sa.inspect(connection).has_table(table.name, table.schema):
                continue
            with_time = table is events
            when = source.arrived_at(source.columns(connection)) if with_time else sa.null()
            query = sa.delete(table).where(are(table, people)).returning(table.c.customer_id, when)
            for customer_id, at in connection.execute(query):
                removed[table.fullname, keys[customer_id]] += 1
                if at is not None:
                    arrived[at.astimezone(ZoneInfo(settings.time_zone)).date()] += 1
    with postgres.changing(settings.pipeline_url, "erase") as connection:
        for day, rows in sorted(arrived.items()):
            ledger.lock(connection, snapshots.STEP, day)
            changes = {"rows_in_warehouse": -rows, "rows_erased": -rows}
            restate(connection, ARRIVALS, day, changes, forgotten=("content",))
    return removed


ARRIVALS = (snapshots.STEP, "extract")
"""Steps whose receipts count the rows that arrived on a day."""


def restate(
    connection: sa.Connection,
    steps: tuple[str, ...],
    day: date,
    changes: Mapping[str, int],
    bucket: int = ALL_BUCKETS,
    digests: tuple[str, str] | None = None,
    forgotten: tuple[str, ...] = (),
) -> None:
    """Change counts in receipts of the ledger, so that they still agree with the data.

    Args:
        connection: an open transaction, which holds the lock of the day.
        steps: whose receipts are changed, where they exist.
        day: shop day of the receipts.
        changes: count → the number that is added to it.
        bucket: bucket of the receipts.
        digests: of the file before and after. A receipt with another digest stays unchanged: a
            killed run wrote the file, and the next run repairs it.
        forgotten: keys that are set to null.
    """
    for step in steps:
        receipt = ledger.read_receipt(connection, step, day, bucket)
        if receipt is None or (digests and receipt["digest"] != digests[0]):
            continue
        new = {name: receipt.get(name, 0) + change for name, change in changes.items()}
        if digests:
            new["digest"] = digests[1]
        new |= dict.fromkeys(forgotten)
        ledger.amend(connection, step, day, receipt | new, bucket)
