"""Names of the fields in a file of customers, also of those that its format does not read."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.errors import BadInput
from intent_tasks.formats import heads, lines, mapping, readers

MOST_LEVELS = 20
"""Fields that are nested more deeply are not looked for."""


def read_names(file: BinaryIO, path: str, layout: mapping.Format) -> set[str]:
    """Return the names of all fields; those inside others after a dot: `privacy.newsletter`.

    Args:
        file: positioned at its beginning.
        path: its name; the end of it says how it is read.
        layout: its format.

    Raises:
        BadInput: a line of JSON names a field twice that the format reads.
    """
    kind, compression = readers.kind_of(path)
    stream = readers.decompress(file, compression)
    if kind == "parquet":
        schema = pq.ParquetFile(stream).schema_arrow
        return {name for field in schema for name in _of_type(field, "")}
    if kind == "json":
        return _of_lines(stream, path, _read_by(layout))
    begun = next(lines.chunks(stream), b"")
    return set(heads.read_head(begun, path, layout).names) if begun else set()


def unread(names: set[str], layout: mapping.Format) -> set[str]:
    """Return the fields that no column of the format is filled from."""
    read = {_bare(part) for name in _read_by(layout) for part in _with_outer(name)}
    return {name for name in names if _bare(name) not in read}


def filled(names: set[str], layout: mapping.Format, table: str) -> set[str]:
    """Return the columns of a table that are filled from a field of the file, or by a constant."""
    present = {_bare(name) for name in names}
    return {
        column
        for shape in layout.shapes
        for column, value in shape.filled[table].items()
        if value.constant is not None
        or any(_bare(part) in present for name in value.names for part in _with_outer(name))
    }


def _read_by(layout: mapping.Format) -> set[str]:
    return {name for shape in layout.shapes for value in shape.values for name in value.names}


def _bare(name: str) -> str:
    return name.strip().casefold()


def _with_outer(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _of_type(field: pa.Field, outer: str) -> Iterator[str]:
    name = f"{outer}{field.name}"
    kind = field.type
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    yield name
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _of_type(inner, f"{name}.")


def _of_lines(stream: pa.NativeFile, path: str, read: set[str]) -> set[str]:
    """Return the names in all lines: a single one may say something of its customer."""
    found: set[str] = set()
    number = 0
    for data, _ in lines.whole(lines.chunks(stream)):
        for line in data.splitlines():
            number += 1
            twice: list[str] = []

            def gather(pairs: list[tuple[str, Any]], twice: list[str] = twice) -> dict[str, Any]:
                row = dict(pairs)
                if len(row) < len(pairs):
                    keys = [key for key, _ in pairs]
                    twice += [key for key in row if keys.count(key) > 1]
                return row

            try:
                row = json.loads(line, object_pairs_hook=gather, parse_int=str)
            except (ValueError, RecursionError):  # such a line is set aside
                continue
            if named := [key for key in twice if any(key in name.split(".") for name in read)]:
                raise BadInput(
                    f"{path}: line {number} names {named[0]} twice. Write each field once."
                )
            _add_keys(row, "", found, 0)
    return found


def _add_keys(value: object, outer: str, found: set[str], depth: int) -> None:
    if depth > MOST_LEVELS:
        return
    if isinstance(value, list):
        for part in value:
            _add_keys(part, outer, found, depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            name = f"{outer}{key}"
            found.add(name)
            if isinstance(inner, dict | list):
                _add_keys(inner, f"{name}.", found, depth + 1)
