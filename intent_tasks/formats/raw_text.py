"""Bytes as text, where a source does not say that they are: some may be no UTF-8."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def decode_lists(lists: pa.Array) -> pa.Array:
    """Return lists of texts; bytes that are no UTF-8 count as none."""
    flat = pc.list_flatten(lists)
    parents = pc.list_parent_indices(lists).to_numpy()
    text = flat.cast(pa.string()) if not pa.types.is_binary(flat.type) else decode(flat)
    ends = np.searchsorted(parents, np.arange(len(lists) + 1))
    joined = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), text)
    return pc.if_else(pc.is_valid(lists), joined, None)


def decode(array: pa.Array) -> pa.Array:
    """Return bytes as text; those that are no UTF-8 become null."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_utf8(text) for text in array.to_pylist()], pa.string())


def decode_with_marks(array: pa.Array) -> pa.Array:
    """Return bytes as text, with a mark in place of those that are no UTF-8."""
    if not pa.types.is_binary(array.type):
        return array
    texts = (None if raw is None else raw.decode(errors="replace") for raw in array.to_pylist())
    return pa.array(texts, pa.string())


def find_undecodable(array: pa.Array) -> pa.Array:
    """Tell which values, or elements of lists, are bytes that are no UTF-8."""
    if pa.types.is_list(array.type) and pa.types.is_binary(array.type.value_type):
        broken = pc.list_parent_indices(array).filter(find_undecodable(pc.list_flatten(array)))
        return pc.is_in(pa.array(range(len(array)), broken.type), value_set=broken)
    if pa.types.is_binary(array.type) and (text := decode(array)).null_count > array.null_count:
        return pc.and_(pc.is_valid(array), pc.is_null(text))
    return pa.repeat(False, len(array))


def _utf8(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None
