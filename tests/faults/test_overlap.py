"""Runs of the same day that start together: one writes, the others change nothing."""

import pytest
import sqlalchemy as sa

from intent_tasks.stores import ledger, postgres
from tests.database.conftest import CUSTOMERS, DAY
from tests.faults import children
from tests.faults.test_kills import prepare, state

pytestmark = [pytest.mark.database, pytest.mark.timeout(3600)]

TOGETHER = 20


def _transactions_that_wrote(settings):
    """Return the number of transactions that wrote the rows of the day and its ledger row."""
    query = sa.text(
        "SELECT count(DISTINCT xmin::text) FROM intent.predictions WHERE as_of_date = :d"
    )
    with postgres.reading(settings.pipeline_url) as connection:
        return connection.execute(query, {"d": DAY}).scalar()


def test_of_twenty_runs_at_once_one_writes_and_all_end_well(scored_shop, trials, record_property):
    rounds = max(1, trials // 10)
    for version in range(1, 1 + rounds):
        prepare(scored_shop, version)
        with ledger.transaction(
            scored_shop, "publish", DAY
        ):  # so that all wait for the same moment
            runs = [children.start(children.publish_day, scored_shop, DAY) for _ in range(TOGETHER)]
        for run in runs:
            run.join(120)
        assert [run.exitcode for run in runs] == [0] * TOGETHER
        assert state(scored_shop) == (len(CUSTOMERS), version, version)
        assert _transactions_that_wrote(scored_shop) == 1
    record_property("starts", rounds * TOGETHER)


def test_the_control_without_the_lock_runs_collide(scored_shop):
    prepare(scored_shop, 1)
    runs = [
        children.start(children.publish_without_lock, scored_shop, DAY) for _ in range(TOGETHER)
    ]
    for run in runs:
        run.join(120)
    assert [run.exitcode for run in runs] != [0] * TOGETHER
