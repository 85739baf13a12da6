"""Choose the days to train on, and complete their snapshots."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta

import sqlalchemy as sa

from intent_tasks.core.anchors import Split, needed_days, training_split
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres, snapshots
from intent_tasks.stores.extracting import copy_days, source, source_ids


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Choose anchors whose outcomes are known at the end of `as_of_date`.

    Raises:
        Refused: the shop has no events, or too few days of them.
    """
    definition = settings.definition
    earliest, lag = _earliest_day(settings, as_of_date), settings.maturity_lag_days
    split = training_split(earliest, as_of_date, settings.training_days, lag)
    if split is None:
        with postgres.reading(settings.shop_url) as connection:
            loaded_at_once = source_ids.loaded_at_once(connection, settings)
        raise Refused(
            f"There are too few days to train as of {as_of_date}: {loaded_at_once}"
            f"{needed_days(lag)} days of events are needed, and "
            f"INTENT_TRAINING_DAYS={settings.training_days} must allow "
            "for them. Train later, or load more history."
        )
    first_day = definition.first_history_day(split.train[0])
    copy_days.complete_snapshots(settings, first_day, as_of_date)
    return _record(settings, as_of_date, first_day, split)


def _record(settings: Settings, as_of_date: date, first_day: date, split: Split) -> Receipt:
    """Record the window, and return its receipt."""
    days = [first_day + timedelta(days=n) for n in range((as_of_date - first_day).days + 1)]
    receipt = {
        "as_of_date": str(as_of_date),
        "first_anchor": str(split.train[0]),
        "last_anchor": str(split.test[-1]),
        "first_day": str(first_day),
        "last_day": str(as_of_date),
        "split": {name: _texts(anchors) for name, anchors in asdict(split).items()},
        "snapshot_digest": snapshots.digest(settings.home, days),
    }
    return ledger.finish_step(settings, "window", as_of_date, receipt)


def _texts(days: Iterable[date]) -> list[str]:
    return [str(day) for day in days]


def _earliest_day(settings: Settings, as_of_date: date) -> date:
    """Return the first shop day on which an event arrived."""
    with postgres.reading(settings.shop_url) as connection:
        arrived = source.arrived_at(source.columns(connection))
        start = settings.definition.day_end(as_of_date)
        dated = sa.and_(arrived >= source.FIRST_KNOWN, arrived < start)
        query = sa.select(sa.func.min(arrived)).where(dated)
        earliest = connection.execute(query).scalar()
    if earliest is None:
        raise Refused(f"The shop has no events up to {as_of_date}. Is schema `shop` filled?")
    return settings.definition.day_of(earliest)
