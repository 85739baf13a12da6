"""Join the rows of an order, and copy the cells that only its first row has."""

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
    """Yield the rows of a file with each order whole where the shape has `fill_down`.

    The last order of the file is in the block of those before it: one alone would be judged alone.

    Raises:
        BadInput: an order is longer than a block: the field names no orders.
    """
    whole: tuple[Shape, Rows] | None = None
    last: Rows | None = None
    for shape, rows in parts:
        if shape.fill_down is None:
            yield shape, rows
            continue
        if whole is not None:
            yield _filled(*whole)
        done, last = _split(_together(last, rows), shape)
        whole = (shape, done) if done.table.num_rows or done.bad else None
        if last is not None and last.table.num_rows > blocks.BLOCK_ROWS:
            raise BadInput(
                f"{path} has more than {blocks.BLOCK_ROWS:,} rows in one order, by the field "
                f"{shape.fill_down.by}. Name the field of the order in fill_down.by."
            )
    if last is not None:
        yield _filled(shape, _together(whole[1] if whole else None, last))
    elif whole is not None:
        yield _filled(*whole)


def _together(first: Rows | None, second: Rows) -> Rows:
    if first is None:
        return second
    bad = [*first.bad, *second.bad]
    if not second.table.num_rows:  # only bad lines
        return replace(first, bad=bad)
    table = pa.concat_tables([first.table, second.table], promote_options="permissive")
    numbers = pa.concat_arrays([first.numbers, second.numbers])
    return replace(second, table=table.combine_chunks(), numbers=numbers, bad=bad)


def _split(rows: Rows, shape: Shape) -> tuple[Rows, Rows | None]:
    """Return the whole orders, and the last one, which may continue in the next block."""
    if shape.fill_down is None or not rows.table.num_rows:
        return rows, None
    begins = np.flatnonzero(_begins(rows, shape.fill_down, shape.missing))
    before = rows.numbers[int(begins[-1])].as_py() - 1
    return rows.until(before), rows.after(before)


def _begins(rows: Rows, fill: FillDown, missing: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Return which rows are the first of an order, shape (n,).

    A row without an order that follows an unreadable line belongs to no order.
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


def _filled(shape: Shape, rows: Rows) -> tuple[Shape, Rows]:
    """Return the rows with the cells of their orders, and the place of each in its order."""
    if shape.fill_down is None or not rows.table.num_rows:
        return shape, rows
    fill, missing = shape.fill_down, shape.missing
    begins = _begins(rows, fill, missing)
    table = rows.table
    for name in dict.fromkeys((fill.by, *fill.fields)):
        if name in table.column_names:
            is_there = _text(table, name, missing).is_valid().to_numpy(zero_copy_only=False)
            column = table[name].take(pa.array(_last_where(is_there | begins)))
            table = table.set_column(table.column_names.index(name), name, column)
    starts = _last_where(begins)
    table = table.append_column(PLACE, pa.array(np.arange(len(starts)) - starts))
    return shape, replace(rows, table=table.combine_chunks())


def _last_where(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return, for each place, the last one up to it where the mask is true; -1 when none is."""
    places: npt.NDArray[np.int64] = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    return places


def _text(table: pa.Table, name: str, missing: tuple[str, ...]) -> pa.Array:
    array = values.field(table, name)
    if array is None:
        return pa.nulls(table.num_rows, pa.string())
    return values.as_text(array, Value(fields=(name,), missing=missing))
