"""Turn rows of the shop into rows of a snapshot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.identity import ids_without_addresses, without_addresses
from intent_tasks.stores import snapshots

IDS = ("event_id", "session_id", "product_id")
"""Columns of ids: values that differ still differ when addresses in them are hidden."""

TEXTS = ("query_text", "review_text", "channel", "device")
"""Columns of events with texts of customers or of the shop."""

PRODUCT_TEXTS = ("category_path", "brand", "title")
"""Columns of products with texts of the shop."""

ROW = "_row"
"""Column of the spool that numbers its rows."""


@dataclass
class SnapshotRows:
    """Turn rows of the spool into rows of a snapshot, and count those of erased customers.

    Args:
        erased_keys: keys of customers who were erased since the rows were read.
        left_out: numbers of the rows that repeat the event_id of another.
        products: product_id, and the columns that the rows get from it.
        keys_of: returns the keyed hash of ids.
        erased_count: rows of the erased customers so far.
    """

    erased_keys: pa.Array
    left_out: pa.Array
    products: pa.Table
    keys_of: Callable[[list[str]], pa.Array]
    erased_count: int = 0

    def parts(self, parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield each part with the columns of a snapshot."""
        for rows in parts:
            if len(self.left_out):
                rows = rows.filter(pc.invert(pc.is_in(rows[ROW], value_set=self.left_out)))
            if len(self.erased_keys):
                is_erased = pc.is_in(rows["customer_key"], value_set=self.erased_keys)
                kept = rows.filter(pc.invert(is_erased))
                self.erased_count += rows.num_rows - kept.num_rows
                rows = kept
            yield _snapshot(self._with_products(rows), self.keys_of)

    def _with_products(self, rows: pa.Table) -> pa.Table:
        if "product_id" not in rows.column_names:
            return rows
        ids = self.products["product_id"].combine_chunks()
        positions = pc.index_in(rows["product_id"], value_set=ids)
        for name in self.products.column_names[1:]:
            values = self.products[name].combine_chunks()
            rows = rows.append_column(name, pc.take(values, positions))
        return rows


def hide_addresses(products: pa.Table) -> pa.Table:
    """Return products without e-mail addresses in their texts."""
    for name in PRODUCT_TEXTS:
        if name in products.column_names:
            position = products.column_names.index(name)
            products = products.set_column(position, name, without_addresses(products[name]))
    return products


def _snapshot(rows: pa.Table, keys_of: Callable[[list[str]], pa.Array]) -> pa.Table:
    """Return the columns of a snapshot, without e-mail addresses.

    A column that the shop does not have is null.
    """
    columns = {}
    for column in snapshots.SCHEMA:
        name, exists = column.name, column.name in rows.column_names
        values = rows[name] if exists else pa.nulls(rows.num_rows, column.type)
        columns[name] = values.cast(column.type)
        if name in TEXTS:
            columns[name] = without_addresses(columns[name])
        if name in IDS:
            columns[name] = ids_without_addresses(columns[name], keys_of)
    columns["ingested_at"] = pc.coalesce(columns["ingested_at"], columns["occurred_at"])
    return pa.table(columns)
