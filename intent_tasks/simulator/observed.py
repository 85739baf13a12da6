"""Observations of the simulated customers: numbers of events by day, counted from events."""

from dataclasses import dataclass
from datetime import datetime, time

import numpy as np
import pandas as pd
import pyarrow as pa

from intent_tasks.simulator.config import Config
from intent_tasks.simulator.process import BAD, GOOD, KINDS, Days

_SINGLE = {kind: number for number, kind in enumerate(KINDS) if kind != "view"}


@dataclass(frozen=True)
class Observed:
    """What customers did; their intent is hidden.

    Args:
        joined: first day, counted from the shop's first day; 0: before it; shape (customers,).
        sessions: shape (days, customers).
        kinds: numbers of `KINDS`, shape (days, customers, kinds).
    """

    joined: np.ndarray
    sessions: np.ndarray
    kinds: np.ndarray

    @classmethod
    def of(cls, days: Days) -> "Observed":
        """Return the observable part of simulated days."""
        return cls(days.joined, days.sessions, days.kinds)


def observe(config: Config, events: pa.Table, customers: pa.Table) -> Observed:
    """Count what each customer did on each day.

    Args:
        config: the shop.
        events: columns of `shop.events`, any order, any part of the shop's events.
        customers: columns of `shop.customers`; the result has the same order.
    """
    people = customers.select(["customer_id", "created_at"]).to_pandas()
    start = pd.Timestamp(datetime.combine(config.first_day, time()), tz="UTC")
    joined = np.maximum((people.created_at - start).dt.days.to_numpy(), 0)
    rows = _rows(events)
    row = pd.Index(people.customer_id).get_indexer(rows.customer_id)
    day = (rows.occurred_at - start).dt.days.to_numpy()
    starts = ~rows.duplicated(["customer_id", "session_id"]).to_numpy()
    sessions = np.zeros((config.days, len(people)), np.int32)
    kinds = np.zeros((*sessions.shape, len(KINDS)), np.int32)
    np.add.at(sessions, (day[starts], row[starts]), 1)
    np.add.at(kinds, (day[~starts], row[~starts], _kinds(rows)[~starts]), 1)
    return Observed(joined, sessions, kinds)


def _rows(events: pa.Table) -> pd.DataFrame:
    names = ["customer_id", "session_id", "event_id", "event_type", "product_id", "query_text"]
    rows = events.select([*names, "rating", "occurred_at"]).to_pandas()
    return rows.sort_values(["customer_id", "occurred_at", "event_id"], ignore_index=True)


def _kinds(rows: pd.DataFrame) -> np.ndarray:
    """Return the kind of each event; meaningless for views that start a session."""
    kinds = rows.event_type.map(_SINGLE).fillna(0).astype(int).to_numpy(copy=True)
    views = rows[rows.event_type == "view"]
    repeated = views.product_id == views.groupby("customer_id").product_id.shift()
    kinds[repeated.index[repeated]] = KINDS.index("view_again")
    with_brand = rows.query_text.str.count(" ") == 2  # before the two words of the category
    kinds[with_brand.to_numpy()] = KINDS.index("search_brand")
    reviews = (rows.event_type == "review").to_numpy()
    good = (rows.rating >= 3).to_numpy()
    kinds[reviews & good], kinds[reviews & ~good] = GOOD, BAD
    return np.asarray(kinds)
