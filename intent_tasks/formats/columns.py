"""Columns that files can fill, in Arrow's types."""

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("customer_id", pa.string()),
        ("session_id", pa.string()),
        ("event_type", pa.string()),
        ("product_id", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("query_text", pa.string()),
        ("review_text", pa.string()),
        ("rating", pa.int32()),
        ("channel", pa.string()),
        ("device", pa.string()),
        ("occurred_at", INSTANT),
        ("ingested_at", INSTANT),
    ]
)
"""Columns of `shop.events` in Arrow's types."""

PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("category_path", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("title", pa.string()),
        ("description", pa.string()),
    ]
)
"""Columns of `shop.products` that rows of events can fill."""

PRODUCT_FILE = PRODUCTS.append(pa.field("in_stock", pa.bool_()))
"""Columns of `shop.products` that a file of products can fill."""

CUSTOMERS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("created_at", INSTANT),
        ("country", pa.string()),
        ("consent_personalisation", pa.bool_()),
        ("consent_marketing", pa.bool_()),
        ("suppressed", pa.bool_()),
    ]
)
"""Columns of `shop.customers`."""

TABLES = {"events": SCHEMA, "products": PRODUCT_FILE, "customers": CUSTOMERS}
"""Tables of the shop that files can fill, and their columns."""

KEYS = {"products": "product_id", "customers": "customer_id"}
"""The column that names a row, of tables that hold each thing once."""
