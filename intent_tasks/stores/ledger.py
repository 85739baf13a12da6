"""The ledger `intent.runs`: one receipt for each finished step, shop day and bucket."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.definition import ALL_BUCKETS
from intent_tasks.settings import Settings
from intent_tasks.stores import locks
from intent_tasks.stores.addresses import engine, failure
from intent_tasks.stores.postgres import TEMPORARY, reading
from intent_tasks.tables import runs

Receipt = dict[str, Any]
"""Result of a step: ids, counts, paths and digests."""

OUTCOMES, METRICS = "outcomes", "metrics"
"""Ledger rows of each predicted day: digests of the inputs of its outcomes and metrics."""

_Key = tuple[str, date, int]

_RECORDED = "intent_recorded"


@contextmanager
def transaction(
    settings: Settings, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Iterator[sa.Connection]:
    """Open one transaction of the pipeline that no other run of the same work can overlap.

    It commits when the block ends. If the connection is lost during the commit, the ledger shows
    whether the transaction was committed.

    Raises:
        TemporaryFailure: nothing was written.
    """
    recorded: dict[_Key, datetime] = {}
    try:
        with engine(settings.pipeline_url).connect() as connection:
            connection.info[_RECORDED] = recorded
            locks.end_overdue_readers(connection)
            lock(connection, step, as_of_date, bucket)
            yield connection
            connection.commit()
    except TEMPORARY as error:
        if not recorded or not _is_committed(settings, (step, as_of_date, bucket), recorded):
            raise failure(error, settings.pipeline_url) from error


def lock(connection: sa.Connection, step: str, as_of_date: date, bucket: int = ALL_BUCKETS) -> None:
    """Block every other run of the same work until the transaction ends.

    A transaction that takes several locks takes them in the order of the days.
    """
    locks.take(connection, f"intent/{step}/{as_of_date}/{bucket}")


def _is_committed(settings: Settings, locked: _Key, recorded: Mapping[_Key, datetime]) -> bool:
    """Return whether a transaction was committed whose commit was not confirmed."""
    try:
        with engine(settings.pipeline_url).connect() as connection:
            # Our own transaction may still hold the lock, about to commit.
            lock(connection, *locked)
            key, finished_at = next(iter(recorded.items()))
            query = sa.select(runs.c.finished_at).where(_is_run(*key))
            return connection.execute(query).scalar() == finished_at
    except TEMPORARY:
        return False


def _is_run(step: str, as_of_date: date, bucket: int) -> sa.ColumnElement[bool]:
    return sa.and_(runs.c.step == step, runs.c.as_of_date == as_of_date, runs.c.bucket == bucket)


def finish_step(
    settings: Settings, step: str, as_of_date: date, receipt: Receipt, bucket: int = ALL_BUCKETS
) -> Receipt:
    """Write the receipt of a step, as a transaction of its own, and return it.

    Raises:
        TemporaryFailure: nothing was written.
    """
    with transaction(settings, step, as_of_date, bucket) as connection:
        record(connection, step, as_of_date, receipt, bucket)
    return receipt


def record(
    connection: sa.Connection,
    step: str,
    as_of_date: date,
    receipt: Receipt,
    bucket: int = ALL_BUCKETS,
) -> None:
    """Write the ledger row of a step in the transaction that did its work."""
    finished_at = datetime.now(UTC)
    row = {"step": step, "as_of_date": as_of_date, "bucket": bucket}
    values = {"receipt": receipt, "finished_at": finished_at}
    statement = postgresql.insert(runs).values(**row, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(row), set_=values))
    connection.info.setdefault(_RECORDED, {})[step, as_of_date, bucket] = finished_at


def amend(
    connection: sa.Connection,
    step: str,
    as_of_date: date,
    receipt: Receipt,
    bucket: int = ALL_BUCKETS,
) -> None:
    """Replace the receipt of a finished step, in the transaction that changed the counted data.

    `finished_at` stays as it is: the step did not run again.
    """
    connection.execute(
        sa.update(runs).where(_is_run(step, as_of_date, bucket)).values(receipt=receipt)
    )


def read_receipt(
    connection: sa.Connection, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Receipt | None:
    """Return the receipt of a step as this transaction sees it, or None."""
    query = sa.select(runs.c.receipt).where(_is_run(step, as_of_date, bucket))
    receipt: Receipt | None = connection.execute(query).scalar()
    return receipt


def receipt_of(
    settings: Settings, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Receipt | None:
    """Return the receipt of a step, or None if it has not finished."""
    with reading(settings.pipeline_url) as connection:
        return read_receipt(connection, step, as_of_date, bucket)


def read_receipts(
    connection: sa.Connection, step: str, first: date = date.min, last: date = date.max
) -> dict[date, Receipt]:
    """Return day → receipt of a step about all customers, from one day to another."""
    query = sa.select(runs.c.as_of_date, runs.c.receipt).where(
        runs.c.step == step,
        runs.c.bucket == ALL_BUCKETS,
        runs.c.as_of_date.between(first, last),
    )
    return dict(connection.execute(query).all())
