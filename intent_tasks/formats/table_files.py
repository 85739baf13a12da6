"""Read files of products and of customers: what the shop knows of them, one row each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import MOST_CHARACTERS_OF_A_NAME, OK, BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files, mapping, readers, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.column_value import Value
from intent_tasks.formats.columns import KEYS, TABLES
from intent_tasks.formats.mapping import Shape
from intent_tasks.formats.nested_text import parse_texts

CONSENTS = ("consent_personalisation", "consent_marketing")
"""Columns in which only a clear yes is one: what is empty, or cannot be read, is a no.

A file without such a column says nothing of it."""


CONSENT_COLUMNS = (*CONSENTS, "suppressed")
"""Columns that decide whether somebody may be predicted or written to."""


@dataclass(frozen=True)
class TableBatch:
    """What some rows of a file say of products or customers.

    Args:
        rows: the usable ones, the columns that the format fills.
        bad: those that cannot be used.
        unreadable: column → values that are there and cannot be read.
        absent: columns that the format fills from fields, of which no row has one.
    """

    rows: pa.Table
    bad: list[BadRow]
    unreadable: dict[str, int]
    absent: list[str]


def batches(file: BinaryIO, path: str, layout: mapping.Format) -> Iterator[TableBatch]:
    """Read an open file in batches.

    Args:
        file: positioned at its beginning.
        path: its name; the end of it says how it is read.
        layout: its format, of files of one table.

    Raises:
        BadInput: the file cannot be read, or is not in that format.
    """
    for shape, rows in readers.read(file, path, layout):
        yield _batch(parse_texts(rows, shape), shape, readers.kind_of(path)[0] == "json")


def layout_of(format_name: str, table: str) -> tuple[str, mapping.Format]:
    """Return the format of files of a table, with its name: `native` where the one has no shape.

    Raises:
        BadInput: there is no such format.
    """
    layout = mapping.load(format_name)
    if table not in layout.tables:
        format_name, layout = "native", mapping.load("native")
    return format_name, layout.of_table(table)


def require_readable(path: Path, format_name: str, table: str) -> None:
    """Make sure that a file of this machine is one of that table: its first rows are read.

    Raises:
        BadInput: it is not.
    """
    _, layout = layout_of(format_name, table)
    with files.opened(path) as file:
        first = next(batches(file, str(path), layout), None)
    if first is None or not first.rows.num_rows:
        why = f" Line {first.bad[0].number}: {first.bad[0].rule}." if first and first.bad else ""
        raise BadInput(f"{path} has no usable row of {table}.{why} See docs/collect.md.")


def _batch(rows: Rows, shape: Shape, is_json: bool) -> TableBatch:
    columns: dict[str, pa.Array] = {}
    unreadable: dict[str, int] = {}
    key = KEYS[shape.table]
    for name, value in shape.filled[shape.table].items():
        kind = TABLES[shape.table].field(name).type
        column = values.fill(rows.table, value, kind, complete=name == key)
        lost = pc.and_(pc.is_null(column.values), pc.is_valid(column.given))
        if count := pc.sum(lost).as_py():
            unreadable[name] = count
        columns[name] = column.values
        # Of JSON only a value shows that the file has the field, or else its lines do.
        if values.has_field(rows.table, value, empty=not is_json) or (
            is_json and name in CONSENT_COLUMNS and _is_in_lines(rows, value)
        ):
            columns[name] = _closed(name, column.values, lost)
    table = pa.table(columns)
    rules = _rules(table, key)
    if blocks.MISFITS in rows.table.column_names:  # of a customer, half a row could lose a no
        entries = rows.table[blocks.MISFITS].combine_chunks()
        rules = _broken(rules, pc.is_valid(entries), "a field holds a list or an object")
    is_bad = pc.not_equal(rules, OK)
    numbers = rows.numbers.filter(is_bad).to_pylist()
    whole = rows.whole(numbers) if numbers else []
    bad = [
        BadRow(number, rule, blocks.payload(row))
        for number, rule, row in zip(numbers, rules.filter(is_bad).to_pylist(), whole, strict=True)
    ]
    return TableBatch(
        table.filter(pc.invert(is_bad)),
        sorted([*rows.bad, *bad], key=lambda row: row.number),
        unreadable,
        values.find_absent(rows.table, shape.filled[shape.table].items()),
    )


def _is_in_lines(rows: Rows, value: Value) -> bool:
    """Tell whether a line of JSON has a field, empty or written with other capitals."""
    wanted = {name.split(".")[0].casefold() for name in value.names}
    lines = rows.whole(rows.numbers.to_pylist()) if rows.table.num_rows else []
    return any(key.strip().casefold() in wanted for line in lines for key in line)


def _closed(name: str, column: pa.Array, lost: pa.Array) -> pa.Array:
    """Return a column in which nobody agrees, or may be written to, by a misunderstanding."""
    if name in CONSENTS:
        return pc.fill_null(column, False)
    return pc.if_else(lost, True, column) if name == "suppressed" else column


def _rules(table: pa.Table, key: str) -> pa.Array:
    """Return the first rule that each row breaks; empty for a good one."""
    rules = pa.repeat(pa.scalar(OK, pa.string()), table.num_rows)
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name == key:
            rules = _broken(rules, pc.is_null(column), f"{key} is missing")
        if pa.types.is_string(column.type):
            rules = _broken(rules, pc.match_substring(column, "\0"), f"{name} holds a NUL")
    long = pc.greater(pc.utf8_length(table[key].combine_chunks()), MOST_CHARACTERS_OF_A_NAME)
    return _broken(rules, long, f"{key} is longer than {MOST_CHARACTERS_OF_A_NAME} characters")


def _broken(rules: pa.Array, where: pa.Array, rule: str) -> pa.Array:
    first = pc.and_(pc.fill_null(where, False), pc.equal(rules, OK))
    return pc.if_else(first, rule, rules)
