"""Load files of products and customers: a newer file replaces values and removes no row."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.errors import Refused
from intent_tasks.formats.columns import KEYS
from intent_tasks.formats.table_files import CONSENTS
from intent_tasks.stores import postgres
from intent_tasks.stores.simulated_shop import COLLECTED
from intent_tasks.tables import SHOP, shop_metadata

_ROWS = "file_rows"
_PLACE = "row_of_file"


def require_collected(connection: sa.Connection, table: str) -> None:
    """Make sure that collecting created the table.

    Raises:
        Refused: the shop maintains it itself.
    """
    mark = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
    if mark != COLLECTED:
        raise Refused(
            f"{SHOP}.{table} is the shop's own: fill it there. Files fill tables that "
            "`intent collect` has made."
        )


def withdraw_consent(connection: sa.Connection, customer_ids: set[str]) -> int:
    """Withdraw the consent of customers whose rows in a file cannot be read.

    Args:
        connection: an open transaction of the shop's owner.
        customer_ids: ids; unknown ones are ignored.

    Returns:
        Number of customers whose consent was withdrawn.
    """
    customers = shop_metadata.tables[f"{SHOP}.customers"]
    no = dict.fromkeys(CONSENTS, False) | {"suppressed": True}
    ids = sa.bindparam("ids", sorted(customer_ids), postgresql.ARRAY(sa.Text))
    changed = sa.update(customers).where(customers.c.customer_id == sa.any_(ids)).values(no)
    return connection.execute(changed).rowcount


@contextmanager
def gather_rows(connection: sa.Connection, table: str) -> Iterator["RowsOfAFile"]:
    """Create a temporary table for the rows of a file, in the caller's transaction."""
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {_ROWS} (LIKE {SHOP}.{table}, {_PLACE} bigserial) ON COMMIT DROP"
    )
    connection.exec_driver_sql(f"ALTER TABLE {_ROWS} ALTER {KEYS[table]} DROP NOT NULL")
    yield RowsOfAFile(connection, table)
    connection.exec_driver_sql(f"DROP TABLE {_ROWS}")


class RowsOfAFile:
    """The rows of one file on their way into a table of the shop.

    Args:
        connection: an open transaction of the shop's owner.
        table: products or customers.
    """

    def __init__(self, connection: sa.Connection, table: str) -> None:
        self._connection, self._table = connection, shop_metadata.tables[f"{SHOP}.{table}"]
        self._key = KEYS[table]
        self._names: list[str] = []

    def add(self, rows: pa.Table) -> None:
        """Add rows; all rows of a file have the same columns."""
        self._names = rows.column_names
        postgres.copy_in(self._connection, _ROWS, rows)

    def merge(self) -> int:
        """Merge the rows into the table, and return the number of keys.

        Of several rows of a key the last value counts, and of consent any no. An empty cell, and a
        key that the file does not have, change nothing.
        """
        if not self._names:
            return 0
        found = sa.table(_ROWS, *(sa.column(name) for name in [*self._names, _PLACE]))
        columns = [_merge_column(found, name, self._key) for name in self._names]
        query = sa.select(*columns).group_by(found.c[self._key]).order_by(found.c[self._key])
        insert = postgresql.insert(self._table).from_select(self._names, query)
        values = {
            name: sa.func.coalesce(insert.excluded[name], self._table.c[name])
            for name in self._names
            if name != self._key
        }
        on_key = [self._key]
        statement = (
            insert.on_conflict_do_update(index_elements=on_key, set_=values)
            if values
            else insert.on_conflict_do_nothing(index_elements=on_key)
        )
        self._connection.execute(statement)
        distinct = sa.select(sa.func.count(sa.distinct(found.c[self._key])))
        return int(self._connection.scalar(distinct) or 0)


def _merge_column(found: sa.TableClause, name: str, key: str) -> sa.ColumnElement[object]:
    column = found.c[name]
    if name == key:
        return column
    if name in CONSENTS:
        return sa.func.bool_and(column).label(name)
    if name == "suppressed":
        return sa.func.bool_or(column).label(name)
    values = postgresql.aggregate_order_by(column, found.c[_PLACE].desc())
    last = sa.func.array_agg(values, type_=postgresql.ARRAY(sa.Text)).filter(column.is_not(None))
    return sa.type_coerce(last, postgresql.ARRAY(sa.Text))[1].label(name)
