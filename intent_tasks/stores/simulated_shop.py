"""Load a simulated shop into schema `shop`, once and in one transaction."""

from collections.abc import Iterable

import pyarrow as pa
import sqlalchemy as sa
from pydantic import SecretStr

from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import SHOP, customers, events, products, shop_metadata

LOADED = "Loaded:"
"""Prefix of the comment of a schema that `load` has filled."""

COLLECTED = "Collected from files: intent.collected_files"
"""Comment of a schema whose tables were created for collected events."""

_IS_UNUSED = sa.text(
    "SELECT relkind = 'r' AND relfilenode = oid "
    "AND pg_relation_size(oid) = 0 "
    "AND pg_indexes_size(oid) = current_setting('block_size')::bigint "
    "AND (starts_with(mark, :loaded) OR mark = :collected) "
    "FROM pg_class, obj_description(relnamespace, 'pg_namespace') AS mark "
    "WHERE oid = to_regclass(:name)"
)


def is_unused(connection: sa.Connection, table: sa.Table) -> bool:
    """Return whether this system created a table that never held a row.

    A truncated table has another file than at first, and a table that once had a row keeps a block
    in its index, so neither is unused.
    """
    values = {"loaded": LOADED, "collected": COLLECTED, "name": table.fullname}
    return bool(connection.scalar(_IS_UNUSED, values))


def owner_url(settings: Settings) -> SecretStr:
    """Return the URL of the role that may fill the shop.

    Raises:
        Refused: the setting is empty.
    """
    if settings.shop_owner_url is None:
        raise Refused(
            "INTENT_SHOP_OWNER_URL is not set: this installation may only read the shop. Set it to "
            "the URL of the role intent_shop_owner to fill schema `shop` from here."
        )
    return settings.shop_owner_url


def load(
    settings: Settings,
    name: str,
    digest: str,
    batches: Iterable[pa.Table],
    products_sold: pa.Table | None = None,
    customers_known: pa.Table | None = None,
) -> int:
    """Load a shop in one transaction; loading the same shop again does nothing.

    Args:
        settings: of this installation.
        name: of the shop, for messages.
        digest: of all data; two loads with the same digest are the same.
        batches: events, columns of `shop.events`.
        products_sold: columns of `shop.products`.
        customers_known: columns of `shop.customers`.

    Returns:
        Number of events loaded; 0 if they were loaded before.

    Raises:
        Refused: another shop is loaded here, or this installation may not load one.
    """
    mark = f"{LOADED} {name}, digest {digest}"
    with postgres.changing(owner_url(settings), "shop") as connection:
        loaded = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
        if loaded == mark:
            return 0
        if loaded is not None:
            raise Refused(
                f"Another shop is loaded here ({loaded}). Remove it with `make clean`, or set "
                "INTENT_HOME to another folder for another shop."
            )
        shop_metadata.create_all(connection)
        rows = sum(postgres.copy_in(connection, events, batch) for batch in batches)
        for table, more in ((products, products_sold), (customers, customers_known)):
            if more is not None:
                postgres.copy_in(connection, table, more)
        _mark(connection, mark)
    return rows


def _mark(connection: sa.Connection, mark: str) -> None:
    # COMMENT takes no parameters.
    comment = sa.literal(mark).compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {SHOP} IS {comment}")
    connection.exec_driver_sql("ANALYZE shop.events")
