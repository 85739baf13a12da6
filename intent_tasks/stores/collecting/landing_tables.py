"""Load files of products and customers: a newer file replaces values and removes no row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.errors import Refused
from intent_tasks.formats.columns import KEYS
from intent_tasks.formats.table_files import CONSENT_COLUMNS, CONSENTS
from intent_tasks.stores import id_spelling, postgres
from intent_tasks.stores.simulated_shop import COLLECTED
from intent_tasks.tables import SHOP, shop_metadata

_ROWS = "file_rows"
_PLACE = "row_of_file"
_ROWS_AT_ONCE = 10_000


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


def find_customers(connection: sa.Connection, named: set[str]) -> dict[str, set[str]]:
    """Return the customers that ids may stand for, however they are written.

    Args:
        connection: an open transaction of the shop's owner.
        named: ids; those that the table does not have are of nobody.

    Returns:
        The id as it was named → ids of customers.
    """
    customers = shop_metadata.tables[f"{SHOP}.customers"]
    ids = sa.bindparam("ids", sorted(named), postgresql.ARRAY(sa.Text))
    names = sa.select(sa.func.unnest(ids).label("name")).cte("names")
    is_meant = id_spelling.similar_id(customers.c.customer_id) == id_spelling.similar_id(
        names.c.name
    )
    query = sa.select(names.c.name, customers.c.customer_id).where(
        id_spelling.similar_id(names.c.name) != "", is_meant
    )
    found: dict[str, set[str]] = {}
    for name, customer_id in connection.execute(query):
        found.setdefault(name, set()).add(customer_id)
    return found


def refuse_all(customer_ids: set[str]) -> pa.Table:
    """Return answers of customers who agree to nothing."""
    count = len(customer_ids)
    return pa.table(
        {
            "customer_id": pa.array(sorted(customer_ids), pa.string()),
            **{name: pa.repeat(False, count) for name in CONSENTS},
            "suppressed": pa.repeat(True, count),
        }
    )


def withdraw_consent(connection: sa.Connection, customer_ids: set[str]) -> int:
    """Withdraw the consent of customers whose rows in a file cannot be read.

    Args:
        connection: an open transaction of the shop's owner.
        customer_ids: those of the table.

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


