"""Read fields inside a text that holds JSON, as exports of nested columns to CSV write them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from intent_tasks.core.rules import BadRow
from intent_tasks.formats import blocks, jsonlines, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.jsonlines import Tree
from intent_tasks.formats.mapping import Shape


def parse_texts(rows: Rows, shape: Shape) -> Rows:
    """Return the rows with objects, and lists of them, in place of texts that hold JSON.

    A row is set aside when its text holds no object, though the format names a field inside it.
    """
    for name, inside in jsonlines.tree_of(shape).items():
        if _is_text_of_objects(rows.table, name, inside, shape):
            rows = _with_objects(rows, name, inside)
    return rows


def _is_text_of_objects(table: pa.Table, name: str, inside: object, shape: Shape) -> bool:
    if name not in table.column_names or not _has_fields(inside):
        return False
    kind = table[name].type
    is_text = pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind)
    inner = [f for f in shape.wanted if f.startswith(f"{name}.")]
    return is_text and not any(field in table.column_names for field in inner)


def _has_fields(inside: object) -> bool:
    return bool(inside) and isinstance(inside[0] if isinstance(inside, list) else inside, dict)


def _with_objects(rows: Rows, name: str, inside: object) -> Rows:
    texts = values.as_text(rows.table[name].combine_chunks())
    given = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    tree: Tree = {name: inside}
    parsed = jsonlines.parse_values(texts.take(pa.array(given)).to_pylist(), name, tree)
    places = np.full(len(texts), -1)
    places[given[parsed.numbers.to_numpy() - 1]] = np.arange(len(parsed.numbers))
    column = parsed.table[name].take(pa.array(places, mask=places < 0))
    table = rows.table.set_column(rows.table.column_names.index(name), name, column)
    entries, broken = _misfits(name, parsed, given)
    rows = replace(rows, table=_with_misfits(table, entries))
    return _without(rows, broken) if broken else rows


def _misfits(
    name: str, parsed: Rows, given: npt.NDArray[np.int64]
) -> tuple[dict[int, str], dict[int, str]]:
    """Return place → entries of misfits, and place → rule of texts that hold no object."""
    entries: dict[int, str] = {}
    broken = {int(given[row.number - 1]): f"the field {name} is no object" for row in parsed.bad}
    if blocks.MISFITS in parsed.table.column_names:
        columns = (parsed.numbers, parsed.table[blocks.MISFITS], parsed.table[name].is_null())
        for number, text, is_none in zip(*(c.to_pylist() for c in columns), strict=True):
            if text and is_none:
                message = text.split(blocks.MESSAGE)[1].split(blocks.ENTRY)[0]
                broken[int(given[number - 1])] = message
            elif text:
                entries[int(given[number - 1])] = text
    return entries, broken


def _without(rows: Rows, broken: dict[int, str]) -> Rows:
    """Return the rows with those set aside whose text holds no object, by place and rule."""
    places = sorted(broken)
    numbers = [rows.numbers[place].as_py() for place in places]
    bad = [
        BadRow(number, broken[place], blocks.payload(row))
        for place, number, row in zip(places, numbers, rows.whole(numbers), strict=True)
    ]
    keep = np.ones(rows.table.num_rows, bool)
    keep[places] = False
    mask = pa.array(keep)
    rest = replace(rows, table=rows.table.filter(mask), numbers=rows.numbers.filter(mask))
    return replace(rest, bad=sorted([*rows.bad, *bad]))


def _with_misfits(table: pa.Table, entries: dict[int, str]) -> pa.Table:
    """Return the table with entries of misfits added, by place."""
    if not entries:
        return table
    texts = [None] * table.num_rows
    if blocks.MISFITS in table.column_names:
        texts = table[blocks.MISFITS].to_pylist()
        table = table.drop_columns([blocks.MISFITS])
    merged = [(text or "") + entries.get(place, "") or None for place, text in enumerate(texts)]
    return table.append_column(blocks.MISFITS, pa.array(merged, pa.string()))
