"""Find the customers that rows of a file may be about which cannot be used."""

import re

import sqlalchemy as sa

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import mapping
from intent_tasks.stores.collecting import batches, landing_tables

_BETWEEN_CELLS = ',;|\t"\0'
"""A line that cannot be read is kept whole: its cells are what stands between these."""
_TRUTHS = {"", "0", "1", "true", "false", "yes", "no", "t", "f", "y", "n"}
"""Cells that say something of a customer, and name one at the beginning of a line only."""


def find_customers(
    connection: sa.Connection, url: str, layout: mapping.Format, bad: list[BadRow]
) -> set[str]:
    """Return the ids of the customers that some rows may be about.

    Args:
        connection: an open transaction of the shop's owner.
        url: address of the file.
        layout: its format.
        bad: rows that cannot be used.

    Raises:
        BadInput: a row names its customer in bytes of an encoding that is not known.
    """
    named = [_cells(row, layout) for row in bad]
    found = landing_tables.find_customers(connection, set().union(*named))
    for row, cells in zip(bad, named, strict=True):
        if batches.holds_bytes(row) and not cells & found.keys():
            raise BadInput(
                f"{url}: line {row.number} names a customer in bytes that are no UTF-8, so it "
                "cannot be known whom it means. Nothing of the file was loaded. Name the encoding "
                'in the format, as encoding = "latin-1", or mend the line: docs/collect.md.'
            )
    return set().union(*found.values())


def _cells(row: BadRow, layout: mapping.Format) -> set[str]:
    """Return the texts of a row that may be the id of its customer."""
    between = _BETWEEN_CELLS + "".join(shape.delimiter for shape in layout.shapes)
    splits = (re.split(f"[{re.escape(between)}]", text) for text in batches.find_names(row))
    cells = [[cell.strip() for cell in split] for split in splits]
    return {cell for row in cells for n, cell in enumerate(row) if n == 0 or cell not in _TRUTHS}
