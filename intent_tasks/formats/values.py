"""Fill the columns of events from the fields of a source, whole columns at a time.

A value that cannot be read becomes null; the caller finds it by comparing the column with its text.
"""

from collections.abc import Collection, Iterable
from functools import reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.formats import blocks, numbers, raw_text, times, words
from intent_tasks.formats.column_value import Value, with_exchanged_day
from intent_tasks.formats.columns import INSTANT


class Column(NamedTuple):
    """A filled column, shape (n,), and the text it was read from (null where there is none)."""

    values: pa.Array
    given: pa.Array
    currencies: pa.Array | None = None
    """Codes of the currencies of numbers; None when there are none."""


def fill(rows: pa.Table, value: Value, kind: pa.DataType, *, complete: bool = False) -> Column:
    """Return a column of that type, filled as a format says.

    Args:
        rows: of a source.
        value: how the column is filled.
        kind: text, number, boolean or instant.
        complete: joined fields are null where one of them is missing.
    """
    if value.constant is not None:
        values = pa.repeat(pa.scalar(value.constant, pa.string()), rows.num_rows).cast(kind)
        return Column(values, values.cast(pa.string()))
    if value.time:
        column = _times(rows, value)
        return column._replace(given=_marked(column.given, rows, value, kind))
    text = text_of(rows, value, complete=complete)
    given = _marked(text, rows, value, kind)
    if pa.types.is_string(kind):
        return Column(_translated(text, value), given)
    if pa.types.is_boolean(kind):
        return Column(read_booleans(_translated(text, value)), given)
    read = numbers.read(text, value)
    return Column(_typed(_computed(read.values, rows, value), kind), given, read.currencies)


def _marked(text: pa.Array, rows: pa.Table, value: Value, kind: pa.DataType) -> pa.Array:
    """Return the text, with a mark where there is an object, or bytes in place of a number."""
    for array in plain_arrays(rows, value):
        if _is_structure(array.type):
            text = _with_mark(text, array.is_valid())
        elif not pa.types.is_string(kind):
            text = _with_mark(text, raw_text.find_undecodable(array))
    if blocks.MISFITS in rows.column_names:
        for name in value.names:
            text = _with_mark(text, blocks.has_misfit(_whole(rows[blocks.MISFITS]), name))
    return text


def _with_mark(text: pa.Array, where: pa.Array) -> pa.Array:
    if not pc.any(where).as_py():
        return text
    return pc.coalesce(text, pc.if_else(where, "{}", None))


