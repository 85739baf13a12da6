"""Steps in child processes, which start in milliseconds and can be killed at any time."""

import multiprocessing
from contextlib import contextmanager
from datetime import date

from intent_tasks.settings import Settings
from intent_tasks.steps import publish
from intent_tasks.stores import ledger, postgres

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["intent_tasks.steps.publish", "great_expectations", "tests.faults.children"]
)


def publish_day(settings: Settings, day: date) -> None:
    """Publish a day as the step does."""
    publish.run(settings, day)


def publish_without_transaction(settings: Settings, day: date) -> None:
    """Publish a day with a transaction for each statement; the tests must notice it."""

    @contextmanager
    def writing(settings, step, as_of_date, bucket=ledger.ALL_BUCKETS):
        engine = postgres.engine(settings.pipeline_url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    publish._scores.dialect_options["postgresql"]["on_commit"] = None
    publish.postgres.ensure_partition = lambda *_: None  # it is there; LOCK needs a transaction
    publish.identity_keys.hold_off_tombstones = lambda *_: None
    publish.ledger.transaction = writing
    publish.run(settings, day)


def publish_without_lock(settings: Settings, day: date, together) -> None:
    """Publish a day without the lock, together with another process; the tests must notice it."""
    ledger.lock = lambda *_: together.wait(60)
    publish.run(settings, day)


def start(target, *arguments):
    """Start a child that calls a function of this module; return its process."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def run(target, *arguments, seconds=120):
    """Run a child to its end and return its exit code."""
    process = start(target, *arguments)
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"{target.__name__} did not end within {seconds} s")
    return process.exitcode
