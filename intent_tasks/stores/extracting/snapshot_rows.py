"""The last touch: rows as the shop has them become rows of a snapshot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.identity import ids_without_addresses, without_addresses
from intent_tasks.stores import snapshots

IDS = ("event_id", "session_id", "product_id")
"""Columns whose values stay apart, whatever is hidden in them."""

TEXTS = ("query_text", "review_text", "channel", "device")
"""Columns of events that customers or the shop write."""

OF_PRODUCTS = ("category_path", "brand", "title")
"""The same of products."""

ROW = "_row"
"""Column of the spool that numbers its rows."""


@dataclass
class Finishing:
    """Make rows of the spool into those of a snapshot, and count whom that leaves out.

    Args:
        gone: keys of customers who were erased since the rows came in.
        repeats: numbers of rows that are left out because they repeat another.
        products: product_id, and what the rows are to tell of them.
        keys_of: returns the keyed hash of ids.
        erased: rows of those customers so far.
    """

    gone: pa.Array
    repeats: pa.Array
    products: pa.Table
    keys_of: Callable[[list[str]], pa.Array]
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
            yield _snapshot(self._with_products(rows), self.keys_of)

    def _with_products(self, rows: pa.Table) -> pa.Table:
        if "product_id" not in rows.column_names:
            return rows
        ids = self.products["product_id"].combine_chunks()
        place = pc.index_in(rows["product_id"], value_set=ids)
        for name in self.products.column_names[1:]:
            rows = rows.append_column(name, pc.take(self.products[name].combine_chunks(), place))
        return rows


def hidden_in_products(products: pa.Table) -> pa.Table:
    """Return what events are to tell of products, without e-mail addresses."""
    for name in OF_PRODUCTS:
        if name in products.column_names:
            place = products.column_names.index(name)
            products = products.set_column(place, name, without_addresses(products[name]))
    return products


def _snapshot(rows: pa.Table, keys_of: Callable[[list[str]], pa.Array]) -> pa.Table:
    """Return the columns of a snapshot; what the shop does not record is null.

    No e-mail address leaves the warehouse, whichever column it is in.
    """
    columns = {}
    for wanted in snapshots.SCHEMA:
        found = wanted.name in rows.column_names
        values = rows[wanted.name] if found else pa.nulls(rows.num_rows, wanted.type)
        columns[wanted.name] = values.cast(wanted.type)
        if wanted.name in TEXTS:
            columns[wanted.name] = without_addresses(columns[wanted.name])
        if wanted.name in IDS:
            columns[wanted.name] = ids_without_addresses(columns[wanted.name], keys_of)
    columns["ingested_at"] = pc.coalesce(columns["ingested_at"], columns["occurred_at"])
    return pa.table(columns)
