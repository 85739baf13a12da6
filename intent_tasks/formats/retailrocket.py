"""The public Retailrocket events: `user_id,item_id,event,ts`, times in Unix seconds.

Source: https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset (here with the four columns
that say who did what when; prices, sessions and channels are not recorded).
"""

import pandas as pd

REQUIRED = ("user_id", "item_id", "event", "ts")
OPTIONAL: tuple[str, ...] = ()

EVENT_TYPES = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def convert(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines as events; the number of the line is the event's id."""
    seconds = pd.to_numeric(lines["ts"], errors="coerce")
    seconds = seconds.where(seconds.between(0, 4e9))
    return pd.DataFrame(
        {
            "event_id": lines.index.astype(str),
            "customer_id": lines["user_id"],
            "event_type": lines["event"].map(EVENT_TYPES).fillna(lines["event"]),
            "product_id": lines["item_id"],
            "occurred_at": pd.to_datetime(seconds, unit="s", utc=True),
        },
        index=lines.index,
    )
