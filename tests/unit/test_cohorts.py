"""Cohorts depend on the events that were known at the anchor."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from intent_tasks.core.cohorts import cohorts_of
from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import Definition
from intent_tasks.stores.snapshots import SCHEMA

END = datetime(2026, 6, 11, tzinfo=UTC)


def events_of(customer, count, channel, event_type="view"):
    times = [END - timedelta(hours=n + 1) for n in range(count)]
    return [
        {"customer_key": customer, "event_id": f"{customer}{n:03d}", "event_type": event_type,
         "channel": channel, "occurred_at": at, "ingested_at": at}
        for n, at in enumerate(times)
    ]  # fmt: skip


def test_by_length_of_history_by_purchases_and_by_the_channel_of_the_latest_event():
    later = {"occurred_at": END + timedelta(hours=2), "ingested_at": END + timedelta(hours=2)}
    rows = [
        *events_of("a", 4, "ads"),
        *events_of("b", 7, "mail", "purchase"),
        *events_of("c", 25, None),
        events_of("a", 1, "mail", "purchase")[0] | later | {"event_id": "later"},
    ]
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(order)
    vocabulary = learn_vocabulary([table, table])
    encoded = encode(event_arrays(table, vocabulary, "UTC"), Definition(), date(2026, 6, 10))
    got = cohorts_of(Rows(encoded, np.zeros(3, np.int32)), vocabulary)
    assert got["history"].tolist() == ["1 events or more", "5 events or more", "20 events or more"]
    assert got["customer"].tolist() == ["no purchase yet", "has purchased", "no purchase yet"]
    assert got["channel"].tolist() == ["ads", "mail", "unknown"]
