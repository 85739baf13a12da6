"""Read a file of events in batches; a line that cannot be used is set aside, not lost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import mapping, readers
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.formats.convert import Batch, convert
from intent_tasks.formats.list_elements import split_rows
from intent_tasks.formats.nested_text import parse_texts
from intent_tasks.formats.orders import join_orders

__all__ = [
    "SCHEMA", "Batch", "Recorded", "batches", "days", "no_usable_line_error", "read",
    "too_many_bad_error",
]  # fmt: skip


def batches(
    file: BinaryIO,
    path: str,
    layout: mapping.Format,
    file_id: str,
    after: int = 0,
    now: datetime | None = None,
) -> Iterator[Batch]:
    """Read an open file in batches.

    Args:
        file: positioned at its beginning.
        path: its name; its ending decides how it is read.
        layout: its format.
        file_id: what event ids begin with where the source has none.
        after: number of the last row to skip.
        now: moment of collecting; None accepts any time.

    Raises:
        BadInput: the file cannot be read, or is not in that format.
    """
    first, last = not after, after
    with readers.naming_file(path, lambda: f"after row {last} "):
        for shape, rows in join_orders(readers.read(file, path, layout), path):
            rest = rows.after(after) if after else rows
            if rest.table.num_rows or rest.bad:
                for part in split_rows(parse_texts(rest, shape), shape.each):
                    batch = convert(part, shape, file_id, now=now)
                    if first and batch.exchanged:
                        raise _day_and_month(path, batch.exchanged)
                    first, last = False, batch.last
                    yield batch


def read(path: Path, format_name: str) -> Iterator[Batch]:
    """Read a file of this machine in batches.

    Raises:
        BadInput: no such format, or the file is missing, empty, in another format, or has not one
            usable line.
    """
    layout = mapping.load(format_name).of_table("events")
    usable = 0
    bad: list[BadRow] = []
    with opened(path) as file:
        for batch in batches(file, str(path), layout, path.name):
            usable += batch.events.num_rows
            bad = bad or batch.bad
            yield batch
    if usable == 0:
        raise no_usable_line_error(str(path), format_name, bad)


def _day_and_month(path: str, pattern: str) -> BadInput:
    return BadInput(
        f"{path} writes times as {pattern}, with day and month in the other order than its format: "
        "some would be read as other days. Write that pattern into a format of your own; "
        f"those that come with the product are in {mapping.FOLDER}: copy one and change it."
    )


def too_many_bad_error(url: str, batch: Batch) -> BadInput:
    """Return the refusal of a file of whose first block too little can be used.

    Args:
        url: its name.
        batch: its first block.
    """
    counted = Counter(row.rule for row in batch.bad)
    rules = ", ".join(f"{rule}: {count:,}" for rule, count in counted.most_common(5))
    return BadInput(
        f"{url}: {len(batch.bad):,} of its first {batch.judged:,} rows cannot be used, first "
        f"that in line {batch.bad[0].number}. Nothing of it was loaded. By rule: {rules}. Mend the "
        "format or the file: docs/collect.md; to set so many rows aside all the same, raise "
        "INTENT_COLLECT_QUARANTINE_SHARE."
    )


def no_usable_line_error(url: str, format_name: str, bad: Sequence[BadRow]) -> BadInput:
    """Return the refusal of a file of which nothing can be used.

    Args:
        url: its name.
        format_name: the format it was to have.
        bad: rows of it that were set aside.
    """
    if not bad:
        return BadInput(f"{url} has no usable line: it is empty, or all of it is ignored.")
    [(rule, _)] = Counter(row.rule for row in bad).most_common(1)
    line = next(row.number for row in bad if row.rule == rule)
    return BadInput(
        f"{url} has no usable line: not one of its first {len(bad)} is in format {format_name}; "
        f"most often {rule}, as in line {line}. Mend the format: docs/collect.md."
    )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of this machine.

    Raises:
        BadInput: it is missing, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None


LAST_PART = timedelta(hours=1)
"""A day with an event in its last hour counts as complete."""

LEAST_OF_LAST, LEAST_OF_FIRST = 0.1, 0.01
"""Share of a usual day's events above which a day can be the last, or the first. A day with fewer
holds rows with a wrong time, and the contract would refuse it. A shop grows, so its first days may
be quiet."""


class Recorded(NamedTuple):
    """The days of a recording.

    Args:
        first: shop day.
        last: last shop day that was recorded to its end.
        later_rows: events after it.
    """

    first: date
    last: date
    later_rows: int


def days(path: Path, format_name: str, time_zone: str, now: datetime) -> Recorded:
    """Return which days were recorded; read the whole file.

    A recording mostly ends in the middle of a day. That day is too short to predict from, and for
    outcomes. Days after `now`, and days with a few stray rows, do not count. Half of all events are
    on days as busy as a usual day, or busier: so any number of stray days hardly changes it.

    Raises:
        BadInput: as `read`, or every event is after `now`.
    """
    by_day = _count_by_day(path, format_name, ZoneInfo(time_zone))
    rows = sum(count for count, _ in by_day.values())
    today = now.astimezone(ZoneInfo(time_zone)).date()
    past = {day: of_day for day, of_day in by_day.items() if day <= today}
    if not past:
        raise BadInput(
            f"Every event of {path} is after {now:%Y-%m-%d}: format {format_name} reads its times "
            "in a wrong way, for example seconds as milliseconds. Mend the format: "
            "docs/collect.md."
        )
    usual = _usual_count([count for count, _ in past.values()])
    first = min(day for day, (count, _) in past.items() if count > usual * LEAST_OF_FIRST)
    busy = max(day for day, (count, _) in past.items() if count > usual * LEAST_OF_LAST)
    # A few events of the next day, too few for a day, prove that this one is complete.
    _, newest = past.get(busy + timedelta(days=1), past[busy])
    last = min(busy, (newest + LAST_PART).date() - timedelta(days=1))
    until = sum(count for day, (count, _) in past.items() if day <= last)
    return Recorded(first, last, rows - until)


def _count_by_day(path: Path, format_name: str, zone: ZoneInfo) -> dict[date, tuple[int, datetime]]:
    """Return the number of events of each shop day, and the newest, by the shop's clock."""
    counts: dict[date, tuple[int, datetime]] = {}
    for batch in read(path, format_name):
        at = pc.local_timestamp(batch.events["occurred_at"].cast(pa.timestamp("us", zone.key)))
        by_day = pa.table({"day": at.cast(pa.date32()), "at": at}).group_by("day")
        for row in by_day.aggregate([("at", "count"), ("at", "max")]).to_pylist():
            count, newest = counts.get(row["day"], (0, row["at_max"]))
            counts[row["day"]] = count + row["at_count"], max(newest, row["at_max"])
    return counts


def _usual_count(counts: Sequence[int]) -> int:
    """Return the greatest count such that half of all events are on days as busy or busier."""
    busiest = sorted(counts, reverse=True)
    passed = accumulate(busiest)
    return next(
        count for count, so_far in zip(busiest, passed, strict=True) if 2 * so_far >= sum(counts)
    )
