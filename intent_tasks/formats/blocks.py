"""Rows as they are found in a file, and how much of a file is read at once."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import BadRow

BLOCK_BYTES = 16 << 20
"""Text is read in blocks of this size; a single line must fit in one."""

BLOCK_ROWS = 131_072
"""Parquet is read in blocks of at most so many rows."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a file as they were found.

    Args:
        table: their fields, nested ones as structs and lists.
        numbers: number of each row in its file, shape (n,), ascending.
        bad: rows that have no such fields at all.
    """

    table: pa.Table
    numbers: pa.Array
    bad: list[BadRow]

    def after(self, last: int) -> "Rows":
        """Return the rows whose number is greater."""
        later = pc.greater(self.numbers, last)
        bad = [row for row in self.bad if row.number > last]
        return Rows(self.table.filter(later), self.numbers.filter(later), bad)
