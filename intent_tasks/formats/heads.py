"""Read the head of a delimited file: its encoding, its delimiter and the names of its columns."""

import codecs
import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from intent_tasks.errors import BadInput
from intent_tasks.formats.mapping import Format, Shape

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters to try where that of the format does not fit: a header that fits proves one."""

HEAD_BYTES = 1 << 20
"""Bytes within which the header, and blank lines before it, must end."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the encoding that each proves."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"\s*")
_BLANK_RECORD = re.compile(r'[\s,;|"]*')
_NAMED_DELIMITER = re.compile(r'"?sep=([^"\w\s]|\t)"?[,;|\t]*', re.IGNORECASE)
"""The line that spreadsheets write before the header: sep=;"""


class Head(NamedTuple):
    """The beginning of a delimited file.

    Args:
        shape: the first shape of the format that fits it.
        names: of the columns, as the format writes them.
        delimiter: what separates fields.
        encoding: of the file.
        line_count: lines before the first record.
    """

    shape: Shape
    names: list[str]
    delimiter: str
    encoding: str
    line_count: int


def read_head(begun: bytes, path: str, layout: Format) -> Head:
    """Return the head of a file, by the first shape of the format that it fits.

    Args:
        begun: the first bytes of the file.
        path: its name.
        layout: its format.

    Raises:
        BadInput: it fits none, or is no text.
    """
    problems = []
    for shape in layout.shapes:
        head = _fit(begun, path, shape)
        if isinstance(head, Head):
            return head
        problems.append(head)
    for shape in (shape for shape in layout.shapes if not shape.header):
        for delimiter in DELIMITERS:
            head = _fit(begun, path, shape, delimiter)
            if isinstance(head, Head):
                return head
    _, line, delimiter = _first_line(begun, path, layout.shapes[0])
    raise other_format_error(path, problems, _fields(line, delimiter))


def _fit(begun: bytes, path: str, shape: Shape, delimiter: str = "") -> Head | str:
    """Return the head of a file of that shape, or why it has another one."""
    before, line, own_delimiter = _first_line(begun, path, shape)
    delimiter = delimiter or own_delimiter
    names = _fields(line, delimiter)
    encoding = _encoding(begun, shape)
    if shape.header:
        if len(names) == len(shape.header):
            return Head(shape, list(shape.header), delimiter, encoding, before)
        return f"has {len(names)} columns instead of {len(shape.header)}"
    names = shape.named(names)
    if missing := shape.lacks(tuple(names)):
        return f"lacks {', '.join(missing)}"
    if twice := find_duplicates(shape, names):
        return f"names {', '.join(twice)} twice"
    return Head(shape, names, delimiter, encoding, before + 1)


def find_duplicates(shape: Shape, names: Sequence[str]) -> list[str]:
    """Return the columns that a shape reads and that a file has more than once.

    Args:
        shape: of the file.
        names: of its columns, as the format writes them.
    """
    return sorted({name for name in shape.wanted & set(names) if names.count(name) > 1})


def _first_line(begun: bytes, path: str, shape: Shape) -> tuple[int, str, str]:
    """Return how many lines are skipped, the first line that counts, and the delimiter.

    Raises:
        BadInput: the line is no text in the encoding of the file.
    """
    delimiter = "\t" if ".tsv" in PurePosixPath(path).suffixes else shape.delimiter
    try:
        lines = _LINE_END.split(_decode(begun, _encoding(begun, shape)))
        before = 0
        if named := _NAMED_DELIMITER.fullmatch(lines[0]):
            delimiter, before = named[1], 1
        blank = _BLANK_RECORD if not shape.header else _BLANK
        while before < len(lines) - 1 and blank.fullmatch(lines[before]):
            before += 1
        line = lines[before].encode(errors="surrogateescape").decode()
    except UnicodeDecodeError as error:
        raise other_encoding_error(path, error) from None
    return before, line, delimiter


def _encoding(begun: bytes, shape: Shape) -> str:
    """Return the encoding that a byte order mark proves, or else that of the shape."""
    return next((name for mark, name in _ENCODINGS if begun.startswith(mark)), shape.encoding)


def _decode(begun: bytes, encoding: str) -> str:
    """Return the beginning of a file as text; a later line need not be UTF-8."""
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    return decoder.decode(begun[:HEAD_BYTES]).removeprefix("\ufeff")


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def other_encoding_error(path: str, error: UnicodeDecodeError) -> BadInput:
    """Return the refusal of a file with bytes that its encoding does not allow."""
    return BadInput(
        f"{path} is not a CSV file in the encoding that its format names, UTF-8 where it names "
        f'none: {error}. Name another in the format, as encoding = "latin-1".'
    )


def other_format_error(path: str, problems: list[str], names: Iterable[str]) -> BadInput:
    """Return the refusal of a file that has none of a format's shapes."""
    return BadInput(
        f"{path} is not in this format: it {'; or it '.join(problems)}. "
        f"Its columns: {', '.join(names)[:200]}."
    )
