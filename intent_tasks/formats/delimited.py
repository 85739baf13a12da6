"""Read delimited text, such as CSV; a line that is no record is set aside."""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from intent_tasks.core.rules import BadRow
from intent_tasks.formats import blocks, values
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.formats.heads import read_head
from intent_tasks.formats.lines import Lines, chunks, split, whole
from intent_tasks.formats.mapping import Format, Shape
from intent_tasks.formats.quotations import Quotations, Scan


def read(stream: pa.NativeFile, path: str, layout: Format) -> Iterator[tuple[Shape, Rows]]:
    """Read the lines of a file, with the first shape of the format that its header fits.

    Rows have the number of the line in which they begin.

    Args:
        stream: at its beginning.
        path: its name.
        layout: its format.

    Raises:
        BadInput: the line that names the columns fits none, or is no text.
    """
    parts = chunks(stream)
    begun = next(parts, b"")
    if not begun:
        return
    head = read_head(begun, path, layout)
    shape = head.shape
    records = _Records(shape, head.names, head.delimiter)
    text = whole(_as_utf8(chain([begun], parts), head.encoding))
    del begun  # a block that would stay in memory
    number, rest = 1, None
    with suppress(StopIteration):
        while True:
            data, last = text.send(rest)
            lines = split(data)
            if number == 1:
                lines = lines.without_first(head.line_count)
                number += head.line_count
            scan = records.quotations.find(lines, last=last)
            yield shape, records.rows(lines, scan, number)
            number += scan.until
            rest = lines.rest(scan.until)


def _as_utf8(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from parts
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    for part in parts:
        yield decoder.decode(part).encode()
    yield decoder.decode(b"", final=True).encode()


class _Records:
    """Reads the records of one file from its lines."""

    def __init__(self, shape: Shape, header: list[str], delimiter: str) -> None:
        self._shape, self._header, self._delimiter = shape, header, delimiter
        self.quotations = Quotations(delimiter, len(header), self._are_events)

    def rows(self, lines: Lines, scan: Scan, number: int) -> Rows:
        """Return the records of some lines; the first line has that number."""
        numbers = np.arange(scan.until)
        set_aside = np.isin(numbers, list(scan.broken))
        inside = scan.inside[: scan.until]
        empty = (lines.starts == lines.ends)[: scan.until] & ~inside
        begins = numbers[~(set_aside | inside | empty)]
        wrong: dict[int, str] = {}
        table = self._parsed(lines.only(~(set_aside | empty)), wrong, several=bool(inside.any()))
        if table.num_rows + len(wrong) != len(begins):
            raise ValueError(
                f"{len(begins)} records from line {number} on were read as {table.num_rows}"
            )
        rules = scan.broken | {int(begins[place]): rule for place, rule in wrong.items()}
        bad = [
            BadRow(number + line, rule, blocks.payload(self._text(lines, line)))
            for line, rule in sorted(rules.items())
        ]
        good = np.delete(begins, list(wrong)) if wrong else begins
        return Rows(table, pa.array(good + number, pa.int64()), bad)

    def _text(self, lines: Lines, line: int) -> str:
        return lines.text(line).decode(errors="backslashreplace")

    def _are_events(self, texts: Sequence[bytes]) -> bool:
        """Return whether one of some lines has a customer and a time where an event has them."""
        table = self._parsed(b"\n".join(texts), {}, several=False)
        events = self._shape.events
        names = ("customer_id", "occurred_at")
        filled = (values.fill(table, events[n], SCHEMA.field(n).type).values for n in names)
        return bool(pc.any(reduce(pc.and_, (column.is_valid() for column in filled))).as_py())

    def _parsed(self, data: bytes, wrong: dict[int, str], *, several: bool) -> pa.Table:
        """Read all columns as bytes, so that a line that is no UTF-8 costs no other line.

        Args:
            data: lines.
            wrong: gets place → rule of records with too many or too few fields.
            several: whether a record may span several lines.
        """
        if not data:
            return pa.table({name: pa.array([], pa.binary()) for name in self._header})

        def note_row(row: pa.csv.InvalidRow) -> str:
            rule = f"{row.actual_columns} fields instead of {row.expected_columns}"
            wrong[row.number - 1] = rule
            return "skip"

        return pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(
                block_size=len(data) + 1,
                use_threads=False,  # threads lose the numbers of lines
                column_names=self._header,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=several,
                invalid_row_handler=note_row,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(self._header, pa.binary()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