def _is_structure(kind: pa.DataType) -> bool:
    """Return whether values are objects, or lists of objects or lists, which have no text."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_nested(kind.value_type))
    return bool(pa.types.is_nested(kind))


def is_too_large(rows: pa.Table, value: Value, kind: pa.DataType) -> pa.Array:
    """Return where a number is too large for a column of whole numbers."""
    if not pa.types.is_integer(kind):
        return pa.repeat(False, rows.num_rows)
    exact = fill(rows, value, pa.float64()).values
    return pc.fill_null(pc.greater_equal(pc.abs(exact), 2.0**31), False)


def text_of(rows: pa.Table, value: Value, *, complete: bool = False) -> pa.Array:
    """Return the text that a column is read from: of the first field, or of all joined."""
    texts = [_text_of(rows, field, value, complete) for field in value.fields]
    if value.join is not None and len(texts) > 1:
        text = _joined(texts, value.join, complete)
    else:
        text = reduce(pc.coalesce, texts) if texts else pa.nulls(rows.num_rows, pa.string())
    return text if value.default is None else pc.fill_null(text, value.default)


def _text_of(rows: pa.Table, part: str | Value, value: Value, complete: bool) -> pa.Array:
    if isinstance(part, Value):
        return _translated(text_of(rows, part, complete=complete), part)
    array = _array(rows, part, value)
    return pa.nulls(rows.num_rows, pa.string()) if array is None else as_text(array, value)


def _joined(texts: list[pa.Array], between: str, complete: bool) -> pa.Array:
    if complete:
        return pc.binary_join_element_wise(*texts, between)
    # Arrow loses a row in which all texts are null; the empty text in front keeps it.
    joined = pc.binary_join_element_wise("", *texts, between, null_handling="skip")
    return _not_empty(pc.utf8_slice_codeunits(joined, len(between)))


def plain_arrays(rows: pa.Table, value: Value) -> list[pa.Array]:
    """Return the fields that the rows have, without key-value pairs."""
    arrays_of_leaves = (field(rows, name) for name, leaf in value.leaves if not leaf.key)
    return [array for array in arrays_of_leaves if array is not None]


def arrays(rows: pa.Table, value: Value) -> list[pa.Array]:
    """Return the fields that the rows have; of key-value pairs the values of the key."""
    arrays_of_leaves = (_array(rows, name, leaf) for name, leaf in value.leaves)
    return [array for array in arrays_of_leaves if array is not None]


def _array(rows: pa.Table, name: str, value: Value) -> pa.Array | None:
    array = field(rows, name)
    return array if array is None or not value.key else _of_key(array, value.key)


def has_field(rows: pa.Table, value: Value, *, empty: bool = False) -> bool:
    """Return whether one of the fields has a value; with `empty`, whether one exists."""
    arrays_of_names = (field(rows, name) for name in value.names)
    return any(a is not None and (empty or a.null_count < len(a)) for a in arrays_of_names)


def find_absent(rows: pa.Table, columns: Iterable[tuple[str, Value]]) -> list[str]:
    """Return the columns whose fields no row has."""
    return [
        name if value.names == (name,) else f"{name} ({' or '.join(value.names)})"
        for name, value in columns
        if rows.num_rows and value.names and not has_field(rows, value)
    ]


def field(rows: pa.Table, name: str) -> pa.Array | None:
    """Return a field, also an inner one (`user.id`); None when there is no such field."""
    outer, path = _place(rows, name)
    return _inside(_whole(rows[outer]), path) if outer in rows.column_names else None


def _place(rows: pa.Table, name: str) -> tuple[str, list[str]]:
    """Return the column that holds a field, and the path inside it."""
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


def remove_field(rows: pa.Table, name: str) -> pa.Table:
    """Return the rows without one of their fields, also an inner one."""
    outer, path = _place(rows, name)
    place, rest = rows.column_names.index(outer), _stripped(_whole(rows[outer]), path)
    return rows.remove_column(place) if rest is None else rows.set_column(place, outer, rest)


def _stripped(array: pa.Array, path: list[str]) -> pa.Array | None:
    """Return a struct without the field at a path; None when nothing is left."""
    if not path:
        return None
    inner = {field.name: pc.struct_field(array, field.name) for field in array.type}
    inner[path[0]] = _stripped(inner[path[0]], path[1:])
    fields = {name: part for name, part in inner.items() if part is not None}
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields)) if fields else None


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _of_key(pairs: pa.Array, key: str) -> pa.Array:
    """Return, per row, the value of a key in a list of key-value pairs, as text."""
    if not _are_pairs(pairs.type):
        return pa.nulls(len(pairs), pa.string())
    parents, flat = pc.list_parent_indices(pairs), pc.list_flatten(pairs)
    wanted = pc.fill_null(pc.equal(as_text(pc.struct_field(flat, "key")), key), False)
    parents, flat = parents.filter(wanted), flat.filter(wanted)
    holder = pc.struct_field(flat, "value")
    if not pa.types.is_struct(holder.type):
        holder = pa.StructArray.from_arrays([holder], names=["value"])
    kinds = [holder.type.field(n).name for n in range(holder.type.num_fields)]
    texts = [as_text(raw_text.decode_with_marks(pc.struct_field(holder, kind))) for kind in kinds]
    text = reduce(pc.coalesce, texts) if texts else pa.nulls(len(flat), pa.string())
    return pc.take(text, pc.index_in(pa.array(range(len(pairs)), parents.type), parents))


def _are_pairs(kind: pa.DataType) -> bool:
    """Return whether lists of this type hold a `key`, and a `value` with fields by its type."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_struct(inner := kind.value_type):
        return False
    names = [field.name for field in inner]
    return {"key", "value"} <= set(names) and pa.types.is_struct(inner.field("value").type)


def as_text(array: pa.Array, value: Value | None = None) -> pa.Array:
    """Return the values as text; an empty text, and bytes that are no UTF-8, become null."""
    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    if _is_structure(array.type):
        text = pa.nulls(len(array), pa.string())
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        joiner = value.join if value is not None and value.join is not None else ","
        text = pc.binary_join(raw_text.decode_lists(array), joiner)
    elif pa.types.is_floating(array.type):
        text = _text_of_numbers(array)
    elif pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        text = raw_text.decode(array)
    else:
        text = array.cast(pa.string())
    if value is not None and value.whole:
        text = pc.replace_substring_regex(text, r"^(-?\d+)\.0+$", r"\1")
    return _not_empty(text, value.missing if value is not None else ())


