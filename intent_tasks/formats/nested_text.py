"""Read fields inside a text that holds JSON, as an export of nested columns to CSV has them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from intent_tasks.formats import blocks, jsonlines, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.jsonlines import Tree
from intent_tasks.formats.mapping import Shape


def parsed(rows: Rows, shape: Shape) -> Rows:
    """Return the rows with objects, and lists of them, in place of texts that hold JSON.

    Where a text holds none, though the format names a field inside it, that field cannot be read.
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
    table = rows.table.set_column(rows.table.column_names.index(name), name, column)
    return replace(rows, table=_with_misfits(table, tree, name, found, given))


def _with_misfits(
    table: pa.Table, tree: Tree, name: str, found: Rows, given: npt.NDArray[np.int64]
) -> pa.Table:
    """Return the table with the entries of the rows whose text does not hold what is named."""
    entries: dict[int, str] = {}
    if blocks.MISFITS in found.table.column_names:
        texts = found.table[blocks.MISFITS].to_pylist()
        for number, text in zip(found.numbers.to_pylist(), texts, strict=True):
            if text:
                entries[int(given[number - 1])] = text
    for row in found.bad:
        entries[int(given[row.number - 1])] = jsonlines.misfits_of_text(tree, name)
    if not entries:
        return table
    known = [None] * table.num_rows
    if blocks.MISFITS in table.column_names:
        known = table[blocks.MISFITS].to_pylist()
        table = table.drop_columns([blocks.MISFITS])
    merged = [(text or "") + entries.get(place, "") or None for place, text in enumerate(known)]
    return table.append_column(blocks.MISFITS, pa.array(merged, pa.string()))
