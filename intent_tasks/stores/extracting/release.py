"""Release or drop quarantined rows.

For a row of the warehouse, the decision is recorded and the day of its arrival is copied again. The
copy applies the decision, so the day looks as if the row had always been correct. A line of a file
is read again in the present version of its format, and its events go to `shop.events`, from which
the copy reads them.
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
    """A person's decision about rows.

    Args:
        by: name of the person.
        reason: reason of the decision.
        correction: column → new value of the rows; empty: they are accepted unchanged.
        layout: name of the format of lines of files; None: the one they were collected in.
    """

    by: str
    reason: str
    correction: Correction
    layout: str | None = None


@dataclass(frozen=True)
class Released:
    """The result of a release.

    Args:
        count: number of released rows.
        stay: obstacle → number of rows that stay out because of it.
        stale: published days whose predictions lack released rows.
    """

    count: int
    stay: Counter[str]
    stale: list[date]


Lines = dict[tuple[str, int], files.Batch]
"""Source and number of a line of a file → its content in the present version of its format."""


def obstacles(settings: Settings, rows: Sequence[Found], decision: Decision) -> list[str]:
    """Return the obstacle to each row; empty if the row can probably be released.

    Raises:
        BadInput: a value is not of the type of its column, or a format cannot be read.
    """
    return _obstacles(rows, decision, _read_lines(settings, rows, decision))


def _obstacles(rows: Sequence[Found], decision: Decision, lines: Lines) -> list[str]:
    reasons: list[str] = []
    used_ids: set[str] = set()
    for row in rows:
        line = lines.get(_place(row))
        ids = set(line.events["event_id"].to_pylist() if line else ())
        reason = _obstacle(row, decision.correction, line)
        if not reason and ids & used_ids:
            reason = f"then {DUPLICATE} among these lines: release the one that is right"
        used_ids |= set() if reason else ids
        reasons.append(reason)
    return reasons


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


def _read_lines(settings: Settings, rows: Sequence[Found], decision: Decision) -> Lines:
    """Read the lines of files that have fields in the present version of their formats."""
    lines = [
        row
        for row in rows
        if row.replayable and isinstance(row.payload, dict) and not quarantine.day_of(row.source)
    ]
    with postgres.reading(settings.pipeline_url) as connection:
        formats = file_ledger.read_formats(connection, (row.source for row in lines))
        table_files = file_ledger.select_table_files(connection, (row.source for row in lines))
    load, batches = cache(mapping.load), {}
    for row in (row for row in lines if row.source not in table_files):
        name, file_id = formats.get(row.source, ("native", row.digest[: file_ledger.ID_CHARACTERS]))
        layout = load(decision.layout or name)
        values = corrections.typed(decision.correction)
        batches[_place(row)] = read_row(row.payload, row.row_number, layout, file_id, values)
    return batches


def release(settings: Settings, rows: Sequence[Found], decision: Decision) -> Released:
    """Release rows. Those with an obstacle stay out, under the rule that they break now.

    Raises:
        BadInput: no row can be released.
        Refused: this installation may not write to the shop, or the warehouse no longer holds the
            day.
    """
    lines = _read_lines(settings, rows, decision)
    reasons = _obstacles(rows, decision, lines)
    if all(reasons):
        row, reason = rows[0], reasons[0]
        raise BadInput(
            f"Row {row.digest[:12]} of {row.source} cannot go in: {reason}. Nothing was changed."
        )
    stay = [row for row, reason in zip(rows, reasons, strict=True) if reason]
    rows = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    days = {day for row in rows if (day := quarantine.day_of(row.source))}
    _require_rows_of(settings, days)
    if file_rows := [row for row in rows if quarantine.day_of(row.source) is None]:
        days |= _send(settings, file_rows, lines, decision)
    for day in sorted(days):
        day_rows = [row for row in rows if row.source == quarantine.arrivals_of(day)]
        _decide(settings, day, day_rows, RELEASED, decision)
        if snapshots.manifest(settings.home, day) is not None:
            copy_days.complete_snapshots(settings, day, day)
    _rename(settings, stay, lines)
    obstacle_counts = Counter(reason for reason in reasons if reason)
    return Released(len(rows), obstacle_counts, day_status.stale_days(settings))


def _rename(settings: Settings, rows: Sequence[Found], lines: Lines) -> None:
    """Record for lines of files the rule that they break in the present version of the format."""
    by_rule: dict[str, list[Found]] = {}
    for row in rows:
        if row.state != RELEASED and (line := lines.get(_place(row))) and line.bad:
            by_rule.setdefault(line.bad[0].rule, []).append(row)
    with postgres.changing(settings.pipeline_url, "quarantine") as connection:
        for rule, rule_rows in by_rule.items():
            quarantine.rename(connection, rule_rows, rule)


def drop(settings: Settings, rows: Sequence[Found], decision: Decision) -> list[date]:
    """Drop rows for good; return the published days whose predictions used one of them."""
    was_released = {row.source for row in rows if row.state == RELEASED}
    if any(quarantine.day_of(name) is None for name in was_released):
        raise BadInput("A released line of a file is in shop.events: delete it there.")
    for name in sorted({row.source for row in rows}):
        source_rows = [row for row in rows if row.source == name]
        day = quarantine.day_of(name)
        if day is None:
            with postgres.changing(settings.pipeline_url, "quarantine") as connection:
                quarantine.decide(connection, source_rows, DROPPED, decision.by, decision.reason)
            continue
        _decide(settings, day, source_rows, DROPPED, decision)
        if name in was_released:
            copy_days.complete_snapshots(settings, day, day)
    return day_status.stale_days(settings)


def _decide(
    settings: Settings, day: date, rows: Collection[Found], state: str, decision: Decision
) -> None:
    """Record the decision; if it changes the day, mark the snapshot of the day as outdated."""
    with ledger.transaction(settings, snapshots.STEP, day) as connection:
        quarantine.decide(
            connection, rows, state, decision.by, decision.reason, decision.correction
        )
        receipt = ledger.read_receipt(connection, snapshots.STEP, day)
        changes = state == RELEASED or any(row.state == RELEASED for row in rows)
        if receipt and rows and changes:
            ledger.amend(connection, snapshots.STEP, day, receipt | {"digest": ""})


def _require_rows_of(settings: Settings, days: Collection[date]) -> None:
    """Check that the warehouse still holds all rows of the days, because they are copied again."""
    if not days:
        return
    with source.warehouse(settings) as warehouse:
        arrivals = warehouse.arrived(days)
    for day in sorted(days):
        receipt = ledger.receipt_of(settings, snapshots.STEP, day) or {}
        if arrivals[day].rows < receipt.get("rows_in_warehouse", 0):
            raise Refused(
                f"The warehouse holds {arrivals[day].rows} rows that arrived on {day}, and held "
                f"{receipt['rows_in_warehouse']} when they were copied: copying the day again "
                "would lose the others. Nothing was changed. Put them back, or add the corrected "
                "row to shop.events as one that arrives today."
            )


def _send(settings: Settings, rows: Sequence[Found], lines: Lines, decision: Decision) -> set[date]:
    """Add corrected lines of files to the shop; return the days of their arrival there."""
    batches = [lines[_place(row)] for row in rows]
    events = pa.concat_tables([batch.events for batch in batches])
    products = latest_products(pa.concat_tables([batch.products for batch in batches]))
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
