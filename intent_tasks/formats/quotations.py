"""Distinguish a text over several lines from a stray quotation mark.

A record of delimited text may hold line ends inside quotation marks, as reviews do. A single mark
at the beginning of a field (`"24 inch`) looks the same, and would take all lines up to the next
mark with it. So a record of several lines counts only when it is closed correctly, has as many
fields as the others, and its lines are no records themselves. Otherwise the line with the open mark
is set aside, and the lines after it are read on their own.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.formats.lines import Lines, Places

STRAY = "a quotation mark is opened and not closed"
AMBIGUOUS = "an event or a text inside quotation marks"
"""Rules that lines break."""

MOST_BYTES = 1 << 20
"""Longest record over several lines; a longer one is a stray mark."""

_QUOTE = 34
_LINES_AT_ONCE = 8192
"""Lines that are checked together: so many fit into the cache."""

AreEvents = Callable[[Sequence[bytes]], bool]
"""Returns whether one of some lines is an event on its own."""


class Scan(NamedTuple):
    """Broken lines and records of some lines.

    Args:
        broken: line → rule that it breaks.
        inside: whether each line is inside a record that began before, shape (lines,).
        until: the first line of a record that continues after these lines; else their number.
    """

    broken: dict[int, str]
    inside: npt.NDArray[np.bool_]
    until: int


class Quotations:
    """The quotation marks of one file.

    Args:
        delimiter: what separates fields.
        width: how many fields a record has.
        are_events: returns whether one of some lines is an event on its own.
    """

    def __init__(self, delimiter: str, width: int, are_events: AreEvents) -> None:
        mark = re.escape(delimiter.encode())
        field = rb'(?:"(?:[^"]++|"")*+"[^' + mark + rb']*+|[^"' + mark + rb"][^" + mark + rb"]*+|)"
        self._mark, self._width, self._are_events = delimiter.encode(), width, are_events
        self._edges = np.zeros(256, bool)
        self._edges[[self._mark[0], _QUOTE, *b"\r\n"]] = True
        self._complete = re.compile(field + rb"(?:" + mark + field + rb")*+")
        self._bare = re.compile(rb"[^" + mark + rb"\r\n]*+")
        self._quoted = re.compile(rb'"(?:[^"]++|"")*+"')

    def find(self, lines: Lines, *, last: bool) -> Scan:
        """Return which lines are no records on their own.

        Args:
            lines: some of a file, from the beginning of a record on.
            last: whether these are the last lines of the file.
        """
        broken: dict[int, str] = {}
        inside = np.zeros(len(lines.starts), bool)
        free = 0
        for line in self._irregular(lines).tolist():
            start, end = int(lines.starts[line]), int(lines.ends[line])
            if line < free or self._complete.fullmatch(lines.data, start, end):
                continue
            close = self._close(lines.data, start)
            if close is None and not last and len(lines.data) - start < MOST_BYTES:
                return Scan(broken, inside, line)
            through = lines.of(close) if close else line
            verdict = self._verdict(lines, line, through) if close else STRAY
            if verdict == STRAY:
                broken[line] = STRAY
                continue
            free = through + 1
            if verdict:
                broken |= dict.fromkeys(range(line, free), verdict)
            else:
                inside[line + 1 : free] = True
        return Scan(broken, inside, len(lines.starts))

    def _irregular(self, lines: Lines) -> Places:
        """Return lines with marks that do not simply surround fields."""
        ends = np.append(lines.starts[_LINES_AT_ONCE::_LINES_AT_ONCE], len(lines.data))
        parts = [
            self._irregular_of(lines, lines.starts[n : n + _LINES_AT_ONCE], end) + n
            for n, end in zip(range(0, len(lines.starts), _LINES_AT_ONCE), ends, strict=False)
        ]
        places: Places = np.concatenate([np.zeros(0, np.int64), *parts])
        return places

    def _irregular_of(self, lines: Lines, starts: Places, end: int) -> Places:
        """Return which of the lines that begin there, up to an end, are irregular."""
        marks: Places = np.flatnonzero(lines.array[starts[0] : end] == _QUOTE) + starts[0]
        first = np.searchsorted(marks, starts)
        if not len(marks) % 2 and not (first % 2).any():
            before, after = self._at_edges(lines, marks[::2], marks[1::2])
            if before.all() and after.all():
                return marks[:0]
        before, after = self._at_edges(lines, marks, marks)
        counts = np.diff(np.append(first, len(marks)))
        of_line = np.repeat(np.arange(len(counts)), counts)
        opens = (np.arange(len(marks)) - first[of_line]) % 2 == 0
        wrong = of_line[~np.where(opens, before, after)]
        return np.union1d(wrong, np.flatnonzero(counts % 2))

    def _at_edges(
        self, lines: Lines, opens: Places, closes: Places
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which marks can begin a field, and which can end one."""
        before = self._edges[lines.array[np.maximum(opens - 1, 0)]]
        before[:1] |= opens[:1] == 0
        after = self._edges[lines.array[np.minimum(closes + 1, len(lines.array) - 1)]]
        after[-1:] |= closes[-1:] + 1 == len(lines.array)
        return before, after

    def _close(self, data: bytes, start: int) -> int | None:
        """Return the end of the record that begins there; 0: it is malformed, None: it has none."""
        place, limit, fields = start, start + MOST_BYTES, 1
        while True:
            if data[place : place + 1] == b'"':
                quoted = self._quoted.match(data, place, limit)
                if quoted is None:
                    return None
                place = quoted.end()
            elif bare := self._bare.match(data, place):
                place = bare.end()
            following = data[place : place + 1]
            if following != self._mark:
                is_end = following in (b"", b"\n", b"\r")
                return place if is_end and fields == self._width else 0
            place, fields = place + 1, fields + 1

    def _verdict(self, lines: Lines, line: int, through: int) -> str:
        """Return the rule that the lines of one record break; empty when they are one record."""
        texts = [lines.text(place) for place in range(line, through + 1)]
        fits = [self._fits(text) for text in texts]
        if fits[0] and (all(fits) or self._has_event(texts[1:], fits[1:])):
            return STRAY
        return AMBIGUOUS if self._has_event(texts[1:-1], fits[1:-1]) else ""

    def _has_event(self, texts: Sequence[bytes], fits: Sequence[bool]) -> bool:
        whole = [
            text
            for text, fit in zip(texts, fits, strict=True)
            if fit and self._complete.fullmatch(text)
        ]
        return bool(whole) and self._are_events(whole)

    def _fits(self, text: bytes) -> bool:
        """Return whether a line has as many fields as a record, ignoring an open mark."""
        if b'"' not in text:
            return text.count(self._mark) + 1 == self._width
        place, fields = 0, 1
        while True:
            quoted = self._quoted.match(text, place)
            bare = self._bare.match(text, quoted.end() if quoted else place)
            place = bare.end() if bare else place
            if text[place : place + 1] != self._mark:
                return fields == self._width
            place, fields = place + 1, fields + 1
