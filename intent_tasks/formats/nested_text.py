"""Read fields inside a text that holds JSON, as an export of nested columns to CSV has them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from intent_tasks.core.rules import BadRow
from intent_tasks.formats import blocks, jsonlines, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.jsonlines import NO_OBJECT, Tree
from intent_tasks.formats.mapping import Shape


def parsed(rows: Rows, shape: Shape) -> Rows:
    """Return the rows with objects, and lists of them, in place of texts that hold JSON.

    A row whose text holds none, though the format names a field inside it, is set aside.
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
    found = jsonlines.parse_values(texts.take(pa.array(given)).to_pylist(), name, tree)
    places = np.full(len(texts), -1)
    places[given[found.numbers.to_numpy() - 1]] = np.arange(len(found.numbers))
    column = found.table[name].take(pa.array(places, mask=places < 0))
    broken = {int(given[row.number - 1]): row.rule for row in found.bad}
    table = rows.table.set_column(rows.table.column_names.index(name), name, column)
    if not broken:
        return replace(rows, table=table)
    numbers = [rows.numbers[place].as_py() for place in broken]
    bad = [
        BadRow(number, rule.replace(NO_OBJECT, f"the field {name} is no object"), payload)
        for number, rule, payload in zip(
            numbers, broken.values(), map(blocks.payload, rows.whole(numbers)), strict=True
        )
    ]
    keep = np.ones(len(texts), bool)
    keep[list(broken)] = False
    mask = pa.array(keep)
    rest = replace(rows, table=table.filter(mask), numbers=rows.numbers.filter(mask))
    return replace(rest, bad=sorted([*rows.bad, *bad]))
