"""Fill the columns of events from the fields of a source, whole columns at a time.

A value that is there and cannot be read as what it should be becomes null; who calls sees it by
comparing the column with its text.
"""

import re
from collections.abc import Callable, Collection, Iterable
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.formats.columns import INSTANT
from intent_tasks.formats.mapping import Value, with_exchanged_day

_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_LATEST_SECONDS = 32_503_680_000
"""The year 3000: a number beyond it is in another unit."""

_WITH_COMMA = r"^[+-]?(\d+|\d{1,3}([. '\x{a0}\x{202f}]\d{3})+)(,\d+)?$"
"""A number with decimal comma, its thousands apart or not; any other is no such number."""

_ZONED = r"[T ]\d\d:?\d\d.*(Z|UTC|[+-]\d\d(:?\d\d)?)$"


class Column(NamedTuple):
    """A filled column, shape (n,), and the text it was read from (null where there was none)."""

    values: pa.Array
    given: pa.Array


def fill(rows: pa.Table, value: Value, kind: pa.DataType, *, complete: bool = False) -> Column:
    """Return a column of that type, as a format says.

    Args:
        rows: of a source.
        value: how the column is filled.
        kind: text, number or instant.
        complete: fields that are joined make nothing where one of them is missing.
    """
    if value.constant is not None:
        values = pa.array([value.constant] * rows.num_rows, pa.string()).cast(kind)
        return Column(values, values.cast(pa.string()))
    if value.time:
        return _times(rows, value)
    text = _text_of(rows, value, complete)
    given = _with_structures(text, rows, value)
    if pa.types.is_string(kind):
        return Column(_translated(text, value), given)
    return Column(_numbers(text, value, kind), given)


def _with_structures(text: pa.Array, rows: pa.Table, value: Value) -> pa.Array:
    """Return the text, and a mark where there is an object instead: no column can hold it."""
    for array in () if value.key else arrays(rows, value):
        if _is_structure(array.type):
            text = pc.coalesce(text, pc.if_else(pc.is_valid(array), "{}", None))
    return text


def _is_structure(kind: pa.DataType) -> bool:
    """Tell whether values are objects, or lists of objects or of lists: no text can be made."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_nested(kind.value_type))
    return bool(pa.types.is_nested(kind))


def is_too_large(rows: pa.Table, value: Value, kind: pa.DataType) -> pa.Array:
    """Tell where a number is meant that is larger than a column of whole numbers can hold."""
    if not pa.types.is_integer(kind):
        return pa.array([False] * rows.num_rows, pa.bool_())
    numbers = fill(rows, value, pa.float64()).values
    return pc.fill_null(pc.greater_equal(pc.abs(numbers), 2.0**31), False)


def _text_of(rows: pa.Table, value: Value, complete: bool) -> pa.Array:
    texts = [as_text(array, value) for array in arrays(rows, value)]
    if value.join is not None and len(texts) > 1:
        if complete:
            return pc.binary_join_element_wise(*texts, value.join)
        # Arrow loses a row in which all texts are null; the empty text in front keeps it.
        joined = pc.binary_join_element_wise("", *texts, value.join, null_handling="skip")
        return _not_empty(pc.utf8_slice_codeunits(joined, len(value.join)))
    return reduce(pc.coalesce, texts) if texts else pa.nulls(rows.num_rows, pa.string())


def arrays(rows: pa.Table, value: Value) -> list[pa.Array]:
    """Return the fields that there are, of pairs the values of the key."""
    found = (field(rows, name) for name in value.fields)
    return [_of_key(a, value.key) if value.key else a for a in found if a is not None]


def is_there(rows: pa.Table, value: Value) -> bool:
    """Tell whether a row has one of the fields."""
    arrays = (field(rows, name) for name in value.fields)
    return any(array is not None and array.null_count < len(array) for array in arrays)


def field(rows: pa.Table, name: str) -> pa.Array | None:
    """Return a field, also one inside others (`user.id`); None: there is no such field."""
    outer, path = _place(rows, name)
    return _inside(_whole(rows[outer]), path) if outer in rows.column_names else None


def _place(rows: pa.Table, name: str) -> tuple[str, list[str]]:
    """Return the column that a field is in, and its path there."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (outer := ".".join(parts[:end])) in rows.column_names:
            break
    return outer, parts[end:]


