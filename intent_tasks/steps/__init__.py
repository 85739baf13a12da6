"""The steps of the pipeline: one module, one CLI command, one Airflow task each.

A step is `run(settings, as_of_date, **options) -> Receipt`: it reads, calls pure code, writes, and
returns a receipt. It is a function of its arguments and the stores, so a second run gives the same
bytes. Modules are imported by name when they run, because some imports take seconds.
"""

import importlib
import inspect
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from intent_tasks.definition import KNOWN_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings

log = logging.getLogger(__name__)

Receipt = dict[str, Any]
"""Result of a step: ids, counts, paths and digests, as JSON of at most 4 kB."""

RECEIPT_BYTES = 4096

STEPS = {
    "collect": "load the new files of events at INTENT_COLLECT_URL into schema shop",
    "extract": "copy the events ingested on a day, and all missing days before it, to snapshots",
    "validate": "check the events ingested on a day against the contract",
    "pin": "resolve the champion, verify its manifest and pin that version for a day",
    "score": "predict one bucket of customers with the pinned version",
    "publish": "write a day's scores to intent.predictions in one transaction",
    "window": "choose the training days and complete their snapshots",
    "pretrain": "pretrain the encoder on all events of a window, if INTENT_PRETRAINED is set",
    "train": "train the sequence model and the baselines on a window",
    "evaluate": "measure the trained model and the baselines on later days, and evaluate the gate",
    "register": "register the evaluated model in MLflow as challenger",
    "erase": "erase the customers with an open erasure request",
    "retain": "delete data that is older than its retention limit",
    "watch": "name the shop days that were never predicted",
    "mature": "write the outcomes that are known by the end of a day",
    "measure": "compute the feedback metrics of all days matured by a day",
}
"""Every step and what it does, in the order of the loop."""


def run_step(settings: Settings, name: str, as_of_date: date, options: dict[str, Any]) -> Receipt:
    """Run one step and return its receipt.

    Raises:
        BadInput: there is no such step, or an option is unknown or missing.
        Refused: the day is not over.
    """
    if name not in STEPS:
        raise BadInput(f"There is no step {name!r}. Steps: {', '.join(STEPS)}.")
    require_over(settings, as_of_date)
    run: Callable[..., Receipt] = importlib.import_module(f"intent_tasks.steps.{name}").run
    signature = inspect.signature(run)
    try:
        signature.bind(settings, as_of_date, **options)
    except TypeError as error:
        allowed = ", ".join(list(signature.parameters)[2:]) or "none"
        raise BadInput(f"Step {name}: {error}. Options it takes: {allowed}.") from None
    begun = time.monotonic()
    receipt = run(settings, as_of_date, **options)
    seconds = time.monotonic() - begun
    log.info("%s of %s ended after %.1f s: %s", name, as_of_date, seconds, describe_counts(receipt))
    return receipt


def describe_counts(receipt: Receipt) -> str:
    """Return the whole numbers of a receipt as text, such as `scored 24, erased 0`."""
    numbers = {name: n for name, n in receipt.items() if type(n) is int}
    return ", ".join(f"{name} {n:,}" for name, n in numbers.items()) or "no counts"


def last_day_over(settings: Settings, now: datetime | None = None) -> date:
    """Return the last shop day that is over; for a recording, its last day."""
    return settings.last_day or settings.definition.last_day_over(now or datetime.now(UTC))


def require_over(settings: Settings, as_of_date: date, now: datetime | None = None) -> None:
    """Check that a shop day is over, so that all its events have happened.

    A recording is over after its last day, whatever the date is; days that are over by the calendar
    are over for it too.

    Raises:
        Refused: it is not over.
        BadInput: it is out of the range of shop days.
    """
    now = now or datetime.now(UTC)
    over = max(last_day_over(settings, now), settings.definition.last_day_over(now))
    if as_of_date > over:
        raise Refused(
            f"The shop day {as_of_date} is not over: the last one that is over is {over} "
            f"(INTENT_TIME_ZONE={settings.time_zone}). Name that day or an earlier one."
        )
    if as_of_date < KNOWN_DAYS[0]:
        raise BadInput(f"{as_of_date} is no shop day; name one from {KNOWN_DAYS[0]} to {over}.")


def receipt_line(receipt: Receipt) -> str:
    """Return the receipt as one line of JSON with sorted keys.

    Raises:
        ValueError: it is longer than 4 kB, which would trash Airflow's metadata database.
    """
    line = json.dumps(receipt, sort_keys=True, default=str)
    if len(line.encode()) > RECEIPT_BYTES:
        raise ValueError(f"receipt of {len(line)} bytes; a step returns ids and counts, not data")
    return line
