"""Tell which events of a source come twice: an event of several rows stays, or goes, whole."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CONTENT = ("customer_id", "event_type", "product_id", "quantity", "price", "occurred_at")
"""Columns that make an event another one; the rest may be filled in later by the source."""

SAME_TIME_SECONDS = 86_400
"""An event that is sent again may get a time a little later: clocks are corrected as it is sent."""

Mask = npt.NDArray[np.bool_]


class Repeats(NamedTuple):
    """Rows of events that came before, shape (n,): the same, or with other content."""

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
) -> Repeats:
    """Find the rows of events whose source's event came before.

    Args:
        events: columns of `shop.events`.
        sources: id of the source's event of each.
        parts: place of each row in its event; None: each event is one row.
        usable: which of them count.
        compare: look whether they say the same as the first; else they are taken for the same.
    """
    copies = np.arange(len(sources)) if parts is None else first_rows(parts)
    counts = usable.to_numpy(zero_copy_only=False)
    firsts = _firsts(sources, copies, counts)
    again = counts & (firsts != copies)
    # Another event may be called as a row of this one is: its id has a stroke in it then.
    if parts is not None and pc.any(pc.match_substring(sources, "/")).as_py():
        again |= counts & ~again & _named_before(events["event_id"], counts & ~again)
    changed = np.zeros(len(again), bool)
    if compare and again.any():
        changed = again & _differ(events, copies, firsts)
    return Repeats(pa.array(again & ~changed), pa.array(changed))


def _firsts(ids: pa.Array, copies: npt.NDArray[np.int64], counts: Mask) -> npt.NDArray[np.int64]:
    """Return, for each row that counts, the first row of the first event with its id."""
    codes = ids.filter(pa.array(counts)).dictionary_encode()
    of_row = codes.indices.to_numpy()
    first = np.zeros(len(codes.dictionary), np.int64)
    first[of_row[::-1]] = copies[counts][::-1]  # the last that is written is the first of the file
    found = copies.copy()
    found[counts] = first[of_row]
    return found


def _named_before(ids: pa.ChunkedArray, counts: Mask) -> Mask:
    rows = np.arange(len(counts))
    named: Mask = _firsts(ids.combine_chunks(), rows, counts) != rows
    return named


def _differ(events: pa.Table, copies: npt.NDArray[np.int64], firsts: npt.NDArray[np.int64]) -> Mask:
    """Tell which rows are of a copy that has other rows than the first, or more, or fewer."""
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
    found: Mask = of_copy[copies]
    return found


def _close(times: pa.Array, others: pa.Array) -> pa.Array:
    apart = pc.abs(pc.seconds_between(times, others))
    return pc.less_equal(apart, SAME_TIME_SECONDS)
