"""Which days the demo works on, of a shop that is closed on some."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from intent_tasks.formats import files
from intent_tasks.local.plan import Plan
from intent_tasks.stores import simulated_shop

pytestmark = pytest.mark.database

LAST_DAY = date(2026, 6, 30)
SATURDAY = 5


def test_the_demo_works_on_days_on_which_the_shop_was_open(settings):
    days = [LAST_DAY - timedelta(days=n) for n in range(40)]
    closed = {day for day in days if day.weekday() == SATURDAY}
    rows = [
        {
            "event_id": f"e{day}",
            "customer_id": "anybody",
            "event_type": "purchase",
            "occurred_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        }
        for day in days
        if day not in closed
    ]
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])
    plan = Plan.of(settings, LAST_DAY)
    assert plan.closed.issuperset(closed)
    assert (plan.today, len(plan.recent_days)) == (LAST_DAY, 7)
    assert closed.isdisjoint(plan.recent_days)
