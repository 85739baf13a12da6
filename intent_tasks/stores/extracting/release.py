"""Decide about rows that were set aside: they go in, or they stay out for good.

A row of the warehouse that is released is not put into a file: the decision is written down, the
day of its arrival is copied again, and the copy honours it. So the day comes out as if the row had
always been right. A line of a file is read again in its format as that is now, and what it says
then goes to `shop.events`, where the copy finds it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from zoneinfo import ZoneInfo

import pyarrow as pa

from intent_tasks.core.rules import CHANGED_DUPLICATE, DUPLICATE, OK, broken_rules
from intent_tasks.errors import BadInput, Refused
from intent_tasks.formats import files, mapping
from intent_tasks.formats.convert import latest_products
from intent_tasks.formats.replay import read_row
from intent_tasks.settings import Settings
from intent_tasks.stores import day_status, ledger, postgres, simulated_shop, snapshots
from intent_tasks.stores.collecting import file_ledger, landing
from intent_tasks.stores.extracting import copy_days, corrections, quarantine, source
from intent_tasks.stores.extracting.quarantine import DROPPED, RELEASED, Correction, Found


@dataclass(frozen=True)
class Decision:
    """What somebody decides about rows.

    Args:
        by: who.
        reason: why.
        correction: column → value that the rows get; none: they are accepted as they are.
        layout: name of the format to read lines of files in; None: the one they were collected in.
    """

    by: str
    reason: str
    correction: Correction
    layout: str | None = None


@dataclass(frozen=True)
class Released:
    """What a release did.

    Args:
        count: rows that went in.
        stay: why the others stay out → how many.
        stale: published days that were made without those that went in.
    """

    count: int
    stay: Counter[str]
    stale: list[date]


Lines = dict[tuple[str, int], files.Batch]
"""Source and number of a line of a file → what it says in its format as that is now."""


def obstacles(settings: Settings, rows: Sequence[Found], decision: Decision) -> list[str]:
    """Return why each row cannot go in; empty: it can, as far as it is seen here.

    Raises:
        BadInput: a value is not of the type of its column, or a format cannot be read.
    """
    return _obstacles(rows, decision, _read_again(settings, rows, decision))


def _obstacles(rows: Sequence[Found], decision: Decision, lines: Lines) -> list[str]:
    found: list[str] = []
    taken: set[str] = set()
    for row in rows:
        line = lines.get(_place(row))
        ids = set(line.events["event_id"].to_pylist() if line else ())
        why = _obstacle(row, decision.correction, line)
        if not why and ids & taken:
            why = f"then {DUPLICATE} among these lines: release the one that is right"
        taken |= set() if why else ids
        found.append(why)
    return found


def _obstacle(row: Found, correction: Correction, line: files.Batch | None) -> str:
    if row.state == RELEASED:
        return "it is released already"
    day = quarantine.day_of(row.source)
    if row.rule == CHANGED_DUPLICATE and "event_id" not in correction:
        return (
            "shop.events holds another event of that id: give it an id of its own with "
            "--set event_id=…, or drop it"
        )
    if not row.replayable:
        return "" if day else "its payload was cut: correct the file and collect it again"
    if day is None:
        return _obstacle_of_line(line)
    if "occurred_at" in correction and row.payload.get("ingested_at") is None:
        return "when it occurred is when it arrived: correct that in the warehouse"
    broken = broken_rules(corrections.event(row.payload, correction), accepted=True)[0].as_py()
    return "" if broken == OK else f"then {broken}: correct it with --set"


def _obstacle_of_line(line: files.Batch | None) -> str:
    if line is None:
        return "it has no fields: write the line anew, to a file of another name, and collect that"
    if line.bad:
        return f"then {line.bad[0].rule}: correct it with --set, or in the file of its format"
    if not line.events.num_rows:
        return "its format says that it is no event of a customer: drop it, or correct the format"
    return ""


def _place(row: Found) -> tuple[str, int]:
    return row.source, row.row_number


def _read_again(settings: Settings, rows: Sequence[Found], decision: Decision) -> Lines:
    """Return what lines of files say in their format as it is now; not those without fields."""
    lines = [
        row
        for row in rows
        if row.replayable and isinstance(row.payload, dict) and not quarantine.day_of(row.source)
    ]
    with postgres.reading(settings.pipeline_url) as connection:
        known = file_ledger.read_formats(connection, (row.source for row in lines))
        others = file_ledger.select_table_files(connection, (row.source for row in lines))
    load, found = cache(mapping.load), {}
    for row in (row for row in lines if row.source not in others):
        name, file_id = known.get(row.source, ("native", row.digest[: file_ledger.ID_CHARACTERS]))
        layout = load(decision.layout or name)
        values = corrections.typed(decision.correction)
        found[_place(row)] = read_row(row.payload, row.row_number, layout, file_id, values)
    return found


def release(settings: Settings, rows: Sequence[Found], decision: Decision) -> Released:
    """Let rows in; those that cannot go in stay out, under the rule that they break now.

    Raises:
        BadInput: no row can go in.
        Refused: this installation may not write to the shop, or the warehouse no longer holds the
            day.
    """
    lines = _read_again(settings, rows, decision)
    whys = _obstacles(rows, decision, lines)
    if all(whys):
        row, why = rows[0], whys[0]
        raise BadInput(
            f"Row {row.digest[:12]} of {row.source} cannot go in: {why}. Nothing was changed."
        )
    stay = [row for row, why in zip(rows, whys, strict=True) if why]
    rows = [row for row, why in zip(rows, whys, strict=True) if not why]
    touched = {day for row in rows if (day := quarantine.day_of(row.source))}
    _require_rows_of(settings, touched)
    if of_files := [row for row in rows if quarantine.day_of(row.source) is None]:
        touched |= _send(settings, of_files, lines, decision)
    for day in sorted(touched):
        of_day = [row for row in rows if row.source == quarantine.arrivals_of(day)]
        _decide(settings, day, of_day, RELEASED, decision)
        if snapshots.manifest(settings.home, day) is not None:
            copy_days.complete_snapshots(settings, day, day)
    _rename(settings, stay, lines)
    return Released(len(rows), Counter(why for why in whys if why), day_status.stale_days(settings))


def _rename(settings: Settings, rows: Sequence[Found], lines: Lines) -> None:
    """Keep lines of files under the rule that they break in the format as it is now."""
    of_rule: dict[str, list[Found]] = {}
    for row in rows:
        if row.state != RELEASED and (line := lines.get(_place(row))) and line.bad:
            of_rule.setdefault(line.bad[0].rule, []).append(row)
    with postgres.changing(settings.pipeline_url, "quarantine") as connection:
        for rule, some in of_rule.items():
            quarantine.rename(connection, some, rule)


def drop(settings: Settings, rows: Sequence[Found], decision: Decision) -> list[date]:
    """Leave rows out for good; return the published days that were made with one of them."""
    was_released = {row.source for row in rows if row.state == RELEASED}
    if any(quarantine.day_of(name) is None for name in was_released):
        raise BadInput("A released line of a file is in shop.events: delete it there.")
    for name in sorted({row.source for row in rows}):
        of_source = [row for row in rows if row.source == name]
        day = quarantine.day_of(name)
        if day is None:
            with postgres.changing(settings.pipeline_url, "quarantine") as connection:
                quarantine.decide(connection, of_source, DROPPED, decision.by, decision.reason)
            continue
        _decide(settings, day, of_source, DROPPED, decision)
        if name in was_released:
            copy_days.complete_snapshots(settings, day, day)
    return day_status.stale_days(settings)


def _decide(
    settings: Settings, day: date, rows: Collection[Found], state: str, decision: Decision
) -> None:
    """Write the decision down and, where it changes the day, that its snapshot is not true."""
    with ledger.transaction(settings, snapshots.STEP, day) as connection:
        quarantine.decide(
            connection, rows, state, decision.by, decision.reason, decision.correction
        )
        receipt = ledger.read_receipt(connection, snapshots.STEP, day)
        changes = state == RELEASED or any(row.state == RELEASED for row in rows)
        if receipt and rows and changes:
            ledger.amend(connection, snapshots.STEP, day, receipt | {"digest": ""})


def _require_rows_of(settings: Settings, days: Collection[date]) -> None:
    """Make sure that the warehouse still holds what a day was copied from: it is copied again."""
    if not days:
        return
    with source.warehouse(settings) as warehouse:
        found = warehouse.arrived(days)
    for day in sorted(days):
        receipt = ledger.receipt_of(settings, snapshots.STEP, day) or {}
        if found[day].rows < receipt.get("rows_in_warehouse", 0):
            raise Refused(
                f"The warehouse holds {found[day].rows} rows that arrived on {day}, and held "
                f"{receipt['rows_in_warehouse']} when they were copied: copying the day again "
                "would lose the others. Nothing was changed. Put them back, or add the corrected "
                "row to shop.events as one that arrives today."
            )


def _send(settings: Settings, rows: Sequence[Found], lines: Lines, decision: Decision) -> set[date]:
    """Put corrected lines of files into the shop; return the days on which they arrive there."""
    found = [lines[_place(row)] for row in rows]
    events = pa.concat_tables([line.events for line in found])
    products = latest_products(pa.concat_tables([line.products for line in found]))
    with postgres.changing(simulated_shop.owner_url(settings), "collect") as connection:
        landing.append(connection, events, expect_known=True)
        landing.add_products(connection, products)
    with postgres.changing(settings.pipeline_url, "quarantine") as connection:
        quarantine.decide(
            connection, rows, RELEASED, decision.by, decision.reason, decision.correction
        )
    zone = ZoneInfo(settings.time_zone)
    arrived = [row["ingested_at"] or row["occurred_at"] for row in events.to_pylist()]
    return {at.astimezone(zone).date() for at in arrived}
