"""What is older than the limit of its place goes, and nothing younger; a dry run only counts."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.steps import extract, publish, retain
from intent_tasks.stores import postgres, score_files, snapshots
from intent_tasks.stores.privacy import exporting
from tests.database.conftest import CUSTOMERS, DAY, add, event, pin, score
from tests.database.test_consent import say
from tests.database.test_export import wanted

pytestmark = pytest.mark.database

MONTHS_LATER = DAY + timedelta(days=60)


def rows(settings, query):
    with postgres.reading(settings.pipeline_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


@pytest.fixture
def two_seasons(small_shop):
    """DAY and a day two months later, both predicted; one customer came back, one is new."""
    shop = small_shop.model_copy(update={"history_days": 3})
    add(shop, [event("odd", CUSTOMERS[0], DAY, kind="fly")])
    add(shop, [event(f"late {n}", CUSTOMERS[n], MONTHS_LATER) for n in range(2)])
    for day in (DAY, MONTHS_LATER):
        extract.run(shop, day)
        pin(shop, day)
        score(shop, day)
        publish.run(shop, day)
    say(shop, CUSTOMERS[0], True, marketing=True)
    exporting.export(shop, wanted())
    with postgres.changing(shop.pipeline_url, "test") as connection:
        connection.execute(sa.text("UPDATE intent.exports SET exported_at = '2026-06-10'"))
        connection.execute(sa.text("UPDATE intent.quarantine SET found_at = '2026-06-10'"))
    return shop


def state(settings):
    """Return what is there: days predicted, partitions, files, customers and rows set aside."""
    partitions = (
        "SELECT count(*)::int FROM pg_inherits WHERE inhparent = 'intent.predictions'::regclass"
    )
    return {
        "predicted": [day for (day,) in rows(settings, "SELECT DISTINCT as_of_date FROM "
                                                       "intent.predictions ORDER BY 1")],
        "partitions": rows(settings, partitions)[0][0],
        "snapshots": snapshots.days(settings.home),
        "scores": sorted({day for day, _ in score_files.list_written(settings.home)}),
        "exports": len(list(settings.home.glob("exports/*"))),
        "quarantine": len(rows(settings, "SELECT 1 FROM intent.quarantine")),
        "keys": len(rows(settings, "SELECT 1 FROM intent.customer_keys")),
    }  # fmt: skip


def test_within_the_limits_nothing_goes(two_seasons):
    before = state(two_seasons)
    assert set(retain.run(two_seasons, DAY)["removed"].values()) == {0}
    assert state(two_seasons) == before


def test_data_past_its_limit_is_deleted_and_its_customers_with_it(two_seasons):
    limits = dict.fromkeys(("predictions", "quarantine", "scores", "exports"), 30)
    changes = {"retention_days": limits | {"snapshots": 64}, "training_days": 1}
    shop = two_seasons.model_copy(update=changes)
    before = state(shop)
    assert before["partitions"] == 2
    preview = retain.run(shop, MONTHS_LATER + timedelta(days=20), dry_run=True)["removed"]
    assert state(shop) == before, "a dry run changes nothing"
    counts = {name: n for name, n in preview.items() if n}
    assert counts == {
        "predictions": 24, "quarantine": 1, "exports": 1, "snapshots": 3, "scores": 1,
    }  # fmt: skip
    done = retain.run(shop, MONTHS_LATER + timedelta(days=20))["removed"]
    assert {name: n for name, n in done.items() if n} == counts
    assert state(shop) == {
        "predicted": [MONTHS_LATER],
        "partitions": 1,
        "snapshots": [MONTHS_LATER - timedelta(days=n) for n in (2, 1, 0)],
        "scores": [MONTHS_LATER],
        "exports": 0,
        "quarantine": 0,
        "keys": 24,
    }
    assert rows(shop, "SELECT removed_at IS NOT NULL FROM intent.exports") == [(True,)]
    second = retain.run(shop, MONTHS_LATER + timedelta(days=20))["removed"]
    assert set(second.values()) == {0}


def test_the_pair_of_id_and_key_goes_with_the_last_trace_of_a_customer(two_seasons):
    with postgres.changing(two_seasons.pipeline_url, "test") as connection:
        connection.execute(sa.text("DELETE FROM intent.predictions"))
    limits = {"snapshots": 64}
    shop = two_seasons.model_copy(update={"training_days": 1, "retention_days": limits})
    done = retain.run(shop, MONTHS_LATER + timedelta(days=20))["removed"]
    assert done["customer_keys"] == 22
    remaining = rows(shop, "SELECT customer_id FROM intent.customer_keys ORDER BY 1")
    assert remaining == [(CUSTOMERS[0],), (CUSTOMERS[1],)]
