"""Copy the events that arrived on some days from the warehouse to snapshots.

A snapshot counts only when the ledger knows its digest, so a run that was killed between writing
the file and committing copies the day again. Every day proves itself: the rows counted in the
warehouse are the rows in the snapshot, in quarantine and of erased customers, or nothing is kept.

A snapshot is a function of the warehouse, of the decisions about quarantined rows, and of who was
erased: a released row is copied like any other, so its day comes out as if the row had always been
right.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys, ledger, postgres, snapshots
from intent_tasks.stores.extracting import all_time, day_builder, snapshot_rows, source
from intent_tasks.stores.extracting.source import Arrived, Warehouse
from intent_tasks.stores.ledger import Receipt
from intent_tasks.stores.read_ahead import read_ahead

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 5_000_000
"""Days are read together up to so many rows: then they are safe, whatever happens to the next."""

FILES_AT_ONCE = 400
"""Open at a time: one per day and bucket."""


def complete_snapshots(
    settings: Settings, first: date, last: date, *, all_rows: bool = False
) -> tuple[list[date], list[date]]:
    """Write the missing snapshots of days of arrival, and those whose rows have changed since.

    Args:
        settings: of this installation.
        first: earliest day of arrival.
        last: latest one.
        all_rows: count every row of the warehouse, whenever it arrived: days that hold more than
            was copied are copied again, however late the rows came in, and what is in no snapshot
            is written down.

    Returns:
        The days written for the first time, and the days repaired: a transaction may commit late,
        and a row may be corrected, so the last `recount_days` are compared again.

    Raises:
        Refused: too many rows of a day cannot be used; all other days are written. Or days were
            cut by another time zone; nothing is written.
    """
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    identity_keys.check_key(settings)
    known = _known(settings, first, last)
    recent = {day for day in known if (last - day).days <= settings.recount_days}
    missing = {day for day in days if day not in known}
    refused: list[Refused] = []
    written: list[date] = []
    repaired: list[date] = []
    with source.warehouse(settings) as warehouse:
        found = warehouse.arrived(missing | recent)
        counted = _count(settings, warehouse, found) if all_rows else None
        wanted = missing | {
            day
            for day in known.keys() & found.keys()
            if _has_changed(found[day], known[day])
            and (day in recent or found[day].rows > known[day]["rows_in_warehouse"])
        }
        for portion in _portions(settings, sorted(wanted), found):
            rows = sum(found[day].rows for day in portion)
            log.info(
                "copying %s rows that arrived on %s to %s", f"{rows:,}", portion[0], portion[-1]
            )
            done, not_done = _copy(settings, warehouse, portion, found)
            refused += not_done
            for day in done:
                (written if day in missing else repaired).append(day)
    if counted:
        all_time.record(settings, last, counted, found)
    if refused:
        raise refused[0]
    return written, repaired


def _count(settings: Settings, warehouse: Warehouse, found: dict[date, Arrived]) -> all_time.Counts:
    """Count every row; where that is another number than was copied, look at each day as well.

    Args:
        settings: of this installation.
        warehouse: one view of it.
        found: what arrived on some days; the others are added where they are looked at.
    """
    copied = all_time.copied(settings)
    others = copied.keys() - found.keys()
    every = others | found.keys()
    counted = all_time.count(warehouse, min(every), max(every), datetime.now(UTC))
    expected = sum(each.rows for each in found.values()) + sum(copied[day] for day in others)
    if counted.of_days != expected:
        found |= warehouse.arrived(others)
    return counted


def _known(settings: Settings, first: date, last: date) -> dict[date, Receipt]:
    """Return the ledger's receipts of days whose snapshot is whole and of the present buckets."""
    with postgres.reading(settings.pipeline_url) as connection:
        receipts = ledger.read_receipts(connection, snapshots.STEP, first, last)
    found = {day: snapshots.manifest(settings.home, day) for day in sorted(receipts)}
    true = {day: m for day, m in found.items() if m and m["digest"] == receipts[day]["digest"]}
    snapshots.require_zone(settings.definition, true.values())
    return {day: receipts[day] for day, m in true.items() if _is_of_now(settings, m)}


def _is_of_now(settings: Settings, found: snapshots.Manifest) -> bool:
    return bool(
        found["bucket_count"] == settings.bucket_count
        and found["key_id"] == settings.identity_key_id
    )


def _has_changed(found: Arrived, known: Receipt) -> bool:
    """Return whether the warehouse holds other rows of a day than when it was copied."""
    # Receipts of earlier versions, and those of a day that an erasure changed, tell no content.
    content = known.get("content") or found.content
    return found != Arrived(known["rows_in_warehouse"], content)


def _portions(
    settings: Settings, days: list[date], found: Mapping[date, Arrived]
) -> Iterator[list[date]]:
    """Yield runs of days without a gap that are read by one query each."""
    most_days = max(1, FILES_AT_ONCE // settings.bucket_count)
    for run_of_days in source.runs_of(days):
        portion: list[date] = []
        rows = 0
        for day in run_of_days:
            if portion and (rows + found[day].rows > ROWS_AT_ONCE or len(portion) == most_days):
                yield portion
                portion, rows = [], 0
            portion.append(day)
            rows += found[day].rows
        yield portion


def _copy(
    settings: Settings, warehouse: Warehouse, days: list[date], found: Mapping[date, Arrived]
) -> tuple[list[date], list[Refused]]:
    """Copy a run of days; return those that are done, and why the others are not."""
    done: list[date] = []
    refused: list[Refused] = []
    products = snapshot_rows.hide_addresses(warehouse.products())
    with day_builder.DayBuilder(settings, {day: found[day].rows for day in days}) as builder:
        for block in read_ahead(warehouse.stream(days)):
            builder.add(block)
        for day in days:
            try:
                _write(settings, day, found[day], builder, products)
                done.append(day)
            except Refused as error:
                refused.append(error)
    return done, refused


def _write(
    settings: Settings,
    day: date,
    found: Arrived,
    builder: day_builder.DayBuilder,
    products: pa.Table,
) -> None:
    """Write one day: files, rows set aside and ledger."""
    with ledger.transaction(settings, snapshots.STEP, day) as connection:
        counts = builder.finish(connection, day, products)
        copied = counts.in_snapshot + counts.repeated
        if found.rows != copied + counts.set_aside + counts.erased:
            raise TemporaryFailure(
                f"{found.rows} rows arrived on {day}, but {counts.in_snapshot} were copied, "
                f"{counts.repeated} repeat one of them, {counts.set_aside} were set aside and "
                f"{counts.erased} are of erased customers. "
                "Nothing was kept; run the day again."
            )
        receipt = {
            "as_of_date": str(day),
            "rows_in_warehouse": found.rows,
            "rows_in_snapshot": counts.in_snapshot,
            "rows_quarantined": counts.set_aside,
            "rows_repeated": counts.repeated,
            "rows_erased": counts.erased,
            "content": found.content,
            "time_zone": settings.time_zone,
            "digest": counts.digest,
        }
        if found.unreadable:
            receipt["values_unreadable"] = dict(found.unreadable)
        ledger.record(connection, snapshots.STEP, day, receipt)