def _inside(array: pa.Array, path: list[str]) -> pa.Array | None:
    for part in path:
        if not pa.types.is_struct(array.type) or array.type.get_field_index(part) < 0:
            return None
        array = pc.struct_field(array, part)
    return array


def without(rows: pa.Table, name: str) -> pa.Table:
    """Return the rows without a field that they have, also one inside others."""
    outer, path = _place(rows, name)
    place, rest = rows.column_names.index(outer), _stripped(_whole(rows[outer]), path)
    return rows.remove_column(place) if rest is None else rows.set_column(place, outer, rest)


def _stripped(array: pa.Array, path: list[str]) -> pa.Array | None:
    """Return a struct without the field at a path; None: nothing is left."""
    if not path:
        return None
    inner = {field.name: pc.struct_field(array, field.name) for field in array.type}
    inner[path[0]] = _stripped(inner[path[0]], path[1:])
    kept = {name: part for name, part in inner.items() if part is not None}
    return pa.StructArray.from_arrays(list(kept.values()), names=list(kept)) if kept else None


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _of_key(pairs: pa.Array, key: str) -> pa.Array:
    """Return, per row, the value of a key in a list of key-value pairs, as text."""
    parents, flat = pc.list_parent_indices(pairs), pc.list_flatten(pairs)
    wanted = pc.fill_null(pc.equal(as_text(pc.struct_field(flat, "key")), key), False)
    parents, flat = parents.filter(wanted), flat.filter(wanted)
    holder = pc.struct_field(flat, "value")
    if not pa.types.is_struct(holder.type):
        holder = pa.StructArray.from_arrays([holder], names=["value"])
    kinds = [holder.type.field(n).name for n in range(holder.type.num_fields)]
    texts = [as_text(_replaced(pc.struct_field(holder, kind))) for kind in kinds]
    text = reduce(pc.coalesce, texts) if texts else pa.nulls(len(flat), pa.string())
    return pc.take(text, pc.index_in(pa.array(range(len(pairs)), parents.type), parents))


def as_text(array: pa.Array, value: Value | None = None) -> pa.Array:
    """Return the values as text; an empty text, and bytes that are no UTF-8, count as none."""
    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    if _is_structure(array.type):
        text = pa.nulls(len(array), pa.string())
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        joiner = value.join if value is not None and value.join is not None else ","
        text = pc.binary_join(_of_texts(array), joiner)
    elif pa.types.is_floating(array.type):
        text = _text_of_numbers(array)
    elif pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        text = decoded(array)
    else:
        text = array.cast(pa.string())
    if value is not None and value.whole:
        text = pc.replace_substring_regex(text, r"^(-?\d+)\.0+$", r"\1")
    return _not_empty(text, value.missing if value is not None else ())


def _of_texts(lists: pa.Array) -> pa.Array:
    """Return lists of texts; bytes that are no UTF-8 count as none."""
    flat = pc.list_flatten(lists)
    parents = pc.list_parent_indices(lists).to_numpy()
    text = flat.cast(pa.string()) if not pa.types.is_binary(flat.type) else decoded(flat)
    ends = np.searchsorted(parents, np.arange(len(lists) + 1))
    joined = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), text)
    return pc.if_else(pc.is_valid(lists), joined, None)


