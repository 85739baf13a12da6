"""Features and network count the same sessions, also where some events have no session."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.encoding import NUMERIC, encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import Definition
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
START = datetime(2026, 6, 10, 12, tzinfo=UTC)
HOUR = 60


def encoded(*customers):
    """Encode customers from lists of (minute, session)."""
    rows = [
        {
            "customer_key": f"c{n}",
            "event_id": f"c{n}-{minute:04d}",
            "event_type": "view",
            "session_id": session,
            "occurred_at": START + timedelta(minutes=minute),
            "ingested_at": START + timedelta(minutes=minute),
        }
        for n, events in enumerate(customers)
        for minute, session in events
    ]
    table = pa.Table.from_pylist(rows, SCHEMA)
    return encode(event_arrays(table, learn_vocabulary([table]), "UTC"), Definition(), ANCHOR)


@pytest.mark.parametrize(
    ("events", "starts"),
    [
        pytest.param([(0, "s"), (5, None)], [1, 0], id="without session, soon after one with"),
        pytest.param([(0, "s"), (HOUR, None)], [1, 1], id="without session, an hour after"),
        pytest.param([(0, "s"), (5, None), (9, "s")], [1, 0, 0], id="back in the same session"),
        pytest.param([(0, "s"), (5, None), (9, "t")], [1, 0, 1], id="then another session"),
        pytest.param([(0, "s"), (HOUR, "s")], [1, 0], id="a pause within a session"),
        pytest.param([(0, None), (5, None), (HOUR, None)], [1, 0, 1], id="no session at all"),
        pytest.param([(0, None), (5, "s"), (6, "s")], [1, 1, 0], id="a session begins later"),
    ],
)
def test_features_and_network_read_the_same_sessions(events, starts):
    inputs = encoded(events).batch(np.array([0]), 10, 5)
    assert inputs["numeric"][:, NUMERIC.index("starts_session")].tolist() == starts
    count = inputs["features"][0, FEATURES.index("session_count_log")]
    assert np.expm1(count) == pytest.approx(sum(starts))


def test_a_customer_does_not_continue_the_session_of_another():
    several = encoded([(0, "s")], [(5, None), (6, "s")])
    flags = several.anchor_numeric[:, -1]
    assert flags.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(several.customer_events.starts_session, flags == 1)
