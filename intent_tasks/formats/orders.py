"""Put the rows of an order together, and fill in what only the first of them says."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.column_value import Value
from intent_tasks.formats.mapping import PLACE, FillDown, Shape


def join_orders(parts: Iterator[tuple[Shape, Rows]], path: str) -> Iterator[tuple[Shape, Rows]]:
    """Yield the rows of a file with each order whole, as its shape says; else as they are.

    Raises:
        BadInput: an order is longer than a block: the field names no orders.
    """
    last: Rows | None = None
    for shape, rows in parts:
        if shape.fill_down is None:
            yield shape, rows
            continue
        rows = _together(last, rows)
        done, last = _split(rows, shape)
        if last and last.table.num_rows > blocks.BLOCK_ROWS:
            raise BadInput(
                f"{path} has more than {blocks.BLOCK_ROWS:,} rows in one order, by the field "
                f"{shape.fill_down.by}. Name the field of the order in fill_down.by."
            )
        if done.table.num_rows or done.bad:
            yield shape, _filled(done, shape.fill_down, shape.missing)
    if last is not None and shape.fill_down is not None:
        yield shape, _filled(last, shape.fill_down, shape.missing)


def _together(first: Rows | None, second: Rows) -> Rows:
    if first is None:
        return second
    bad = [*first.bad, *second.bad]
    if not second.table.num_rows:  # only lines that are none
        return replace(first, bad=bad)
    table = pa.concat_tables([first.table, second.table], promote_options="permissive")
    numbers = pa.concat_arrays([first.numbers, second.numbers])
    return replace(second, table=table.combine_chunks(), numbers=numbers, bad=bad)


def _split(rows: Rows, shape: Shape) -> tuple[Rows, Rows | None]:
    """Return the whole orders, and the last one, which may go on in the next block."""
    if shape.fill_down is None or not rows.table.num_rows:
        return rows, None
    begins = np.flatnonzero(_begins(rows, shape.fill_down, shape.missing))
    before = rows.numbers[int(begins[-1])].as_py() - 1
    return rows.until(before), rows.after(before)


def _begins(rows: Rows, fill: FillDown, missing: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Tell which rows are the first of an order, shape (n,).

    After a line that cannot be read nobody knows whose a row without an order is: no order's.
    """
    named = _text(rows.table, fill.by, missing)
    is_named = named.is_valid().to_numpy(zero_copy_only=False)
    codes = named.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    above = _last_where(is_named)
    before = np.concatenate([[-1], above[:-1]])
    other = np.where(before >= 0, codes != codes[before], True)
    begins: npt.NDArray[np.bool_] = is_named & other
    broken = np.array([row.number for row in rows.bad], np.int64)
    after = np.searchsorted(rows.numbers.to_numpy(), broken, "right")
    after = after[after < len(begins)]
    begins[after] |= ~is_named[after]
    begins[:1] = True
    return begins


def _filled(rows: Rows, fill: FillDown, missing: tuple[str, ...]) -> Rows:
    if not rows.table.num_rows:
        return rows
    begins = _begins(rows, fill, missing)
    table = rows.table
    for name in dict.fromkeys((fill.by, *fill.fields)):
        if name in table.column_names:
            is_there = _text(table, name, missing).is_valid().to_numpy(zero_copy_only=False)
            column = table[name].take(pa.array(_last_where(is_there | begins)))
            table = table.set_column(table.column_names.index(name), name, column)
    starts = _last_where(begins)
    table = table.append_column(PLACE, pa.array(np.arange(len(starts)) - starts))
    return replace(rows, table=table.combine_chunks())


def _last_where(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return, for each place, the last one up to it where the mask is true; -1: none."""
    found: npt.NDArray[np.int64] = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    return found


def _text(table: pa.Table, name: str, missing: tuple[str, ...]) -> pa.Array:
    array = values.field(table, name)
    if array is None:
        return pa.nulls(table.num_rows, pa.string())
    return values.as_text(array, Value(fields=(name,), missing=missing))