def decoded(array: pa.Array) -> pa.Array:
    """Return bytes as text; those that are no UTF-8 become null."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_utf8(text) for text in array.to_pylist()], pa.string())


def _replaced(array: pa.Array) -> pa.Array:
    """Return bytes as text, with a mark in place of those that are no UTF-8."""
    if not pa.types.is_binary(array.type):
        return array
    texts = (None if raw is None else raw.decode(errors="replace") for raw in array.to_pylist())
    return pa.array(texts, pa.string())


def not_text(array: pa.Array) -> pa.Array:
    """Tell which values, or elements of lists, are bytes that are no UTF-8."""
    if pa.types.is_list(array.type) and pa.types.is_binary(array.type.value_type):
        broken = pc.list_parent_indices(array).filter(not_text(pc.list_flatten(array)))
        return pc.is_in(pa.array(range(len(array)), broken.type), value_set=broken)
    if pa.types.is_binary(array.type):
        return pc.and_(pc.is_valid(array), pc.is_null(decoded(array)))
    return pa.array([False] * len(array), pa.bool_())


def _utf8(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None


def _text_of_numbers(array: pa.Array) -> pa.Array:
    """Return 17850.0 as 17850, whatever the others are: an id is written in one way."""
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), _LARGEST_WHOLE))
    ids = pc.if_else(whole, array, None).cast(pa.int64(), safe=False).cast(pa.string())
    return pc.coalesce(ids, array.cast(pa.string())) if ids.null_count else ids


def text_of_number(number: float) -> str:
    """Return a number as `as_text` returns it, faster than by an array of one."""
    if _SMALLEST_PLAIN <= abs(number) < _LARGEST_PLAIN:
        return str(int(number)) if number.is_integer() else repr(number)
    text: str = _text_of_numbers(pa.array([number]))[0].as_py()
    return text


_LARGEST_WHOLE = 2.0**63
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-4, 1e10
"""Between these Arrow writes numbers as Python does."""


def _not_empty(text: pa.Array, missing: Collection[str] = ()) -> pa.Array:
    none = pa.array(["", *missing], pa.string())
    empty = pc.is_in(text, value_set=none) if missing else pc.equal(text, "")
    return pc.if_else(pc.fill_null(empty, False), None, text) if pc.any(empty).as_py() else text


def _translated(text: pa.Array, value: Value) -> pa.Array:
    if not value.map and not value.patterns:
        return text
    known = pa.array(list(value.map), pa.string())
    meant = pc.take(
        pa.array(list(value.map.values()), pa.string()), pc.index_in(text, value_set=known)
    )
    for pattern, stands_for in value.patterns.items():
        fits = pc.fill_null(pc.match_substring_regex(text, pattern), False)
        meant = pc.coalesce(meant, pc.if_else(fits, stands_for, pa.scalar(None, pa.string())))
    return meant if value.others == "ignore" else pc.coalesce(meant, text)


def _numbers(text: pa.Array, value: Value, kind: pa.DataType) -> pa.Array:
    numbers = _floats(_with_point(text) if value.decimal == "," else text)
    if value.absolute:
        numbers = pc.abs(numbers)
    numbers = pc.if_else(pc.fill_null(pc.is_finite(numbers), False), numbers, None)
    if not pa.types.is_integer(kind):
        return numbers.cast(kind)
    numbers = pc.ceil(numbers)  # a part of a piece, such as 0.35 kg, is one
    fits = pc.fill_null(pc.less(pc.abs(numbers), 2**31), False)
    return pc.if_else(fits, numbers, None).cast(kind, safe=False)


def _with_point(text: pa.Array) -> pa.Array:
    fits = pc.fill_null(pc.match_substring_regex(text, _WITH_COMMA), False)
    bare = pc.replace_substring_regex(pc.if_else(fits, text, None), r"[^0-9,+-]", "")
    return pc.replace_substring(bare, ",", ".")


def _floats(text: pa.Array) -> pa.Array:
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        found = pd.to_numeric(text.to_pandas(), errors="coerce")
        return pa.array(found.to_numpy(float, na_value=float("nan")), from_pandas=True)


def _times(rows: pa.Table, value: Value) -> Column:
    columns = [_time(array, value) for array in arrays(rows, value)]
    if not columns:
        nothing = pa.nulls(rows.num_rows)
        return Column(nothing.cast(INSTANT), nothing.cast(pa.string()))
    read, given = zip(*columns, strict=True)
    return Column(reduce(pc.coalesce, read), reduce(pc.coalesce, given))


def _time(array: pa.Array, value: Value) -> Column:
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        return Column(_instants(array, value.zone), array.cast(pa.string()))
    text = as_text(array, value)
    return Column(_first(lambda way: _read_time(text, way, value.zone), value.time), text)


def exchanged(rows: pa.Table, value: Value) -> str | None:
    """Return a pattern of times with day and month exchanged, if it surely is the right one.

    It reads all times that the pattern reads, and some that no pattern reads.
    """
    column = _times(rows, value)
    lost = pc.is_null(column.values)
    for way in value.time:
        if (other := with_exchanged_day(way)) is None:
            continue
        by_way, by_other = (
            _read_time(column.given, w, value.zone).is_valid() for w in (way, other)
        )
        more = pc.any(pc.and_(lost, by_other)).as_py()
        if more and not pc.any(pc.and_not(by_way, by_other)).as_py():
            return other
    return None


def _first(read: Callable[[str], pa.Array], ways: Iterable[str]) -> pa.Array:
    found: pa.Array | None = None
    for way in ways:
        found = read(way) if found is None else pc.coalesce(found, read(way))
        if found.null_count == 0:
            break
    return found


def _read_time(text: pa.Array, way: str, zone: str) -> pa.Array:
    if way in _UNITS:
        numbers = _floats(text)
        limit = _LATEST_SECONDS * 1e6 / _UNITS[way]
        fits = pc.fill_null(pc.less(pc.abs(numbers), limit), False)
        micros = pc.multiply(pc.if_else(fits, numbers, None), float(_UNITS[way]))
        return pc.round(micros).cast(pa.int64()).cast(INSTANT)
    if way != "iso":
        return _instants(_by_pattern(text, way), zone)
    try:
        bare = pc.utf8_rtrim(text, characters=" UTCZ") if zone == "UTC" else text
        return _instants(bare.cast(pa.timestamp("us")), zone)
    except pa.ArrowInvalid:
        return _slow_iso(text, zone)


def _by_pattern(text: pa.Array, way: str) -> pa.Array:
    """Read times of a pattern; Arrow takes the 30th of February for the 2nd of March."""
    found = pc.strptime(text, format=way, unit="us", error_is_null=True)
    if way.endswith("%z"):  # the day where it was written, not the one in UTC
        bare = pc.replace_substring_regex(text, r" *(Z|[+-]\d\d:?\d\d)$", "")
        local = pc.strptime(bare, format=way[:-2].rstrip(), unit="us", error_is_null=True)
    else:
        local = found
    if "?P<day>" not in (pattern := _with_day(way)):
        return found
    # A day too many becomes the 1st, 2nd or 3rd of the next month: only those are looked at.
    early = pc.fill_null(pc.less_equal(pc.day(local), 3), False)
    written = pc.struct_field(pc.extract_regex(text.filter(early), pattern), "day").cast(pa.int64())
    wrong = pc.fill_null(pc.not_equal(written, pc.day(local.filter(early))), False)
    return pc.replace_with_mask(found, early, pc.if_else(wrong, None, found.filter(early)))


def _with_day(way: str) -> str:
    """Return a regular expression that finds the day in a time of that pattern, if it has one."""
    parts = re.split(r"(%.)", way)
    return "^" + "".join(
        _WRITTEN.get(part, ".*?") if part.startswith("%") else re.escape(part) for part in parts
    )


_WRITTEN = {"%d": r"(?P<day>\d\d?)", "%e": r" ?(?P<day>\d\d?)", "%Y": r"\d{4}"} | dict.fromkeys(
    ("%m", "%y", "%H", "%I", "%M", "%S"), r"\d\d?"
)
"""How parts of a pattern are written."""


def _slow_iso(text: pa.Array, zone: str) -> pa.Array:
    """Read times some of which name a zone or cannot be read."""
    zoned = pc.fill_null(pc.match_substring_regex(text, _ZONED), False)
    named = _by_pandas(pc.if_else(zoned, text, None)).cast(INSTANT)
    bare = _by_pandas(pc.if_else(zoned, None, text)).cast(pa.timestamp("us"))
    return pc.coalesce(named, _instants(bare, zone))


def _by_pandas(text: pa.Array) -> pa.Array:
    plain = pc.replace_substring_regex(text, r" ?UTC$", "Z")
    times = pd.to_datetime(plain.to_pandas(), utc=True, format="ISO8601", errors="coerce")
    return pa.array(times.dt.tz_convert(None).to_numpy(), from_pandas=True).cast(
        pa.timestamp("us"), safe=False
    )


def _instants(array: pa.Array, zone: str) -> pa.Array:
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    if array.type.tz is not None:
        return array.cast(INSTANT, safe=False)
    array = array.cast(pa.timestamp("us"), safe=False)
    if zone == "UTC":
        return array.cast(INSTANT)
    # An hour that comes twice or never, when clocks are changed, is taken as the earlier one.
    local = pc.assume_timezone(array, zone, ambiguous="earliest", nonexistent="earliest")
    return local.cast(INSTANT)
