"""Land files of products and customers: a newer file replaces what it says, and removes nothing."""

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
    """Make sure that the table is one that collecting made.

    Raises:
        Refused: the shop keeps it itself.
    """
    mark = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
    if mark != COLLECTED:
        raise Refused(
            f"{SHOP}.{table} is the shop's own: fill it there. Files fill tables that "
            "`intent collect` has made."
        )


def withdraw_consent(connection: sa.Connection, named: set[str]) -> int:
    """Let customers agree to nothing, because what a file says of them cannot be read.

    Args:
        connection: an open transaction of the shop's owner.
        named: ids; those that the table does not have are of nobody.

    Returns:
        How many customers there were.
    """
    customers = shop_metadata.tables[f"{SHOP}.customers"]
    no = dict.fromkeys(CONSENTS, False) | {"suppressed": True}
    ids = sa.bindparam("ids", sorted(named), postgresql.ARRAY(sa.Text))
    changed = sa.update(customers).where(customers.c.customer_id == sa.any_(ids)).values(no)
    return connection.execute(changed).rowcount


@contextmanager
def gather_rows(connection: sa.Connection, table: str) -> Iterator["RowsOfAFile"]:
    """Gather the rows of a file in the caller's transaction."""
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
        """Add some; all of a file have the same columns."""
        self._names = rows.column_names
        postgres.copy_in(self._connection, _ROWS, rows)

    def merge(self) -> int:
        """Put them into the table, each key once, and return how many keys there were.

        Of several rows of a key the last value counts, and of consent any no. What a row leaves
        empty stays as it was, and so does every key that the file does not have.
        """
        if not self._names:
            return 0
        found = sa.table(_ROWS, *(sa.column(name) for name in [*self._names, _PLACE]))
        columns = [_of_key(found, name, self._key) for name in self._names]
        query = sa.select(*columns).group_by(found.c[self._key]).order_by(found.c[self._key])
        insert = postgresql.insert(self._table).from_select(self._names, query)
        facts = {
            name: sa.func.coalesce(insert.excluded[name], self._table.c[name])
            for name in self._names
            if name != self._key
        }
        on_key = [self._key]
        statement = (
            insert.on_conflict_do_update(index_elements=on_key, set_=facts)
            if facts
            else insert.on_conflict_do_nothing(index_elements=on_key)
        )
        self._connection.execute(statement)
        distinct = sa.select(sa.func.count(sa.distinct(found.c[self._key])))
        return int(self._connection.scalar(distinct) or 0)


def _of_key(found: sa.TableClause, name: str, key: str) -> sa.ColumnElement[object]:
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
