"""Read a file of events in batches; a line that cannot be used is set aside, not lost."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import OK, BadRow, broken_rules
from intent_tasks.errors import BadInput
from intent_tasks.formats import native, retailrocket

FORMATS: dict[str, ModuleType] = {"native": native, "retailrocket": retailrocket}

BATCH_LINES = 200_000

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("customer_id", pa.string()),
        ("session_id", pa.string()),
        ("event_type", pa.string()),
        ("product_id", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("query_text", pa.string()),
        ("review_text", pa.string()),
        ("rating", pa.int32()),
        ("channel", pa.string()),
        ("device", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("ingested_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of `shop.events` in Arrow's types."""


@dataclass(frozen=True)
class Batch:
    """Some lines of a file: the usable ones as events (columns of `SCHEMA`), and the others."""

    events: pa.Table
    bad: list[BadRow]


def read(path: Path, format_name: str) -> Iterator[Batch]:
    """Read a file in batches.

    Raises:
        BadInput: no such format, or the file is missing, empty, no CSV, has other columns, or not
            one usable line.
    """
    layout = _layout(format_name)
    usable = 0
    for lines, bad in _lines(path, layout, format_name):
        batch = _batch(layout.convert(lines), lines, bad)
        usable += batch.events.num_rows
        yield batch
    if usable == 0:
        raise BadInput(f"{path} has no usable line: it is empty, or not in format {format_name}.")


def last_day(path: Path, format_name: str, time_zone: str) -> date:
    """Return the shop day of the newest event, after reading the whole file.

    Raises:
        BadInput: as `read`.
    """
    newest = max(
        pc.max(batch.events["occurred_at"]).as_py()
        for batch in read(path, format_name)
        if batch.events.num_rows
    )
    day: date = newest.astimezone(ZoneInfo(time_zone)).date()
    return day


def _layout(format_name: str) -> ModuleType:
    if format_name not in FORMATS:
        raise BadInput(f"There is no format {format_name!r}. Formats: {', '.join(FORMATS)}.")
    return FORMATS[format_name]


def _lines(
    path: Path, layout: ModuleType, format_name: str
) -> Iterator[tuple[pd.DataFrame, list[BadRow]]]:
    """Yield the lines with the right number of fields (index: line number), and the others."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _require_columns(path, header, layout, format_name)
            yield from _batches(reader, header)
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} is not a CSV file in UTF-8: {error}.") from None


def _require_columns(path: Path, header: list[str], layout: ModuleType, name: str) -> None:
    if not header:
        raise BadInput(f"{path} is empty. Its first line must name the columns.")
    missing = [column for column in layout.REQUIRED if column not in header]
    unknown = [c for c in header if c not in (*layout.REQUIRED, *layout.OPTIONAL)]
    if missing or unknown:
        parts = [("lacks", missing), ("has the unknown", unknown)]
        said = " and ".join(f"{verb} {', '.join(names)[:200]}" for verb, names in parts if names)
        raise BadInput(
            f"{path} is not in format {name}: it {said}. Columns: {', '.join(layout.REQUIRED)}"
            + (f"; these may be absent: {', '.join(layout.OPTIONAL)}." if layout.OPTIONAL else ".")
        )


def _batches(
    reader: Iterator[list[str]], header: list[str]
) -> Iterator[tuple[pd.DataFrame, list[BadRow]]]:
    rows: dict[int, list[str]] = {}
    bad: list[BadRow] = []
    for number, fields in enumerate(reader, 2):
        if len(fields) == len(header):
            rows[number] = fields
        elif fields:
            rule = f"{len(fields)} fields instead of {len(header)}"
            bad.append(BadRow(number, rule, json.dumps(fields)))
        if len(rows) + len(bad) >= BATCH_LINES:
            yield _frame(rows, header), bad
            rows, bad = {}, []
    yield _frame(rows, header), bad


def _frame(rows: dict[int, list[str]], header: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=header, index=list(rows), dtype="str")
    return frame.replace("", None)


def _batch(converted: pd.DataFrame, lines: pd.DataFrame, bad: list[BadRow]) -> Batch:
    converted = _within_range(converted)
    rules = _unreadable(converted, lines)
    events = _arrow(converted)
    broken = broken_rules(events).to_pylist()
    rules = [first or second for first, second in zip(rules, broken, strict=True)]
    good = pa.array([rule == OK for rule in rules], pa.bool_())
    more = [
        BadRow(number, rule, lines.loc[number].to_json(force_ascii=False))
        for number, rule in zip(lines.index.tolist(), rules, strict=True)
        if rule != OK
    ]
    return Batch(events.filter(good), sorted([*bad, *more], key=lambda line: line.number))


def _within_range(converted: pd.DataFrame) -> pd.DataFrame:
    """Return the columns with integers that the database cannot hold as missing, not as others."""
    for field in SCHEMA:
        if pa.types.is_integer(field.type) and field.name in converted.columns:
            values = pd.to_numeric(converted[field.name])
            converted[field.name] = values.where(values.abs() < 2**31)
    return converted


def _unreadable(converted: pd.DataFrame, lines: pd.DataFrame) -> list[str]:
    """Return, per line, which column is not what it should be, where the line gave it a value."""
    rules = pd.Series(OK, index=lines.index, dtype=object)
    for name in set(converted.columns) & set(lines.columns):
        lost = converted[name].isna() & lines[name].notna() & (rules == OK)
        rules[lost] = f"{name} cannot be read"
    return list(rules)


def _arrow(converted: pd.DataFrame) -> pa.Table:
    columns = {}
    for field in SCHEMA:
        if field.name in converted.columns:
            columns[field.name] = _array(converted[field.name]).cast(field.type, safe=False)
        else:
            columns[field.name] = pa.nulls(len(converted), field.type)
    return pa.table(columns, schema=SCHEMA)


def _array(values: pd.Series) -> pa.Array:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pa.array(values.dt.tz_convert(None).to_numpy(), from_pandas=True)
    return pa.array(values.tolist(), from_pandas=True)
