"""Delete, or only count, data that is older than the limit of its place in the register."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys, ledger, postgres, snapshot_customers, snapshots
from intent_tasks.stores.privacy import personal_data
from intent_tasks.tables import customer_keys, exports, outcomes, predictions

Counts = dict[str, int]
"""Place → number of rows, files or folders of a day."""


def old(settings: Settings, as_of_date: date) -> Counts:
    """Count the data of each place that is older than its limit at the end of a day.

    Raises:
        BadInput: a limit in INTENT_RETENTION_DAYS is not allowed.
    """
    personal_data.check_limits(settings)
    counts: Counts = {}
    with postgres.reading(settings.pipeline_url) as connection:
        for place, is_old in _old_rows(settings, as_of_date):
            count = sa.select(sa.func.count()).select_from(place.table).where(is_old)
            counts[place.name] = connection.execute(count).scalar_one()
        paths = connection.scalars(
            sa.select(exports.c.path).where(_old_exports(settings, as_of_date))
        )
        counts["exports"] = sum(Path(path).exists() for path in paths)
    for folder in personal_data.FOLDERS:
        if folder.name != "exports":
            counts[folder.name] = len(list(_old_days(settings, folder, as_of_date)))
    return counts


def delete_old(settings: Settings, as_of_date: date) -> Counts:
    """Delete what `old` counts, and the pairs of id and key of customers without other data.

    Raises:
        BadInput: a limit in INTENT_RETENTION_DAYS is not allowed.
    """
    counts = old(settings, as_of_date)
    for folder in personal_data.FOLDERS:
        if folder.name != "exports":
            for day, path in list(_old_days(settings, folder, as_of_date)):
                _delete_day(settings, folder, day, path)
    with postgres.changing(settings.pipeline_url, "export") as connection:
        _delete_exports(connection, settings, as_of_date)
    # A transaction of its own, because it blocks readers of the predictions until it ends.
    with postgres.changing(settings.pipeline_url, "retain") as connection:
        _drop_partitions(connection, settings, as_of_date)
    with postgres.changing(settings.pipeline_url, "retain") as connection:
        for place, is_old in _old_rows(settings, as_of_date):
            connection.execute(sa.delete(place.table).where(is_old))
        counts[customer_keys.name] = _delete_keys(connection, settings)
    return counts


def _limit(
    settings: Settings, place: personal_data.Table | personal_data.Folder, as_of_date: date
) -> date:
    """Return the first day that a place keeps."""
    return as_of_date - timedelta(days=personal_data.keep_days(settings, place) or 0)


# ── Tables ────────────────────────────────────────────────────────────────────────────────────────


def _old_rows(
    settings: Settings, as_of_date: date
) -> Iterator[tuple[personal_data.Table, sa.ColumnElement[bool]]]:
    for place in (*personal_data.TABLES, *personal_data.TOMBSTONES):
        if place.dated_by is not None:
            column: sa.Column[Any] = place.table.c[place.dated_by]
            first = _limit(settings, place, as_of_date)
            is_day = isinstance(column.type, sa.Date)
            yield place, column < (first if is_day else settings.definition.day_start(first))


def _drop_partitions(connection: sa.Connection, settings: Settings, as_of_date: date) -> None:
    """Drop whole months, because deleting rows one by one is slow and frees no space.

    While the predictions are read, a month is not dropped and its rows are deleted instead.
    """
    (place,) = (place for place in personal_data.TABLES if place.table is predictions)
    first = _limit(settings, place, as_of_date)
    connection.execute(sa.text("SELECT intent.drop_predictions_before(:day)"), {"day": first})


def _delete_keys(connection: sa.Connection, settings: Settings) -> int:
    """Delete the pairs of customers who are in no snapshot, prediction or outcome any more."""
    # An extract may be adding such a customer, so extracts wait.
    identity_keys.before_new_tombstones(connection)
    connection.exec_driver_sql("CREATE TEMPORARY TABLE present (customer_key text) ON COMMIT DROP")
    for day in snapshots.days(settings.home):
        postgres.copy_in(
            connection, "present", snapshot_customers.list_customers(settings.home, day)
        )
    present = sa.table("present", sa.column("customer_key"))
    elsewhere = sa.union(
        *(sa.select(table.c.customer_id) for table in (predictions, outcomes))
    ).subquery()
    delete = sa.delete(customer_keys).where(
        customer_keys.c.customer_key.not_in(sa.select(present.c.customer_key)),
        customer_keys.c.customer_id.not_in(sa.select(elsewhere.c.customer_id)),
    )
    return connection.execute(delete).rowcount


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────


def _old_days(
    settings: Settings, folder: personal_data.Folder, as_of_date: date
) -> Iterator[tuple[date, Path]]:
    """Yield the sub-folders of days before the limit, and no folder with another name."""
    first = _limit(settings, folder, as_of_date)
    for path in sorted((settings.home / folder.name).glob("*")):
        try:
            day = date.fromisoformat(path.name.removeprefix("day=").removesuffix(".part"))
        except ValueError:
            continue
        if day < first:
            yield day, path


def _delete_day(settings: Settings, folder: personal_data.Folder, day: date, path: Path) -> None:
    step = {"snapshots": snapshots.STEP, "scores": "publish", "training": "train"}[folder.name]
    with ledger.transaction(settings, step, day):
        # If this is interrupted, a day without a manifest is missing, not damaged.
        (path / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(path)


def _old_exports(settings: Settings, as_of_date: date) -> sa.ColumnElement[bool]:
    (folder,) = (folder for folder in personal_data.FOLDERS if folder.name == "exports")
    first = _limit(settings, folder, as_of_date)
    is_old = exports.c.exported_at < settings.definition.day_start(first)
    return sa.and_(is_old, exports.c.removed_at.is_(None))


def _delete_exports(connection: sa.Connection, settings: Settings, as_of_date: date) -> None:
    is_old = _old_exports(settings, as_of_date)
    for path in connection.scalars(sa.select(exports.c.path).where(is_old)):
        Path(path).unlink(missing_ok=True)
    connection.execute(sa.update(exports).where(is_old).values(removed_at=datetime.now(UTC)))
