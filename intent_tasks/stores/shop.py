"""Fill schema `shop` where the shop is simulated or recorded: once, whole or not at all."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput, Refused
from intent_tasks.formats import files
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres, quarantine
from intent_tasks.tables import SHOP, customers, events, products, shop_metadata


def load(
    settings: Settings,
    name: str,
    digest: str,
    batches: Iterable[pa.Table],
    products_sold: pa.Table | None = None,
    customers_known: pa.Table | None = None,
) -> int:
    """Load a shop in one transaction; loading the same one again does nothing.

    Args:
        settings: of this installation.
        name: of the shop, for messages.
        digest: of everything that is loaded; tells whether two loads are the same.
        batches: events, columns of `shop.events`.
        products_sold: columns of `shop.products`.
        customers_known: columns of `shop.customers`.

    Returns:
        Events loaded; 0 when they were there already.

    Raises:
        Refused: another shop is loaded here, or this installation may not load one.
    """
    if settings.shop_owner_url is None:
        raise Refused("INTENT_SHOP_OWNER_URL is not set: only a simulated shop can be loaded.")
    mark = f"Loaded: {name}, digest {digest}"
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
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


def load_file(settings: Settings, path: Path, format_name: str) -> tuple[int, int]:
    """Load a file of recorded events; its unusable lines go to quarantine.

    Returns:
        Events loaded (0 when they were there already) and lines set aside.

    Raises:
        BadInput: the file cannot be used.
        Refused: another shop is loaded here.
    """
    bad: list[BadRow] = []

    def usable() -> Iterator[pa.Table]:
        for batch in files.read(path, format_name):
            bad.extend(batch.bad)
            yield batch.events
        # Before the shop is committed: a load that is killed between the two is done again.
        with postgres.changing(settings.pipeline_url, "load") as connection:
            quarantine.replace(connection, path.name, bad)

    rows = load(settings, path.name, _digest(path, format_name), usable())
    return rows, len(bad)


def _digest(path: Path, format_name: str) -> str:
    try:
        with path.open("rb") as file:
            return f"{format_name}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
