"""A day is published completely or not at all after any kill, and one retry completes it."""

import secrets
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from intent_tasks.local import databases, ports, postgres
from intent_tasks.stores import migrate
from intent_tasks.stores import postgres as store
from tests.conftest import FAST
from tests.database.conftest import CUSTOMERS, DAY, make_scored_shop, pin, score
from tests.faults import children
from tools.testbed.settings import settings_for

pytestmark = [pytest.mark.database, pytest.mark.timeout(7200)]

STATE = sa.text(
    "SELECT count(*), min(model_version), max(model_version) FROM intent.predictions "
    "WHERE as_of_date = :day"
)


class Reader(threading.Thread):
    """An analyst who polls a published day and records every incomplete state."""

    def __init__(self, settings):
        super().__init__(daemon=True)
        self.settings, self.polls, self.partial = settings, 0, set()
        self.stopped = threading.Event()

    def run(self):
        engine = store.engine(self.settings.analyst_url)
        while not self.stopped.is_set():
            with suppress(sa.exc.OperationalError), engine.connect() as connection:
                while not self.stopped.is_set():
                    count, low, high = connection.execute(STATE, {"day": DAY}).one()
                    connection.rollback()
                    self.polls += 1
                    if count != len(CUSTOMERS) or low != high:
                        self.partial.add((count, low, high))
                    time.sleep(0.001)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stopped.set()
        self.join(30)


def prepare(settings, version):
    """Pin a version for the day and score it, so that publishing replaces every row."""
    pin(settings, DAY, version)
    score(settings, DAY, lambda _: 0.2 + version % 7 / 20, version)


def state(settings):
    """Return rows and version of the day."""
    with store.reading(settings.analyst_url) as connection:
        return tuple(connection.execute(STATE, {"day": DAY}).one())


def seconds_of_one(settings, version, target=children.publish_day):
    """Return the seconds of publishing without a fault."""
    prepare(settings, version)
    start = time.monotonic()
    assert children.run(target, settings, DAY) == 0
    return time.monotonic() - start


def kill_process(settings, process):
    """Kill the step."""
    process.kill()


def kill_backend(settings, process):
    """Terminate the step's database connections."""
    with store.engine(settings.pipeline_url).connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "
                "'intent_pipeline' AND datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def disturb(settings, kill, moments, first_version, target=children.publish_day):
    """Publish a new version at each moment and kill it then; return the states after the kill."""
    after = []
    for version, moment in enumerate(moments, first_version):
        prepare(settings, version)
        process = children.start(target, settings, DAY)
        time.sleep(moment)
        kill(settings, process)
        process.join(120)
        after.append(state(settings))
        if target is children.publish_day:
            assert children.run(target, settings, DAY) == 0, "one retry is enough"
            assert state(settings) == (len(CUSTOMERS), version, version)
    return after


@pytest.mark.parametrize("kill", [kill_process, kill_backend])
def test_a_step_that_is_killed_leaves_a_whole_day(scored_shop, trials, kill, record_property):
    usual = seconds_of_one(scored_shop, 1)
    usual = min(usual, seconds_of_one(scored_shop, 2))
    moments = [Random(n).uniform(0, 1.1 * usual) for n in range(trials)]
    with Reader(scored_shop) as reader:
        after = disturb(scored_shop, kill, moments, 3)
    record_property("kills", trials)
    record_property("polls", reader.polls)
    assert reader.polls > 10 * trials
    assert reader.partial == set()
    assert all(count == len(CUSTOMERS) for count, _, _ in after)
    assert {v for _, v, _ in after} != set(range(3, 3 + trials)), "some were killed before the end"


def test_the_control_without_a_transaction_a_reader_sees_half_a_day(
    scored_shop, trials, record_property
):
    unprotected = children.publish_without_transaction
    usual = seconds_of_one(scored_shop, 1)
    moments = [usual * n / trials for n in range(trials)]
    with Reader(scored_shop) as reader:
        disturb(scored_shop, kill_process, moments, 2, unprotected)
        prepare(scored_shop, 2 + trials)
        assert children.run(unprotected, scored_shop, DAY) == 0
    record_property("partial states", len(reader.partial))
    assert reader.partial


@pytest.fixture
def own_server(tmp_path):
    """A PostgreSQL of this test, whose postmaster may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="intent-postgres-"))
    folder.chmod(0o755)
    safe = tuple((name, value) for name, value in FAST if name == "scram_iterations")
    password = SecretStr(secrets.token_urlsafe(12))
    server = postgres.Server(folder, ports.free_ports(1)[0], password, safe)
    server.start()
    databases.create(server, {role: role for role in databases.ROLES})
    settings = settings_for(server, databases.SHOP, tmp_path)
    migrate.migrate(settings)
    yield server, settings
    server.stop()
    shutil.rmtree(folder)


def kill_postmaster(server):
    """Return a kill of the whole database server, as when the power fails, and its new start."""

    def kill(settings, process):
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        family = psutil.Process(postmaster).children()
        psutil.Process(postmaster).kill()
        psutil.wait_procs(family, timeout=60)  # the shared memory is free when all have gone
        process.join(120)
        server.start()

    return kill


def test_a_database_server_that_is_killed_leaves_a_whole_day(own_server, trials, record_property):
    server, settings = own_server
    small = make_scored_shop(settings)
    usual = min(seconds_of_one(small, 1), seconds_of_one(small, 2))
    kills = max(2, trials // 10)
    moments = [Random(n).uniform(0, 1.1 * usual) for n in range(kills)]
    with Reader(small) as reader:
        after = disturb(small, kill_postmaster(server), moments, 3)
    record_property("kills", kills)
    assert reader.polls > kills
    assert reader.partial == set()
    assert all(count == len(CUSTOMERS) for count, _, _ in after)
