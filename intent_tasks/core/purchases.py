"""Purchases of customers by day of occurrence and day of arrival."""

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema(
    [
        pa.field("customer_key", pa.string()),
        pa.field("occurred_on", pa.date32()),
        pa.field("ingested_on", pa.date32()),
        pa.field("purchase_count", pa.int64()),
    ]
)
"""Columns of `count_purchases`."""


def count_purchases(events: pa.Table, time_zone: str) -> pa.Table:
    """Return the number of purchases by customer, shop day of occurrence and shop day of arrival.

    Args:
        events: rows of snapshots.
        time_zone: IANA name of the zone whose midnights end a shop day.

    Returns:
        Columns of `SCHEMA`, sorted by the first three.
    """
    purchases = events.filter(pc.equal(events["event_type"], "purchase"))
    days = {
        "customer_key": purchases["customer_key"],
        "occurred_on": _shop_day(purchases["occurred_at"], time_zone),
        "ingested_on": _shop_day(purchases["ingested_at"], time_zone),
    }
    counted = pa.table(days).group_by(list(days)).aggregate([([], "count_all")])
    counted = counted.sort_by([(name, "ascending") for name in days])
    return counted.rename_columns(SCHEMA.names)


def _shop_day(instants: pa.ChunkedArray, time_zone: str) -> pa.ChunkedArray:
    local = pc.local_timestamp(instants.cast(pa.timestamp("us", tz=time_zone)))
    return local.cast(pa.date32())
