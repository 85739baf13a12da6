"""Copy days again that were cut by the midnights of another time zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from intent_tasks.core.day_ranges import describe_days
from intent_tasks.definition import Definition
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger, snapshots
from intent_tasks.stores.extracting import copy_days, source
from intent_tasks.tables import events

_DAY = timedelta(days=1)


def recut(settings: Settings, report: Callable[[str], object] = len) -> list[date]:
    """Copy all days whose snapshots were cut by another zone, from the warehouse.

    A run that was interrupted goes on: what is not copied yet counts as missing from then on.

    Returns:
        The days that were copied.

    Raises:
        Refused: the warehouse no longer holds all of their rows. Nothing was changed.
    """
    days = snapshots.days(settings.home)
    found = snapshots.manifests(settings.home, days)
    other = [m for m in found if not snapshots.is_cut_by(settings.definition, m)]
    if not other:
        return []
    first, last = (date.fromisoformat(other[n]["day"]) for n in (0, -1))
    _require_rows(settings, other)
    report(f"copying {first} to {last} again, cut by the midnights of {settings.time_zone}")
    begin, end = _days(settings, other[0], other[-1])
    for m in other:
        _forget(settings, date.fromisoformat(m["day"]), remove=date.fromisoformat(m["day"]) > end)
    written, repaired = copy_days.complete_snapshots(settings, begin, end)
    return sorted([*written, *repaired])


def _days(
    settings: Settings, first: snapshots.Manifest, last: snapshots.Manifest
) -> tuple[date, date]:
    """Return the first and the last day, in the zone of now, with an instant of those days."""
    definition = settings.definition
    start = Definition(first["time_zone"]).day_start(date.fromisoformat(first["day"]))
    end = Definition(last["time_zone"]).day_end(date.fromisoformat(last["day"]))
    over = definition.last_day_over(datetime.now(UTC))
    return definition.day_of(start), min(definition.day_of(end - timedelta(microseconds=1)), over)


def _require_rows(settings: Settings, found: list[snapshots.Manifest]) -> None:
    """Make sure that the warehouse still holds what the days were copied from."""
    held: dict[str, int] = {}
    lost = []
    with source.warehouse(settings) as warehouse:
        for m in found:
            cut = Definition(m["time_zone"])
            day = date.fromisoformat(m["day"])
            of_day = source.arrived_between(warehouse.types, cut.day_start(day), cut.day_end(day))
            query = sa.select(sa.func.count().label("rows")).select_from(events).where(of_day)
            held[m["day"]] = warehouse.session.read(query).read_all()["rows"][0].as_py()
    for m in found:
        day = date.fromisoformat(m["day"])
        receipt = ledger.receipt_of(settings, snapshots.STEP, day) or {}
        if held[m["day"]] < receipt.get("rows_in_warehouse", 0):
            lost.append(day)
    if lost:
        raise Refused(
            f"The warehouse holds fewer rows of {describe_days(lost)} than were copied: copying "
            "these days again would lose the others. Nothing was changed. Put them back, or set "
            f"INTENT_TIME_ZONE to {found[-1]['time_zone']} again."
        )


def _forget(settings: Settings, day: date, *, remove: bool) -> None:
    """Let the ledger no longer take the snapshot of a day for the true one."""
    with ledger.transaction(settings, snapshots.STEP, day) as connection:
        receipt = ledger.read_receipt(connection, snapshots.STEP, day) or {}
        ledger.amend(connection, snapshots.STEP, day, receipt | {"digest": ""})
        if remove:  # in the zone of now it is not over yet
            (snapshots.day_folder(settings.home, day) / "manifest.json").unlink()
