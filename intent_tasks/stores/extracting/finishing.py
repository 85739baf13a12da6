"""The last touch: rows as the shop has them become rows of a snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.identity import without_addresses
from intent_tasks.stores import snapshots

FREE_TEXT = ("query_text", "review_text")
"""Columns that customers write themselves."""

ROW = "_row"
"""Column of the spool that numbers its rows."""


@dataclass
class Finishing:
    """Make rows of the spool into those of a snapshot, and count whom that leaves out.

    Args:
        gone: keys of customers who were erased since the rows came in.
        repeats: numbers of rows that are left out because they repeat another.
        products: product_id, and what the rows are to tell of them.
        erased: rows of those customers so far.
    """

    gone: pa.Array
    repeats: pa.Array
    products: pa.Table
    erased: int = 0

    def parts(self, parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield each part with the columns of a snapshot."""
        for rows in parts:
            if len(self.repeats):
                rows = rows.filter(pc.invert(pc.is_in(rows[ROW], value_set=self.repeats)))
            if len(self.gone):
                kept = rows.filter(pc.invert(pc.is_in(rows["customer_key"], value_set=self.gone)))
                self.erased += rows.num_rows - kept.num_rows
                rows = kept
            yield _snapshot(self._with_products(rows))

    def _with_products(self, rows: pa.Table) -> pa.Table:
        if "product_id" not in rows.column_names:
            return rows
        ids = self.products["product_id"].combine_chunks()
        place = pc.index_in(rows["product_id"], value_set=ids)
        for name in self.products.column_names[1:]:
            rows = rows.append_column(name, pc.take(self.products[name].combine_chunks(), place))
        return rows


def _snapshot(rows: pa.Table) -> pa.Table:
    """Return the columns of a snapshot; what the shop does not record is null."""
    columns = {}
    for wanted in snapshots.SCHEMA:
        found = wanted.name in rows.column_names
        values = rows[wanted.name] if found else pa.nulls(rows.num_rows, wanted.type)
        columns[wanted.name] = values.cast(wanted.type)
        if wanted.name in FREE_TEXT:
            columns[wanted.name] = without_addresses(columns[wanted.name])
    columns["ingested_at"] = pc.coalesce(columns["ingested_at"], columns["occurred_at"])
    return pa.table(columns)
