"""Read delimited text, such as CSV; a line with too many or too few fields is set aside."""

import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.csv

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.mapping import Format, Shape


def read(
    stream: pa.NativeFile, path: str, layout: Format, part_bytes: int
) -> Iterator[tuple[Shape, Rows]]:
    """Read the lines of a file, with the first shape of the format that its first line fits.

    Args:
        stream: at its beginning.
        path: its name.
        layout: its format.
        part_bytes: so much is read at once; a line must fit in it.

    Raises:
        BadInput: the first line fits none, or is no text.
    """
    begun = stream.read(part_bytes)
    if not begun:
        return
    shape, header = _shape(begun, path, layout)
    bad: list[BadRow] = []
    number = 1 if shape.header else 2
    again = _Again(begun, stream)
    for table in _together(_batches(again, path, shape, header, part_bytes, bad)):
        numbers, now = _numbered(number, table.num_rows, bad)
        number = max([number - 1, *numbers[-1:], *(row.number for row in now)]) + 1
        yield shape, Rows(table, pa.array(numbers, pa.int64()), now)
    if bad:
        empty = pa.table({name: pa.array([], pa.binary()) for name in header})
        yield shape, Rows(empty, pa.array([], pa.int64()), bad)


def _batches(
    stream: "_Again",
    path: str,
    shape: Shape,
    header: list[str],
    part_bytes: int,
    bad: list[BadRow],
) -> Iterator[pa.RecordBatch]:
    """Read all columns as bytes, so that one line that is no UTF-8 does not cost the block."""

    def set_aside(row: pa.csv.InvalidRow) -> str:
        rule = f"{row.actual_columns} fields instead of {row.expected_columns}"
        bad.append(BadRow(row.number, rule, json.dumps(row.text)))
        return "skip"

    yield from pa.csv.open_csv(
        stream,
        read_options=pa.csv.ReadOptions(
            block_size=part_bytes,
            use_threads=False,  # numbers of lines are known only without
            column_names=header if shape.header else None,
            encoding=shape.encoding,
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=_delimiter(path, shape),
            newlines_in_values=True,
            invalid_row_handler=set_aside,
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.binary()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _together(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield as many parts in one as make a block."""
    waiting: list[pa.RecordBatch] = []
    for part in parts:
        waiting.append(part)
        if sum(p.nbytes for p in waiting) >= blocks.BLOCK_BYTES:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _numbered(start: int, count: int, bad: list[BadRow]) -> tuple[list[int], list[BadRow]]:
    """Return the numbers of `count` good lines from `start`, and the bad lines before the last.

    The reader looks ahead: `bad` keeps those that come later.
    """
    skipped = {row.number for row in bad}
    candidates = range(start, start + count + len(skipped))
    numbers = [n for n in candidates if n not in skipped] if skipped else list(candidates)
    numbers = numbers[:count]
    last = numbers[-1] if numbers else candidates.stop
    now = [row for row in bad if row.number <= last]
    bad[:] = [row for row in bad if row.number > last]
    return numbers, now


def _first_line(data: bytes, path: str, encoding: str) -> str:
    try:
        if encoding == "utf-8":  # which a later line need not be
            return re.split(rb"[\r\n]", data, maxsplit=1)[0].decode("utf-8-sig")
        return re.split(r"[\r\n]", codecs.getincrementaldecoder(encoding)().decode(data))[0]
    except UnicodeDecodeError as error:
        raise otherwise_encoded(path, error) from None


def otherwise_encoded(path: str, error: UnicodeDecodeError) -> BadInput:
    """Return what to say of a file that has bytes which its encoding does not know."""
    return BadInput(
        f"{path} is not a CSV file in the encoding that its format names, UTF-8 where it names "
        f'none: {error}. Name another in the format, as encoding = "latin-1".'
    )


def _delimiter(path: str, shape: Shape) -> str:
    return "\t" if ".tsv" in PurePosixPath(path).suffixes else shape.delimiter


def _shape(begun: bytes, path: str, layout: Format) -> tuple[Shape, list[str]]:
    """Return the first shape that the first line fits, and the names of the columns."""
    problems = []
    for shape in layout.shapes:
        line = _first_line(begun, path, shape.encoding)
        fields = _fields(line, _delimiter(path, shape))
        if shape.header:
            if len(fields) == len(shape.header):
                return shape, list(shape.header)
            problems.append(f"has {len(fields)} columns instead of {len(shape.header)}")
        elif missing := shape.lacks(tuple(fields)):
            problems.append(f"lacks {', '.join(missing)}")
        elif twice := sorted({n for n in shape.wanted & set(fields) if fields.count(n) > 1}):
            problems.append(f"names {', '.join(twice)} twice")
        else:
            return shape, fields
    raise other_format(path, problems, _fields(line, _delimiter(path, layout.shapes[0])))


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def other_format(path: str, problems: list[str], names: Iterable[str]) -> BadInput:
    """Return what to say of a file that has none of a format's shapes."""
    return BadInput(
        f"{path} is not in this format: it {'; or it '.join(problems)}. "
        f"Its columns: {', '.join(names)[:200]}."
    )


class _Again:
    """A stream whose beginning was read already."""

    closed = False

    def __init__(self, begun: bytes, rest: pa.NativeFile) -> None:
        self._begun, self._rest = begun, rest

    def read(self, size: int = -1) -> bytes:
        if self._begun:
            part, self._begun = self._begun[:size], self._begun[size:] if size >= 0 else b""
            return part
        return bytes(self._rest.read(None if size < 0 else size))

    def close(self) -> None:
        self.closed = True
