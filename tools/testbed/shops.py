"""Events of simulated and recorded shops, as the pipeline reads them from its snapshots."""

from pathlib import Path

import pyarrow as pa

from intent_tasks.core.image_codes import compress_embeddings
from intent_tasks.formats import files
from intent_tasks.simulator import Config, catalogue, simulate
from intent_tasks.stores.extracting.source import PRODUCT_COLUMNS
from intent_tasks.stores.snapshots import SCHEMA

ORDER = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
"""Sort order of the events of a snapshot."""


def simulated(config: Config) -> pa.Table:
    """Return the events of a simulated shop, columns of `SCHEMA`."""
    events = pa.concat_tables(simulate(config))
    return _as_snapshot(events.join(product_columns(config), "product_id"))


def product_columns(config: Config) -> pa.Table:
    """Return the product columns that the extract adds to the events of a simulated shop."""
    return compress_embeddings(catalogue(config).select(list(PRODUCT_COLUMNS)))


def without_content(events: pa.Table) -> pa.Table:
    """Return events of a shop that records no titles and pictures of its products."""
    for name in ("title", "picture"):
        position = events.column_names.index(name)
        events = events.set_column(position, name, pa.nulls(len(events), pa.string()))
    return events


def recorded(path: Path, format_name: str) -> pa.Table:
    """Return the events of a file of recorded events, columns of `SCHEMA`."""
    return _as_snapshot(pa.concat_tables(b.events for b in files.read(path, format_name)))


def _as_snapshot(events: pa.Table) -> pa.Table:
    events = events.rename_columns(
        ["customer_key" if name == "customer_id" else name for name in events.column_names]
    )
    columns = {
        field.name: events[field.name].cast(field.type)
        if field.name in events.column_names
        else pa.nulls(events.num_rows, field.type)
        for field in SCHEMA
    }
    ingested_at, occurred_at = columns["ingested_at"], columns["occurred_at"]
    columns["ingested_at"] = pa.compute.coalesce(ingested_at, occurred_at)
    return pa.table(columns).sort_by(ORDER)
