"""Find duplicates of a source's events; an event of several rows is kept or left out whole."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CONTENT = ("customer_id", "event_type", "product_id", "quantity", "price", "occurred_at")
"""Columns that distinguish events; the source may fill in the others later."""

SAME_TIME_SECONDS = 86_400
"""Largest difference of times of one event: a clock may be corrected before it is resent."""

Mask = npt.NDArray[np.bool_]


class Duplicates(NamedTuple):
    """Masks of rows of repeated events, shape (n,): with the same content, or with another."""

    same: pa.Array
    changed: pa.Array


def first_rows(parts: pa.Array) -> npt.NDArray[np.int64]:
    """Return, for each row, the first row of its event, shape (n,).

    Args:
        parts: place of each row in its event, counted from 0.
    """
    begins = parts.to_numpy(zero_copy_only=False) == 0
    begins[:1] = True
    rows: npt.NDArray[np.int64] = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    return rows


def find_duplicates(
    events: pa.Table, sources: pa.Array, parts: pa.Array | None, usable: pa.Array, *, compare: bool
) -> Duplicates:
    """Find the rows that repeat an earlier event of the source.

    Args:
        events: columns of `shop.events`.
        sources: id of the source's event of each row.
        parts: place of each row in its event; None: each event is one row.
        usable: rows that count.
        compare: compare their content with the first; else the same id is the same event.
    """
    copies = np.arange(len(sources)) if parts is None else first_rows(parts)
    counts = usable.to_numpy(zero_copy_only=False)
    firsts = _firsts(sources, copies, counts)
    repeats = counts & (firsts != copies)
    # The id of another event may equal that of a row of this one; it then contains a slash.
    if parts is not None and pc.any(pc.match_substring(sources, "/")).as_py():
        others = counts & ~repeats
        repeats |= others & _have_earlier_id(events["event_id"], others)
    changed = np.zeros(len(repeats), bool)
    if compare and repeats.any():
        changed = repeats & _differ(events, copies, firsts)
    return Duplicates(pa.array(repeats & ~changed), pa.array(changed))


def _firsts(ids: pa.Array, copies: npt.NDArray[np.int64], counts: Mask) -> npt.NDArray[np.int64]:
    """Return, for each row that counts, the first row of the first event with its id."""
    codes = ids.filter(pa.array(counts)).dictionary_encode()
    of_row = codes.indices.to_numpy()
    first = np.zeros(len(codes.dictionary), np.int64)
    first[of_row[::-1]] = copies[counts][::-1]  # the last assignment wins: the first of the file
    first_of_row = copies.copy()
    first_of_row[counts] = first[of_row]
    return first_of_row


def _have_earlier_id(ids: pa.ChunkedArray, counts: Mask) -> Mask:
    rows = np.arange(len(counts))
    repeats: Mask = _firsts(ids.combine_chunks(), rows, counts) != rows
    return repeats


def _differ(events: pa.Table, copies: npt.NDArray[np.int64], firsts: npt.NDArray[np.int64]) -> Mask:
    """Return the rows of copies with other rows than the first, or more, or fewer."""
    count = len(copies)
    lengths = np.bincount(copies, minlength=count)
    first = np.minimum(firsts + np.arange(count) - copies, count - 1)
    differs = lengths[copies] != lengths[firsts]
    for name in CONTENT:
        column = events[name].combine_chunks()
        other = column.take(pa.array(first))
        equal = _close(column, other) if name == "occurred_at" else pc.equal(column, other)
        same = pc.if_else(pc.is_null(column), pc.is_null(other), equal)
        differs |= ~pc.fill_null(same, False).to_numpy(zero_copy_only=False)
    of_copy = np.zeros(count, bool)
    of_copy[copies[differs]] = True
    row_differs: Mask = of_copy[copies]
    return row_differs


def _close(times: pa.Array, others: pa.Array) -> pa.Array:
    apart = pc.abs(pc.seconds_between(times, others))
    return pc.less_equal(apart, SAME_TIME_SECONDS)
