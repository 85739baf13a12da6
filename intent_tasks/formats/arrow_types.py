"""Columns of any type that Parquet knows, in the few that the formats read.

Numbers, truths, days, instants, texts and bytes stay as they are, in structs and lists too. What is
written in another way (a text with long offsets, a dictionary) becomes one of them; every other
value (a decimal, a duration, a UUID) becomes its text.
"""

import uuid
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WRAPPED = ("element", "array_element", "item", "array")
"""Names that writers give the one field around an element of a list."""

_KEPT = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_map,
)


def table(batch: pa.RecordBatch | pa.Table) -> pa.Table:
    """Return the same rows in plain types."""
    columns = [plain(_whole(column)) for column in batch.columns]
    return pa.Table.from_arrays(columns, names=batch.schema.names)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def plain(array: pa.Array) -> pa.Array:
    """Return the same values in a plain type."""
    kind = array.type
    if any(is_kind(kind) for is_kind in _KEPT):
        return array
    for is_kind, other in _OTHERS:
        if is_kind(kind):
            return plain(other(array))
    if pa.types.is_list(kind):
        return _list(array, plain(array.flatten()))
    return _struct(array) if pa.types.is_struct(kind) else _text(array)


def _uuid(array: pa.ExtensionArray) -> pa.Array:
    texts = (None if v is None else str(uuid.UUID(bytes=v)) for v in array.storage.to_pylist())
    return pa.array(texts, pa.string())


def _any_of(*kinds: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(is_kind(kind) for is_kind in kinds)


_OTHERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (lambda kind: isinstance(kind, pa.UuidType), _uuid),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), lambda array: array.storage),
    (pa.types.is_dictionary, lambda array: array.dictionary_decode()),
    (pa.types.is_run_end_encoded, pc.run_end_decode),
    (
        _any_of(pa.types.is_large_string, pa.types.is_string_view),
        lambda array: array.cast(pa.string()),
    ),
    (
        _any_of(pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
        lambda array: array.cast(pa.binary()),
    ),
    (
        _any_of(
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        ),
        lambda array: array.cast(pa.list_(array.type.value_field)),
    ),
    (pa.types.is_float16, lambda array: array.cast(pa.float64())),
    (pa.types.is_decimal, lambda array: _without_empty_places(_text(array))),
)
"""Types that others stand for, and how they become those."""


def _without_empty_places(numbers: pa.Array) -> pa.Array:
    """Return 7.00 as 7, as any other number: an id is written in one way."""
    short = pc.replace_substring_regex(numbers, r"(\.\d*?)0+$", r"\1")
    return pc.utf8_rtrim(short, ".")


def _list(lists: pa.Array, elements: pa.Array) -> pa.Array:
    """Return lists of the same lengths with these elements."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, elements, mask=pc.is_null(lists))


def _struct(array: pa.StructArray) -> pa.Array:
    fields = {
        field.name: plain(column) for field, column in zip(array.type, array.flatten(), strict=True)
    }
    inner = fields.get("list")
    if len(fields) == 1 and inner is not None and pa.types.is_list(inner.type):
        elements = inner.flatten()
        if pa.types.is_struct(elements.type) and elements.type.num_fields == 1:
            [only] = elements.type
            elements = elements.flatten()[0] if only.name in _WRAPPED else elements
        return _list(inner, elements)
    if not fields:
        return pa.nulls(len(array))
    return pa.StructArray.from_arrays(
        list(fields.values()), names=list(fields), mask=pc.is_null(array)
    )


def _text(array: pa.Array) -> pa.Array:
    try:
        return array.cast(pa.string())
    except pa.ArrowException:
        return pa.array((None if v is None else str(v) for v in array.to_pylist()), pa.string())
