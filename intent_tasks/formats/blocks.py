"""Rows as they are found in a file, and how much of a file is read at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import BadRow

BLOCK_BYTES = 16 << 20
"""Text is read in blocks of about this size; a single line must fit in one."""

PART_BYTES = 2 << 20
"""Arrow reads delimited text up to 32 parts ahead: so they are smaller than blocks."""

BLOCK_ROWS = 131_072
"""Parquet is read in blocks of at most so many rows, lists in parts of about so many elements."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a file as they were found.

    Args:
        table: their fields, nested ones as structs and lists.
        numbers: number of each row in its file, shape (n,), ascending.
        bad: rows that have no such fields at all.
        lines: returns rows by their number as the file has them, where the table has less of them.
    """

    table: pa.Table
    numbers: pa.Array
    bad: list[BadRow]
    lines: Callable[[Sequence[int]], list[dict[str, Any]]] | None = None

    @property
    def last(self) -> int:
        """The number of the last row; 0: there is none."""
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
        if self.lines is not None:
            return self.lines(numbers)
        wanted = pc.is_in(self.numbers, value_set=pa.array(numbers, pa.int64()))
        found: list[dict[str, Any]] = self.table.filter(wanted).to_pylist()
        return found
