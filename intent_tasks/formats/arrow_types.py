"""Convert columns of any Parquet type to the few types that the formats read.

Numbers, booleans, dates, instants, texts and bytes stay as they are, in structs and lists too. What
is written in another way (a text with long offsets, a dictionary) becomes one of them; every other
value (a decimal, a duration, a UUID) becomes its text.
"""

import re
import uuid
from collections.abc import Callable, Iterable

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
    pa.types.is_map,
)

_NO_NUMBERS = (
    pa.types.is_boolean,
    pa.types.is_duration,
    pa.types.is_interval,
    pa.types.is_time,
    pa.types.is_date,
    pa.types.is_timestamp,
)

_UUID_BYTES = 16
_CONTROLS = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f]")


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
    if pa.types.is_binary(kind):
        return _bytes(array)
    if pa.types.is_fixed_size_binary(kind):
        return _fixed_bytes(array)
    for is_kind, other in _OTHERS:
        if is_kind(kind):
            return plain(other(array))
    if pa.types.is_list(kind):
        return _list(array, plain(array.flatten()))
    return _struct(array) if pa.types.is_struct(kind) else _text(array)


def find_no_numbers(schema: pa.Schema, names: Iterable[str]) -> dict[str, str]:
    """Return which fields have a type that no number can be read from, and that type."""
    types = {name: _type_of(schema, name) for name in names}
    return {
        name: str(kind)
        for name, kind in types.items()
        if kind is not None and any(is_kind(kind) for is_kind in _NO_NUMBERS)
    }


def _type_of(schema: pa.Schema, name: str) -> pa.DataType | None:
    """Return the type of a field, also one inside others (`user.id`); None: there is none."""
    fields: pa.Schema | pa.DataType = schema
    for part in [name] if name in schema.names else name.split("."):
        if isinstance(fields, pa.ListType):
            fields = fields.value_type
        if not isinstance(fields, pa.Schema | pa.StructType):
            return None
        if part not in (field.name for field in fields):
            return None
        fields = fields.field(part).type
    return fields if isinstance(fields, pa.DataType) else None


def _uuid(array: pa.ExtensionArray) -> pa.Array:
    texts = (None if v is None else str(uuid.UUID(bytes=v)) for v in array.storage.to_pylist())
    return pa.array(texts, pa.string())


def _fixed_bytes(array: pa.FixedSizeBinaryArray) -> pa.Array:
    """Return fixed bytes; 16 of them that are no text are a UUID, as writers store them."""
    if array.type.byte_width != _UUID_BYTES:
        return array.cast(pa.binary())
    ids = [None if v is None or _is_text(v) else uuid.UUID(bytes=v) for v in array.to_pylist()]
    return _with_ids(array.cast(pa.binary()), ids)


def _bytes(array: pa.BinaryArray) -> pa.Array:
    """Return bytes; those that are no text, and have the marks of a UUID, are one."""
    lengths = pc.binary_length(array)
    if not pc.any(pc.equal(lengths, _UUID_BYTES)).as_py():
        return array
    return _with_ids(array, [_marked_uuid(value) for value in array.to_pylist()])


def _marked_uuid(value: bytes | None) -> uuid.UUID | None:
    if value is None or len(value) != _UUID_BYTES or _is_text(value):
        return None
    identifier = uuid.UUID(bytes=value)
    return identifier if identifier.variant == uuid.RFC_4122 or not identifier.int else None


def _with_ids(array: pa.BinaryArray, ids: list[uuid.UUID | None]) -> pa.Array:
    """Return bytes with the texts of ids in place of those that are one."""
    if not any(identifier is not None for identifier in ids):
        return array
    texts = pa.array(
        [None if identifier is None else str(identifier).encode() for identifier in ids],
        pa.binary(),
    )
    return pc.coalesce(texts, array)


def _is_text(value: bytes) -> bool:
    try:
        return not _CONTROLS.search(value.decode())
    except UnicodeDecodeError:
        return False


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
        _any_of(pa.types.is_large_binary, pa.types.is_binary_view),
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
"""Types that stand for another type, and their conversions."""


def _without_empty_places(numbers: pa.Array) -> pa.Array:
    """Return 7.00 as 7, so that an id has one spelling."""
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
    """Return each value as text; of a duration as hours and minutes, which are no number."""
    try:
        if pa.types.is_duration(array.type):
            raise pa.ArrowNotImplementedError
        return array.cast(pa.string())
    except pa.ArrowException:
        return pa.array((None if v is None else str(v) for v in array.to_pylist()), pa.string())
