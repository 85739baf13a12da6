"""Copy the events that arrived on a day, and on all missing days before it, to snapshots.

A snapshot counts only when the ledger knows its digest, so a run that was killed between writing
the file and committing does the day again. Every day proves itself: rows counted in the warehouse
are rows in the snapshot, rows set aside and rows of erased customers, or nothing is kept.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.core.identity import customer_keys as keys_of
from intent_tasks.core.identity import without_addresses
from intent_tasks.core.rules import OK, REQUIRED, BadRow, broken_rules
from intent_tasks.errors import NothingToDo, Refused, TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import identity, postgres, quarantine, snapshots, source
from intent_tasks.tables import customer_keys, events, products, runs

FREE_TEXT = ("query_text", "review_text")
"""Columns that customers write themselves."""


@dataclass
class _Warehouse:
    """One view of the shop's tables, the same for all days of an extract."""

    session: postgres.ArrowSession
    columns: list[str]
    with_products: bool
    settings: Settings

    def count(self, day: date) -> int:
        """Return how many rows arrived on a day."""
        arrived = self._arrivals(day).subquery()
        counted = sa.select(sa.func.count().label("rows")).select_from(arrived)
        return int(self.session.read(counted).read_all()["rows"][0].as_py())

    def read(self, day: date) -> pa.Table:
        """Return the rows that arrived on a day, with category and brand of their products."""
        arrived = self._arrivals(day).subquery()
        query = sa.select(*_typed(arrived.c))
        if self.with_products and "product_id" in self.columns:
            more = (products.c.category_path, products.c.brand)
            query = sa.select(*_typed(arrived.c), *more).outerjoin_from(
                arrived, products, products.c.product_id == arrived.c.product_id
            )
        return self.session.read(query).read_all()

    def _arrivals(self, day: date) -> sa.Select[Any]:
        definition = self.settings.definition
        return source.arrivals(self.columns, definition.day_start(day), definition.day_end(day))


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Complete the snapshots up to a day, as far back as history is read.

    Raises:
        Refused: no event arrived on that day, and the setting empty_day is `stop`.
        NothingToDo: the same, and it is `skip`.
        TemporaryFailure: rows are missing between warehouse and snapshot.
    """
    first = settings.definition.first_history_day(as_of_date)
    written, repaired = complete_snapshots(settings, first, as_of_date)
    with postgres.writing(settings, "extract", as_of_date) as connection:
        day = postgres.recorded_receipt(connection, snapshots.STEP, as_of_date)
        if day is None:
            raise TemporaryFailure(f"The snapshot of {as_of_date} vanished; run the day again.")
        if day["rows_in_warehouse"] == 0:
            raise _empty(settings, as_of_date)
        receipt = day | {"days_written": len(written), "days_repaired": len(repaired)}
        postgres.record(connection, "extract", as_of_date, receipt)
    return receipt


def complete_snapshots(
    settings: Settings, first: date, last: date
) -> tuple[list[date], list[date]]:
    """Write the missing snapshots of days of arrival, and those whose rows have changed since.

    Returns:
        The days written for the first time, and the days repaired: a transaction may commit late,
        so the last `recount_days` are counted again.
    """
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    identity.check_key(settings)
    with postgres.reading(settings.shop_url) as connection:
        columns = source.columns(connection)
        if absent := [name for name in REQUIRED if name not in columns]:
            raise Refused(
                f"{events.fullname} lacks {', '.join(absent)}. Give the table or view the "
                "columns in docs/tables.md that may not be null."
            )
        with_products = sa.inspect(connection).has_table(products.name, products.schema)
    known = _known(settings, first, last)
    written: list[date] = []
    repaired: list[date] = []
    with postgres.arrow_session(settings.shop_url) as session:
        warehouse = _Warehouse(session, columns, with_products, settings)
        for day in days:
            missing = day not in known
            if missing or _has_changed(warehouse, day, last, known[day]):
                _write(settings, day, warehouse.count(day), warehouse.read(day))
                (written if missing else repaired).append(day)
    return written, repaired


def _known(settings: Settings, first: date, last: date) -> dict[date, Receipt]:
    """Return the ledger's receipts of days whose snapshot is whole and of the present buckets."""
    query = sa.select(runs.c.as_of_date, runs.c.receipt).where(
        runs.c.step == snapshots.STEP, runs.c.as_of_date.between(first, last)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        ledger: dict[date, Receipt] = dict(connection.execute(query).all())
    return {day: r for day, r in ledger.items() if _is_whole(settings, day, r)}


def _is_whole(settings: Settings, day: date, receipt: Receipt) -> bool:
    found = snapshots.manifest(settings.home, day)
    return (
        found is not None
        and found["digest"] == receipt["digest"]
        and found["bucket_count"] == settings.bucket_count
        and found["key_id"] == settings.identity_key_id
    )


def _has_changed(warehouse: _Warehouse, day: date, last: date, known: Receipt) -> bool:
    recent = (last - day).days <= warehouse.settings.recount_days
    return recent and warehouse.count(day) != known["rows_in_warehouse"]


def _write(settings: Settings, day: date, counted: int, rows: pa.Table) -> None:
    """Write one day: file, keys of customers, rows set aside and ledger."""
    with postgres.writing(settings, snapshots.STEP, day) as connection:
        # The unusable rows of an erased customer are not set aside either.
        left = rows.filter(
            pc.invert(identity.are_erased(connection, settings, rows["customer_id"]))
        )
        erased = rows.num_rows - left.num_rows
        rules = broken_rules(left)
        kept = _keyed(settings, left.filter(pc.equal(rules, OK)))
        bad = _bad_rows(left, rules)
        if counted != kept.num_rows + len(bad) + erased:
            raise TemporaryFailure(
                f"{counted} rows arrived on {day}, but {kept.num_rows} were copied, {len(bad)} set "
                f"aside and {erased} are of erased customers. Nothing was kept; run the day again."
            )
        _write_keys(connection, settings, kept)
        quarantine.replace(connection, f"{events.fullname} {day}", bad)
        written = snapshots.write_day(
            settings.home,
            day,
            _snapshot(kept),
            settings.bucket_count,
            counted,
            settings.identity_key_id,
        )
        receipt = {
            "as_of_date": str(day),
            "rows_in_warehouse": counted,
            "rows_in_snapshot": kept.num_rows,
            "rows_quarantined": len(bad),
            "rows_erased": erased,
            "digest": written["digest"],
        }
        postgres.record(connection, snapshots.STEP, day, receipt)


def _typed(columns: Iterable[sa.ColumnElement[Any]]) -> list[sa.ColumnElement[Any]]:
    """Return the columns as the types of the contract: the shop may store a price as numeric."""
    return [sa.cast(c, events.c[c.key].type).label(c.key) for c in columns if c.key]


def _bad_rows(rows: pa.Table, rules: pa.Array) -> list[BadRow]:
    numbers = pa.array(range(rows.num_rows), pa.int32())
    bad = rows.append_column("_rule", rules).append_column("_number", numbers)
    return [
        BadRow(
            row.pop("_number"),
            row.pop("_rule"),
            json.dumps(_replayable(row), default=str),
            row.get("event_id"),
        )
        for row in bad.filter(pc.not_equal(rules, OK)).to_pylist()
    ]


def _replayable(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with numbers that JSON does not know as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _keyed(settings: Settings, rows: pa.Table) -> pa.Table:
    ids = rows["customer_id"].combine_chunks().dictionary_encode()
    key = settings.identity_key.get_secret_value().encode()
    keys = pa.array(keys_of(ids.dictionary.to_pylist(), key).tolist(), pa.string())
    return rows.append_column("customer_key", pc.take(keys, ids.indices))


def _write_keys(connection: sa.Connection, settings: Settings, rows: pa.Table) -> None:
    pairs = rows.select(["customer_id", "customer_key"])
    pairs = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])
    temporary = "new_keys"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {temporary} (customer_id text, customer_key text) ON COMMIT DROP"
    )
    postgres.copy_in(connection, temporary, pairs)
    new = sa.table(temporary, sa.column("customer_id"), sa.column("customer_key"))
    query = sa.select(new.c.customer_id, new.c.customer_key, sa.literal(settings.identity_key_id))
    names = ["customer_id", "customer_key", "key_id"]
    insert = postgresql.insert(customer_keys).from_select(names, query.order_by(new.c.customer_id))
    connection.execute(insert.on_conflict_do_nothing())


def _snapshot(rows: pa.Table) -> pa.Table:
    """Return the columns of a snapshot; what the shop does not record is null."""
    columns = {}
    for field in snapshots.SCHEMA:
        found = field.name in rows.column_names
        values = rows[field.name] if found else pa.nulls(rows.num_rows, field.type)
        columns[field.name] = values.cast(field.type)
        if field.name in FREE_TEXT:
            columns[field.name] = without_addresses(columns[field.name])
    columns["ingested_at"] = pc.coalesce(columns["ingested_at"], columns["occurred_at"])
    return pa.table(columns)


def _empty(settings: Settings, day: date) -> Refused | NothingToDo:
    said = f"No event arrived on {day}."
    if settings.empty_day == "skip":
        return NothingToDo(f"{said} INTENT_EMPTY_DAY=skip: nothing is predicted.")
    return Refused(
        f"{said} Is the load broken? Mend it and run the day again; where a closed shop is "
        "normal, set INTENT_EMPTY_DAY=skip."
    )
