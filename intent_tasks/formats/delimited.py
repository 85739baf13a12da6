"""Read delimited text, such as CSV; a line that is no record is set aside."""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from itertools import chain
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.formats.lines import Lines, chunks, split, whole
from intent_tasks.formats.mapping import Format, Shape
from intent_tasks.formats.quotations import Found, Quotations


def read(stream: pa.NativeFile, path: str, layout: Format) -> Iterator[tuple[Shape, Rows]]:
    """Read the lines of a file, with the first shape of the format that its first line fits.

    Rows are numbered by the line of the file that they begin in.

    Args:
        stream: at its beginning.
        path: its name.
        layout: its format.

    Raises:
        BadInput: the first line fits none, or is no text.
    """
    parts = chunks(stream)
    begun = next(parts, b"")
    if not begun:
        return
    shape, header = _shape(begun, path, layout)
    records = _Records(shape, header, _delimiter(path, shape))
    text = whole(_as_utf8(chain([begun], parts), shape.encoding))
    del begun  # a block that would stay in memory
    number, rest = 1, None
    with suppress(StopIteration):
        while True:
            data, last = text.send(rest)
            lines = split(data)
            if number == 1 and not shape.header:
                lines = lines.without_first()
                number = 2
            found = records.quotations.find(lines, last=last)
            yield shape, records.rows(lines, found, number)
            number += found.until
            rest = lines.rest(found.until)


def _as_utf8(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from parts
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    for part in parts:
        yield decoder.decode(part).encode()
    yield decoder.decode(b"", final=True).encode()


class _Records:
    """How the records of one file are read from its lines."""

    def __init__(self, shape: Shape, header: list[str], delimiter: str) -> None:
        self._shape, self._header, self._delimiter = shape, header, delimiter
        self.quotations = Quotations(delimiter, len(header), self._are_events)

    def rows(self, lines: Lines, found: Found, number: int) -> Rows:
        """Return the records of lines of which the first has that number."""
        numbers = np.arange(found.until)
        set_aside = np.isin(numbers, list(found.broken))
        inside = found.inside[: found.until]
        empty = (lines.starts == lines.ends)[: found.until] & ~inside
        begins = numbers[~(set_aside | inside | empty)]
        wrong: dict[int, str] = {}
        table = self._parsed(lines.only(~(set_aside | empty)), wrong, several=bool(inside.any()))
        if table.num_rows + len(wrong) != len(begins):
            raise ValueError(
                f"{len(begins)} records from line {number} on were read as {table.num_rows}"
            )
        rules = found.broken | {int(begins[place]): rule for place, rule in wrong.items()}
        bad = [
            BadRow(number + line, rule, blocks.payload(self._text(lines, line)))
            for line, rule in sorted(rules.items())
        ]
        good = np.delete(begins, list(wrong)) if wrong else begins
        return Rows(table, pa.array(good + number, pa.int64()), bad)

    def _text(self, lines: Lines, line: int) -> str:
        return lines.text(line).decode(errors="backslashreplace")

    def _are_events(self, texts: Sequence[bytes]) -> bool:
        """Tell whether one of some lines names a customer and a time where an event does."""
        table = self._parsed(b"\n".join(texts), {}, several=False)
        events = self._shape.events
        names = ("customer_id", "occurred_at")
        there = (values.fill(table, events[n], SCHEMA.field(n).type).values for n in names)
        return bool(pc.any(reduce(pc.and_, (column.is_valid() for column in there))).as_py())

    def _parsed(self, data: bytes, wrong: dict[int, str], *, several: bool) -> pa.Table:
        """Read all columns as bytes, so that one line that is no UTF-8 does not cost the block.

        Args:
            data: lines.
            wrong: gets the place and the rule of records with too many or too few fields.
            several: whether a record may go over several lines.
        """
        if not data:
            return pa.table({name: pa.array([], pa.binary()) for name in self._header})

        def set_aside(row: pa.csv.InvalidRow) -> str:
            rule = f"{row.actual_columns} fields instead of {row.expected_columns}"
            wrong[row.number - 1] = rule
            return "skip"

        return pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(
                block_size=len(data) + 1,
                use_threads=False,  # numbers of lines are known only without
                column_names=self._header,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=several,
                invalid_row_handler=set_aside,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(self._header, pa.binary()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )


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
            continue
        fields = shape.named(fields)
        if missing := shape.lacks(tuple(fields)):
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