def _text_of_numbers(array: pa.Array) -> pa.Array:
    """Return 17850.0 as 17850, so that an id has one spelling."""
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
"""Between these bounds Arrow writes numbers as Python does."""


def _not_empty(text: pa.Array, missing: Collection[str] = ()) -> pa.Array:
    empty = words.match_words(text, ("", *missing)) if missing else pc.equal(text, "")
    return pc.if_else(pc.fill_null(empty, False), None, text) if pc.any(empty).as_py() else text


def _translated(text: pa.Array, value: Value) -> pa.Array:
    if not value.map and not value.patterns:
        return text
    texts = pa.array(list(value.map), pa.string())
    meanings = pa.array(list(value.map.values()), pa.string())
    translated = pc.take(meanings, pc.index_in(text, value_set=texts))
    for pattern, meaning in value.patterns.items():
        fits = pc.fill_null(pc.match_substring_regex(text, pattern), False)
        translated = pc.coalesce(
            translated, pc.if_else(fits, meaning, pa.scalar(None, pa.string()))
        )
    return translated if value.others == "ignore" else pc.coalesce(translated, text)


def _computed(amounts: pa.Array, rows: pa.Table, value: Value) -> pa.Array:
    """Return numbers after subtraction and division; null where a part cannot be read."""
    for part in value.less:
        off = fill(rows, part, pa.float64())
        amounts = pc.subtract(amounts, pc.if_else(pc.is_null(off.given), 0.0, off.values))
    divisor = value.divide_by
    if isinstance(divisor, str):
        by = fill(rows, value.divisor, pa.float64()).values
        divisor = pc.if_else(pc.equal(by, 0), None, by)
    if divisor is not None:
        amounts = pc.divide(amounts, divisor)
    if divisor is not None or value.less:
        amounts = pc.round(amounts, _DECIMALS)
    return pc.abs(amounts) if value.absolute else amounts


_DECIMALS = 6
"""Decimals of computed numbers: 19.99, and not 19.989999999999998."""


def _typed(amounts: pa.Array, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_integer(kind):
        return amounts.cast(kind)
    amounts = pc.ceil(amounts)  # a part of a piece, such as 0.35 kg, is one
    fits = pc.fill_null(pc.less(pc.abs(amounts), 2**31), False)
    return pc.if_else(fits, amounts, None).cast(kind, safe=False)


_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "on"), ("false", "f", "no", "n", "0", "off")


def read_booleans(text: pa.Array) -> pa.Array:
    """Return the booleans of texts, as Postgres reads them; null for any other text."""
    bare = pc.ascii_lower(pc.ascii_trim_whitespace(text))
    is_true, is_false = (pc.is_in(bare, value_set=pa.array(w)) for w in (_TRUE, _FALSE))
    return pc.if_else(is_true, True, pc.if_else(is_false, False, pa.scalar(None, pa.bool_())))


def _times(rows: pa.Table, value: Value) -> Column:
    columns = [_time(array, value) for array in arrays(rows, value)]
    if not columns:
        nothing = pa.nulls(rows.num_rows)
        return Column(nothing.cast(INSTANT), nothing.cast(pa.string()))
    read, given = ([column[part] for column in columns] for part in (0, 1))
    return Column(reduce(pc.coalesce, read), reduce(pc.coalesce, given))


def _time(array: pa.Array, value: Value) -> Column:
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        return Column(times.instants(array, value.zone), array.cast(pa.string()))
    text = as_text(array, value)
    return Column(times.read(text, value.time, value.zone), text)


def find_exchanged_pattern(rows: pa.Table, value: Value) -> str | None:
    """Return a pattern of times with day and month exchanged, if it is certainly right.

    It is when it reads all times that the pattern reads, and some that the pattern does not.
    """
    column = _times(rows, value)
    lost = pc.is_null(column.values)
    for way in value.time:
        if (other := with_exchanged_day(way)) is None:
            continue
        by_way, by_other = (
            times.read_one(column.given, w, value.zone).is_valid() for w in (way, other)
        )
        more = pc.any(pc.and_(lost, by_other)).as_py()
        if more and not pc.any(pc.and_not(by_way, by_other)).as_py():
            return other
    return None
