"""Read the rows of one open file, block by block: delimited text, JSON lines or Parquet.

A line that is no row is set aside with its number; a file in no such format is refused.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks import bug_report
from intent_tasks.errors import BadInput, IntentError
from intent_tasks.formats import arrow_types, blocks, delimited, heads, jsonlines, lines
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.mapping import Format, Shape

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}

KINDS = {
    ".csv": "text", ".tsv": "text", ".txt": "text", ".dat": "text",
    ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet",
}  # fmt: skip
"""Kind of a file, by the ending of its name."""

_VALUE = re.compile(r"(?<=, got )\d+: .*|['\"].*")
"""What Arrow quotes of a row: the whole row, or one value."""

READ_BYTES = 1 << 20
"""Bytes of each column of a Parquet file that are read at once."""


def kind_of(path: str) -> tuple[str | None, str | None]:
    """Return the kind of a file (None: it is no file of data) and its compression."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes = suffixes[:-1]
    return (KINDS.get(suffixes[-1]) if suffixes else None), compression


def read(file: BinaryIO, path: str, layout: Format) -> Iterator[tuple[Shape, Rows]]:
    """Read the rows of an open file, with the shape of the format that it fits.

    Raises:
        BadInput: its content does not fit its name, or none of the format's shapes.
    """
    kind, compression = kind_of(path)
    readers = {"json": _json, "parquet": _parquet, "text": _text}
    try:
        yield from readers[kind or "text"](file, compression, path, layout)
    except UnicodeDecodeError as error:
        raise heads.other_encoding_error(path, error) from None
    except (pa.ArrowException, EOFError, OSError) as error:
        raise broken_file_error(path, error) from None


@contextmanager
def naming_file(path: str, where: Callable[[], str] = str) -> Iterator[None]:
    """Turn every error of a library or a reader of ours into a refusal of that file.

    Args:
        path: its name.
        where: returns the place that was read last.

    Raises:
        BadInput: in place of any error that does not name the file itself.
    """
    try:
        yield
    except IntentError:
        raise
    except Exception as error:  # every library has its own; none may cost the other files
        raise BadInput(
            f"{path} cannot be read {where()}({bug_report.describe(error)}). Mend the file; if "
            "it is right, report this as a fault of the reader. What was loaded of it stays."
        ) from error


def decompress(file: BinaryIO, compression: str | None) -> pa.NativeFile:
    """Return the file as Arrow reads it, decompressed."""
    source = pa.PythonFile(file, mode="r")
    return pa.CompressedInputStream(source, compression) if compression else source


def broken_file_error(path: str, error: Exception) -> BadInput:
    """Return the refusal of a file whose bytes are broken."""
    kind, compression = kind_of(path)
    message = str(error).splitlines()[0]
    if _is_too_long(message):
        return BadInput(
            f"{path} has a line longer than {blocks.BLOCK_BYTES >> 20} MiB, or a quotation mark "
            "that is never closed. Mend that line."
        )
    if "Truncated" in message or "EOF" in message:
        message = f"{message} (was it still being written?)"
    message = _VALUE.sub("…", message)
    kind_name = " ".join(filter(None, (compression, kind if kind == "parquet" else None))) or "text"
    return BadInput(f"{path} cannot be read as {kind_name}: {message}. Write the file again.")


def _is_too_long(message: str) -> bool:
    return "straddl" in message or "try to increase block size" in message


def _text(
    file: BinaryIO, compression: str | None, path: str, layout: Format
) -> Iterator[tuple[Shape, Rows]]:
    yield from delimited.read(decompress(file, compression), path, layout)


def _json(
    file: BinaryIO, compression: str | None, path: str, layout: Format
) -> Iterator[tuple[Shape, Rows]]:
    shape = layout.shapes[0]
    number = 1
    for data, _ in lines.whole(lines.chunks(decompress(file, compression))):
        block = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
        if number == 1 and block.lstrip().startswith(b"["):
            raise BadInput(
                f"{path} is a JSON array; one object a line is needed. Write it so, as with "
                "jq -c '.[]', to a file whose name ends in .jsonl."
            )
        yield shape, jsonlines.parse(block, shape, number)
        number += block.count(b"\n") + (not block.endswith(b"\n"))


def _parquet(
    file: BinaryIO, compression: str | None, path: str, layout: Format
) -> Iterator[tuple[Shape, Rows]]:
    # A buffer keeps Arrow from reading a whole row group, which may be the whole file, at once.
    # Without pre_buffer, which holds what it has read until the end of the file.
    table = pq.ParquetFile(decompress(file, compression), buffer_size=READ_BYTES, pre_buffer=False)
    schema = arrow_types.table(table.schema_arrow.empty_table()).schema
    names = tuple(schema.names)
    problems = []
    for shape in layout.shapes:
        named = dict(zip(names, shape.named(names), strict=True))
        if missing := shape.lacks(tuple(named.values())):
            problems.append(f"lacks {', '.join(missing)}")
            continue
        if twice := heads.find_duplicates(shape, shape.named(names)):
            problems.append(f"names {', '.join(twice)} twice")
            continue
        if lists := _lists(schema, shape):
            problems.append(f"has a list in {', '.join(lists)}, to be named as `each`")
            continue
        written = pa.schema([f.with_name(named[f.name]) for f in table.schema_arrow])
        no_numbers = arrow_types.find_no_numbers(written, shape.numbers)
        number = 1
        wanted = [n for n in names if named[n] in shape.wanted]
        for block in _full_blocks(table.iter_batches(blocks.BLOCK_ROWS, columns=wanted)):
            numbers = pa.array(range(number, number + block.num_rows), pa.int64())
            number += block.num_rows
            block = block.rename_columns([named[n] for n in block.column_names])
            yield shape, Rows(block, numbers, [], no_numbers=no_numbers)
        return
    raise heads.other_format_error(path, problems, names)


def _full_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows in plain types, in blocks that are at least half full.

    Where a column is a dictionary, a batch ends with its row group, which may have a few rows only.
    """
    some: list[pa.Table] = []
    count = 0
    for batch in batches:
        some.append(arrow_types.table(batch))
        count += batch.num_rows
        if 2 * count >= blocks.BLOCK_ROWS:
            block, some, count = _joined(some), [], 0
            yield block
    if some:
        yield _joined(some)


def _joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _lists(schema: pa.Schema, shape: Shape) -> list[str]:
    """Return lists that hold fields of a shape, and that it does not name as `each`."""
    return sorted(
        {
            path
            for value in shape.values
            for name in value.names
            if (path := _list_around(schema, name)) not in (None, shape.each)
        }
    )


def _list_around(schema: pa.Schema, name: str) -> str | None:
    parts = name.split(".")
    fields: pa.Schema | pa.StructType = schema
    for depth, part in enumerate(parts[:-1], 1):
        if part not in fields.names:
            return None
        kind = fields.field(part).type
        if pa.types.is_list(kind):
            return ".".join(parts[:depth])
        if not pa.types.is_struct(kind):
            return None
        fields = kind
    return None
