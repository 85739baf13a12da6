"""Rows of a file before they are converted, and the size of the blocks they are read in."""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import BadRow

BLOCK_BYTES = 16 << 20
"""Text is read in blocks of about this size; a single line must fit in one."""

BLOCK_ROWS = 131_072
"""Parquet is read in blocks of at most so many rows, lists in parts of about so many elements."""


MISFITS = "\0misfits"
"""Name of a column that no source has. It lists, for each row, the fields whose values have another
kind than the format says, such as a list in place of a text; each as `misfit` writes it."""


def misfit(name: str, message: str) -> str:
    """Return a field and the message about its value, as one entry of the column `MISFITS`."""
    return f"{ENTRY}{name}{MESSAGE}{message}{ENTRY}"


def has_misfit(misfits: pa.Array, name: str) -> pa.Array:
    """Return whether each row has an entry of a field, shape (n,)."""
    return pc.fill_null(pc.match_substring(misfits, f"{ENTRY}{name}{MESSAGE}"), False)


def misfit_message(entries: str | None, names: Collection[str]) -> str | None:
    """Return the message of the first entry that is of one of some fields, or None."""
    for entry in (entries or "").split(ENTRY):
        name, _, message = entry.partition(MESSAGE)
        if name in names:
            return message
    return None


ENTRY, MESSAGE = "\x1f", "\x1e"


@dataclass(frozen=True)
class Rows:
    """Some rows of a file as the file has them.

    Args:
        table: their fields, nested ones as structs and lists.
        numbers: number of each row in its file, shape (n,), ascending.
        bad: rows that have no such fields at all.
        lines: returns whole rows by their number, where the table has only a part of them.
        no_numbers: field → its type, for fields that a number is read from and whose type is none.
    """

    table: pa.Table
    numbers: pa.Array
    bad: list[BadRow]
    lines: Callable[[Sequence[int]], list[dict[str, Any]]] | None = None
    no_numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The number of the last row; 0 when there is none."""
        return max([*(row.number for row in self.bad), *self.numbers[-1:].to_pylist()], default=0)

    def after(self, last: int) -> "Rows":
        """Return the rows whose number is greater."""
        bad = [row for row in self.bad if row.number > last]
        return self._where(pc.greater(self.numbers, last), bad)

    def until(self, last: int) -> "Rows":
        """Return the rows whose number is not greater."""
        bad = [row for row in self.bad if row.number <= last]
        return self._where(pc.less_equal(self.numbers, last), bad)

    def _where(self, wanted: pa.Array, bad: list[BadRow]) -> "Rows":
        table, numbers = self.table.filter(wanted), self.numbers.filter(wanted)
        return replace(self, table=table, numbers=numbers, bad=bad)

    def whole(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return rows by their numbers, ascending, with all their fields."""
        if not numbers:
            return []
        if self.lines is not None:
            return self.lines(numbers)
        wanted = pc.is_in(self.numbers, value_set=pa.array(numbers, pa.int64()))
        whole_rows: list[dict[str, Any]] = self.table.filter(wanted).to_pylist()
        return whole_rows


MOST_LEVELS = 100
"""Rows that are nested more deeply are kept as text only."""


def payload(row: Any) -> str:  # noqa: ANN401 - any row of any source
    """Return a row for quarantine as JSON.

    Raises:
        RecursionError: it is nested too deeply.
    """
    return json.dumps(_plain(row, 0))


def _plain(value: Any, depth: int) -> Any:  # noqa: ANN401 - any field of any source
    """Return a field as JSON can hold it, so that a replay reads the same."""
    if depth > MOST_LEVELS:
        raise RecursionError
    if isinstance(value, dict):
        return {n: _plain(inner, depth + 1) for n, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else value
    return value if isinstance(value, str | int | bool | None) else str(value)
