"""Read public files of events, which are no part of the project, as the product reads events."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from intent_tasks.stores.snapshots import SCHEMA
from tools.testbed.shops import ORDER

TYPES = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def retailrocket(path: Path) -> pd.DataFrame:
    """Return `user_id,item_id,event,ts` as events, by customer and time."""
    lines = pd.read_csv(path)
    events = pd.DataFrame(
        {
            "customer_key": lines["user_id"].astype(str),
            "event_type": lines["event"].map(TYPES),
            "product_id": lines["item_id"].astype(str),
            "second": lines["ts"],
        }
    )
    return events.sort_values(["customer_key", "second"], kind="stable", ignore_index=True)


def online_retail(path: Path) -> pd.DataFrame:
    """Return invoices of known customers as purchases, without cancellations."""
    lines = pd.read_parquet(path).dropna(subset=["CustomerID"])
    lines = lines[~lines["InvoiceNo"].str.startswith("C") & (lines["Quantity"] > 0)]
    at = pd.to_datetime(lines["InvoiceDate"], format="mixed")
    events = pd.DataFrame(
        {
            "customer_key": lines["CustomerID"].astype(int).astype(str),
            "event_type": "purchase",
            "product_id": lines["StockCode"],
            "title": lines["Description"],
            "session_id": lines["InvoiceNo"],
            "price": lines["UnitPrice"].astype(float),
            "quantity": lines["Quantity"].astype(int),
            "second": at.astype("datetime64[s]").astype(np.int64),
        }
    )
    return events.sort_values(["customer_key", "second"], kind="stable", ignore_index=True)


def as_snapshot(events: pd.DataFrame) -> pa.Table:
    """Return events as a snapshot; missing columns are null."""
    at = pa.array(events["second"].to_numpy() * 1_000_000, pa.int64())
    instant = at.cast(SCHEMA.field("occurred_at").type)
    columns = {
        "event_id": pa.array([f"{n:09d}" for n in range(len(events))]),
        "occurred_at": instant,
        "ingested_at": instant,
    }
    for field in SCHEMA:
        if field.name in columns:
            continue
        if field.name in events:
            columns[field.name] = pa.array(events[field.name], field.type, from_pandas=True)
        else:
            columns[field.name] = pa.nulls(len(events), field.type)
    snapshot = pa.table({name: columns[name] for name in SCHEMA.names})
    return snapshot.sort_by(ORDER)
