"""Rows that arrive after a day reach nothing that is computed for that day."""

from datetime import timedelta
from random import Random

import pytest

from intent_tasks.steps import extract
from intent_tasks.stores import snapshots
from tests.database.conftest import CUSTOMERS, DAY, add, event

pytestmark = pytest.mark.database

PLANTED = 10_000


def _future_row(number, random):
    """Return a row that occurred up to four days before DAY or after it, and arrives after it."""
    arrived = DAY + timedelta(days=random.randint(1, 5))
    occurred = DAY + timedelta(days=random.randint(-4, (arrived - DAY).days))
    kind = random.choice(["view", "cart", "purchase", "refund"])
    at = event(0, "", arrived)["ingested_at"]
    return event(f"f{number}", random.choice(CUSTOMERS), occurred, kind, ingested_at=at)


def _known(settings, day=DAY):
    buckets = range(settings.bucket_count)
    return snapshots.read(settings.home, settings.definition, day, buckets)


def test_ten_thousand_future_rows_reach_no_feature(small_shop, record_property):
    small_shop = small_shop.model_copy(update={"history_days": 10})
    extract.run(small_shop, DAY)
    before = _known(small_shop)
    random = Random(1)
    add(small_shop, [_future_row(number, random) for number in range(PLANTED)])
    for day in (DAY, DAY + timedelta(days=5), DAY):
        extract.run(small_shop, day)
    assert _known(small_shop).equals(before)
    record_property("planted", PLANTED)
    later = _known(small_shop, DAY + timedelta(days=5))
    planted = [name for name in later["event_id"].to_pylist() if name.startswith("ef")]
    assert len(planted) > PLANTED / 2, "the control: they are there, and known later"
