"""Make a row of each element of a list: an order that lists its products is several events."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.formats import blocks, values
from intent_tasks.formats.blocks import Rows


def split_rows(rows: Rows, each: str | None) -> Iterator[Rows]:
    """Yield the rows in parts of about as many events as a block may have rows."""
    if (lists := _lists(rows.table, each)) is None:
        yield rows
        return
    ends = (np.cumsum(_counts(lists)) - 1) // blocks.BLOCK_ROWS
    last = 0
    for place in np.flatnonzero(np.diff(ends)).tolist():
        until = rows.numbers[place].as_py()
        yield rows.after(last).until(until)
        last = until
    yield rows.after(last) if last else rows


def _lists(table: pa.Table, each: str | None) -> pa.Array | None:
    lists = values.field(table, each) if each else None
    if lists is None or not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        return None
    return lists


def _counts(lists: pa.Array) -> npt.NDArray[np.int64]:
    """Return the number of events of each list, shape (n,): one for an empty list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    counts: npt.NDArray[np.int64] = np.maximum(lengths, 1).astype(np.int64)
    return counts


def spread(
    table: pa.Table, numbers: pa.Array, each: str | None
) -> tuple[pa.Table, pa.Array, pa.Array | None]:
    """Return a row for each element of a list, and the place of each in its list.

    The list is replaced by its element; a row whose list is empty stays as it is.
    """
    if (lists := _lists(table, each)) is None:
        return table, numbers, None
    counts = _counts(lists)
    parents = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
    empty = pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True)
    none = empty.to_numpy(zero_copy_only=False)[parents]
    flat = np.cumsum(~none) - 1
    elements = pc.take(pc.list_flatten(lists), pa.array(flat, pa.int64(), mask=none))
    if elements.null_count > none.sum():  # a null in a list is no line of it
        is_line = _lines_of(elements, parents)
        elements, parents = elements.filter(pa.array(is_line)), parents[is_line]
        first = np.concatenate([[True], parents[1:] != parents[:-1]])
        places = np.arange(len(parents)) - np.maximum.accumulate(
            np.where(first, np.arange(len(parents)), 0)
        )
    # Without the list itself: a copy for each of its elements would grow with the square.
    rest = (
        values.remove_field(table, str(each))
        .append_column(_NUMBER, numbers)
        .take(pa.array(parents))
    )
    spread = rest.drop_columns([_NUMBER]).append_column(str(each), elements)
    return spread, rest[_NUMBER].combine_chunks(), pa.array(places)


def _lines_of(elements: pa.Array, parents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which elements are lines: those that are not null, and one where all of a list are."""
    valid = elements.is_valid().to_numpy(zero_copy_only=False)
    first = np.concatenate([[True], parents[1:] != parents[:-1]])
    has_none = np.bincount(parents, weights=valid)[parents] == 0
    lines: npt.NDArray[np.bool_] = valid | (has_none & first)
    return lines


_NUMBER = ""
"""A column that no source has."""