class Keys(NamedTuple):
    """Numbers of keys in a file: all, and those that the table has already."""

    all: int
    known: int


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

    def count_keys(self) -> Keys:
        """Count the keys of the file, each once."""
        if not self._names:
            return Keys(0, 0)
        found, key = self._found(), self._table.c[self._key]
        keys = sa.select(found.c[self._key].label("key")).distinct().subquery()
        counts = sa.select(sa.func.count(keys.c.key), sa.func.count(key)).select_from(
            keys.outerjoin(self._table, key == keys.c.key)
        )
        return Keys(*self._connection.execute(counts).one())

    def add_refusals(self, refusals: pa.Table) -> int:
        """Add what files whose order is not known refuse; return how many customers it changes.

        Args:
            refusals: of `read_refusals`; those of customers whom the file does not have are left
                out.
        """
        if not self._answers or not refusals.num_rows:
            return 0
        columns = ", ".join(f"{name} boolean" for name in CONSENT_COLUMNS)
        self._connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE refusals (customer_id text, {columns}) ON COMMIT DROP"
        )
        postgres.copy_in(self._connection, "refusals", refusals)
        earlier = sa.table("refusals", *(sa.column(n) for n in ("customer_id", *CONSENT_COLUMNS)))
        found = self._found()
        agree = [_agrees(found.c[name], earlier.c[name], name) for name in self._answers]
        changed = sa.select(earlier.c.customer_id).distinct().join_from(
            earlier, found, found.c.customer_id == earlier.c.customer_id
        ).where(sa.or_(*agree))  # fmt: skip
        count = self._insert(
            changed.add_columns(*(earlier.c[name] for name in self._answers)), "refusals"
        )
        self._connection.exec_driver_sql("DROP TABLE refusals")
        return count

    def add_spellings(self) -> int:
        """Let a no of an id count for ids that are the same, or may be, but written differently.

        Ids that differ in case or zeros are two where the file has both.

        Returns:
            How many customers it is counted for.
        """
        if not self._answers:
            return 0
        found, known = self._found(), self._table
        refused = sa.or_(*(_is_no(found.c[name], name) for name in self._answers))
        no = sa.select(
            found.c.customer_id,
            id_spelling.same_id(found.c.customer_id).label("same"),
            id_spelling.similar_id(found.c.customer_id).label("similar"),
            *(_only_no(found.c[name], name) for name in self._answers),
        ).where(refused).cte("no").prefix_with("MATERIALIZED", dialect="postgresql")  # fmt: skip
        ids = sa.union_all(
            sa.select(found.c.customer_id, sa.true().label("in_file")),
            sa.select(known.c.customer_id, sa.false()),
        ).subquery()
        everybody = (
            sa.select(
                ids.c.customer_id,
                sa.func.bool_or(ids.c.in_file).label("in_file"),
                id_spelling.similar_id(ids.c.customer_id).label("similar"),
            )
            .where(ids.c.customer_id.is_not(None))
            .group_by(ids.c.customer_id)
            .cte("everybody")
        )
        is_same = id_spelling.same_id(everybody.c.customer_id) == no.c.same
        query = sa.select(everybody.c.customer_id, *(no.c[name] for name in self._answers)).where(
            everybody.c.similar == no.c.similar,
            everybody.c.customer_id != no.c.customer_id,
            sa.or_(is_same, sa.not_(everybody.c.in_file)),
        )
        return self._insert(query, "spellings")

    def read_refusals(self) -> pa.Table:
        """Return who refuses anything: customer_id, and columns of consent that are null or no."""
        if not self._answers:
            return refuse_all(set())
        found = self._found()
        columns = [
            _only_no(found.c[name], name) if name in self._answers else sa.null().label(name)
            for name in CONSENT_COLUMNS
        ]
        query = sa.select(found.c.customer_id, *columns).where(
            sa.or_(*(_is_no(found.c[name], name) for name in self._answers))
        )
        parts = [refuse_all(set())]
        for rows in self._connection.execute(query).partitions(_ROWS_AT_ONCE):
            values = zip(*rows, strict=True)
            parts.append(pa.table(dict(zip(parts[0].column_names, map(list, values), strict=True)),
                                  parts[0].schema))  # fmt: skip
        return pa.concat_tables(parts).combine_chunks()

    @property
    def _answers(self) -> list[str]:
        """Columns of consent that the file fills."""
        return [name for name in self._names if name in CONSENT_COLUMNS]

    def _found(self) -> sa.TableClause:
        return sa.table(_ROWS, *(sa.column(name) for name in [*self._names, _PLACE]))

    def _insert(self, query: sa.Select[Any], name: str) -> int:
        """Add answers to the rows of the file, and return of how many customers."""
        chosen = query.cte(name)
        found = self._found()
        names = ["customer_id", *self._answers]
        rows = sa.insert(found).from_select(names, sa.select(*chosen.c)).returning(
            found.c.customer_id
        ).cte("added")  # fmt: skip
        count = sa.select(sa.func.count(sa.distinct(rows.c.customer_id)))
        return int(self._connection.scalar(count) or 0)

    def merge(self) -> None:
        """Put them into the table, each key once.

        Of several rows of a key the last value counts, and of consent any no. An empty cell, and a
        key that the file does not have, change nothing.
        """
        if not self._names:
            return
        found = self._found()
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


def _is_no(column: sa.ColumnClause[Any], name: str) -> sa.ColumnElement[bool]:
    return column.is_(sa.true()) if name == "suppressed" else column.is_(sa.false())


def _only_no(column: sa.ColumnClause[Any], name: str) -> sa.Label[Any]:
    return sa.case((_is_no(column, name), name == "suppressed")).label(name)


def _agrees(
    now: sa.ColumnClause[Any], earlier: sa.ColumnClause[Any], name: str
) -> sa.ColumnElement[bool]:
    """Return whether a row takes back a no."""
    return sa.and_(_is_no(earlier, name), sa.not_(_is_no(now, name)))


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
