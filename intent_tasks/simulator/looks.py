"""Categories that the simulated customers viewed, counted from events."""

from dataclasses import dataclass
from datetime import datetime, time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.simulator.catalogue import category_paths
from intent_tasks.simulator.config import Config

_ENTRY = ["customer", "session", "leaf"]


@dataclass(frozen=True)
class Looks:
    """Numbers of new products viewed: one entry for each session and category.

    Args:
        customers: number of customers, with or without entries.
        customer: number of the customer, ascending, shape (entries,), as all others.
        session: number of the session, ascending.
        leaf: number of the category.
        views: number of views of products other than the one before.
        day: counted from the shop's first day.
    """

    customers: int
    customer: np.ndarray
    session: np.ndarray
    leaf: np.ndarray
    views: np.ndarray
    day: np.ndarray

    def where(self, chosen: np.ndarray) -> "Looks":
        """Return some of the entries."""
        fields = (self.customer, self.session, self.leaf, self.views, self.day)
        return Looks(self.customers, *(field[chosen] for field in fields))

    def of(self, first: int, end: int) -> "Looks":
        """Return the entries of a range of customers, numbered from 0."""
        part = self.where((self.customer >= first) & (self.customer < end))
        customer = part.customer - first
        return Looks(end - first, customer, part.session, part.leaf, part.views, part.day)


def look(config: Config, events: pa.Table, customers: pa.Table, catalogue: pa.Table) -> Looks:
    """Count the new products of each category that each customer viewed in each session.

    Args:
        config: the shop.
        events: columns of `shop.events`, any order, any part of the shop's events.
        customers: columns of `shop.customers`; the result has the same order.
        catalogue: columns of `shop.products`.
    """
    views = _new_views(events)
    start = pd.Timestamp(datetime.combine(config.first_day, time()), tz="UTC")
    products = catalogue.select(["product_id", "category_path"]).to_pandas()
    leaves = pd.Index(category_paths(config.leaves)).get_indexer(products.category_path)
    row = pd.Index(customers["customer_id"].to_pandas()).get_indexer(views.customer_id)
    entries = pd.DataFrame(
        {
            "customer": row,
            "session": views.groupby(row).session_id.transform(lambda s: pd.factorize(s)[0]),
            "leaf": leaves[pd.Index(products.product_id).get_indexer(views.product_id)],
            "day": (views.occurred_at - start).dt.days.to_numpy(),
        }
    )
    counted = entries.groupby(_ENTRY, as_index=False).agg(views=("day", "size"), day=("day", "min"))
    starts = ~counted.duplicated(["customer", "session"])
    arrays = {name: counted[name].to_numpy() for name in ("customer", "leaf", "views", "day")}
    return Looks(len(customers), session=starts.cumsum().to_numpy() - 1, **arrays)


def _new_views(events: pa.Table) -> pd.DataFrame:
    viewed = events.filter(pc.equal(events["event_type"], "view"))
    names = ["customer_id", "session_id", "event_id", "product_id", "occurred_at"]
    rows = viewed.select(names).to_pandas()
    rows = rows.sort_values(["customer_id", "occurred_at", "event_id"], ignore_index=True)
    return rows[rows.product_id != rows.groupby("customer_id").product_id.shift()]
