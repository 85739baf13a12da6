"""Runs, backfills, late rows, promotions, roll-backs and erasures in any order end the same way."""

import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from intent_tasks.errors import BadInput, NothingToDo
from intent_tasks.steps import extract, mature, measure, publish
from intent_tasks.stores import postgres, snapshots
from intent_tasks.stores.extracting import copy_days
from intent_tasks.stores.privacy import erasure
from tests.conftest import copy_of
from tests.database.conftest import CUSTOMERS, DAY, add, event, make_small_shop, pin, score
from tools.testbed.settings import settings_for

pytestmark = [pytest.mark.database, pytest.mark.timeout(14400)]

DAYS = [DAY + timedelta(days=n) for n in range(3)]
LAST = DAYS[-1] + timedelta(days=2)
ERASED = CUSTOMERS[5]
FINAL_VERSION = 3


def _late_event(number, customer, occurred, arrived, kind="purchase"):
    at = event(0, customer, DAY + timedelta(days=arrived))["ingested_at"]
    return event(f"late{number}", customer, DAY + timedelta(days=occurred), kind, ingested_at=at)


LATE = [
    _late_event(0, CUSTOMERS[0], 1, 2),
    _late_event(1, CUSTOMERS[1], 0, 1, "cart"),
    _late_event(2, CUSTOMERS[2], 2, 4),
    _late_event(3, ERASED, 1, 3),
    _late_event(4, CUSTOMERS[3], -1, 2, "view"),
]
"""Rows that arrive up to two days after they occurred; each operation may load one."""

OPERATIONS = st.one_of(
    st.tuples(st.just("run"), st.sampled_from(range(len(DAYS)))),
    st.tuples(st.just("feedback"), st.sampled_from(range(1, 5))),
    st.tuples(st.just("late"), st.sampled_from(range(len(LATE)))),
    st.tuples(st.just("promote"), st.sampled_from([1, 2, FINAL_VERSION])),
    st.tuples(st.just("erase"), st.just(0)),
)
"""The operations, each with a day, a row or a version."""


class World:
    """A shop and the operations on it."""

    def __init__(self, settings):
        self.settings = make_small_shop(settings).model_copy(update={"history_days": 6})
        self.version, self.loaded, self.erased = 1, set(), False

    def do(self, operation, which):
        """Apply an operation; ignore it when there is nothing to do."""
        with suppress(NothingToDo):
            getattr(self, operation)(which)

    def run(self, which):
        """Run the daily steps of a day with the current champion."""
        day = DAYS[which]
        extract.run(self.settings, day)
        pin(self.settings, day, self.version)
        score(self.settings, day, self._probability, self.version)
        publish.run(self.settings, day)

    def _probability(self, customer):
        return 0.05 * self.version + CUSTOMERS.index(customer) / 100

    def feedback(self, which):
        """Mature and measure as of a day."""
        day = DAY + timedelta(days=which)
        extract.run(self.settings, day)
        with suppress(BadInput):  # not every published day has the snapshots of its outcomes yet
            mature.run(self.settings, day)
            measure.run(self.settings, day)

    def late(self, which):
        """Load a late row."""
        if which not in self.loaded and not (self.erased and LATE[which]["customer_id"] == ERASED):
            self.loaded.add(which)
            add(self.settings, [LATE[which]])

    def promote(self, which):
        """Move the alias."""
        self.version = which

    def erase(self, _):
        """Erase one customer."""
        if not self.erased:
            self.erased = True
            erasure.erase(self.settings, [ERASED])

    def settle(self):
        """Apply all operations that are missing, then run every day once more."""
        for which in range(len(LATE)):
            self.do("late", which)
        self.do("promote", FINAL_VERSION)
        self.do("erase", 0)
        for which in range(len(DAYS)):
            self.do("run", which)
        for which in range(1, (LAST - DAY).days + 1):
            self.do("feedback", which)

    def end_state(self):
        """Return everything that must not depend on the order, by name."""
        with postgres.reading(self.settings.pipeline_url) as connection:
            state = {
                name: sorted(map(str, connection.execute(sa.text(query)).all()))
                for name, query in QUERIES.items()
            }
        return state | {"snapshots": self._events()}

    def _events(self):
        """Return what the snapshots hold, in the order of the events."""
        settings = self.settings
        buckets = range(settings.bucket_count)
        first = DAY - timedelta(days=3)
        rows = snapshots.read(settings.home, settings.definition, LAST, buckets, first)
        names = ["customer_key", "event_id", "event_type", "occurred_at"]
        return list(map(str, rows.select(names).to_pylist()))


QUERIES = {
    "predictions": "SELECT to_jsonb(p) - 'scored_at' FROM intent.predictions p",
    "outcomes": "SELECT as_of_date, customer_id, horizon_days, purchased, purchase_count"
    " FROM intent.outcomes",
    "metrics": "SELECT as_of_date, horizon_days, slice, metric, value, customer_count"
    " FROM intent.model_scorecard WHERE model_version = 3",
    "quarantine": "SELECT source, rule, row_key FROM intent.quarantine",
    "not accounted for": "SELECT as_of_date, breach FROM intent.conservation WHERE NOT holds",
}


@pytest.fixture(scope="module")
def expected(postgres_server, migrated_database):
    """The end state of a shop to which every operation was applied at the start."""
    with _World(postgres_server, migrated_database) as world:
        world.settle()
        return world.end_state()


class _World:
    def __init__(self, server, database):
        self._copy, self._server = copy_of(server, database), server
        self._home = tempfile.TemporaryDirectory()

    def __enter__(self):
        home = Path(self._home.name)
        return World(settings_for(self._server, self._copy.__enter__(), home))

    def __exit__(self, *error):
        self._copy.__exit__(*error)
        self._home.cleanup()


def test_any_order_gives_the_same_end_state(
    postgres_server, migrated_database, expected, trials, record_property
):
    assert all(expected[name] for name in ("predictions", "outcomes", "metrics", "snapshots"))
    assert expected["not accounted for"] == []
    lengths = []

    @examples(
        max_examples=trials,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(OPERATIONS, min_size=2, max_size=8))
    def check(operations):
        with _World(postgres_server, migrated_database) as world:
            for operation, which in operations:
                world.do(operation, which)
            world.settle()
            state = world.end_state()
        lengths.append(len(operations))
        for name in expected:
            assert state[name] == expected[name], f"{name} differ after {operations}"

    check()
    record_property("sequences", len(lengths))


def test_the_control_without_the_recount_late_rows_are_lost(
    postgres_server, migrated_database, expected, monkeypatch
):
    complete = copy_days.complete_snapshots
    monkeypatch.setattr(copy_days, "complete_snapshots", lambda *days, all_rows: complete(*days))
    with _World(postgres_server, migrated_database) as world:
        world.settings = world.settings.model_copy(update={"recount_days": -1})
        for which in range(1, 5):
            world.do("feedback", which)
        world.settle()
        assert world.end_state()["snapshots"] != expected["snapshots"]
