"""Wait as long as there is progress, so that a slow machine does not count as a broken one."""

import time
from collections.abc import Callable
from typing import TypeVar

from intent_tasks.errors import TemporaryFailure

T = TypeVar("T")

STALL_SECONDS = 900.0
"""Waiting ends after this time without progress."""
ATTEMPTS, FIRST_PAUSE_SECONDS = 5, 1.0
"""Attempts of a single call, and the pause after the first; it doubles."""

CONTINUE = "Run the same command again to continue."


def wait_for_progress(
    is_done: Callable[[], bool],
    name: str,
    read_progress: Callable[[], object],
    poll_seconds: float,
    stall_seconds: float | None = None,
) -> None:
    """Wait until something is done, as long as its progress changes.

    A check that fails temporarily is repeated.

    Args:
        is_done: returns whether it is done.
        name: what is waited for, for messages.
        read_progress: returns a value that changes as long as there is progress.
        poll_seconds: pause between two checks.
        stall_seconds: longest time without a change; default STALL_SECONDS.

    Raises:
        TemporaryFailure: nothing has changed for that long, or every check failed.
    """
    longest = STALL_SECONDS if stall_seconds is None else stall_seconds
    last: object = None
    changed_at = time.monotonic()
    while True:
        failure = None
        try:
            if is_done():
                return
            now = read_progress()
        except TemporaryFailure as error:
            failure, now = error, last
        if now != last:
            last, changed_at = now, time.monotonic()
        if time.monotonic() - changed_at > longest:
            raise failure or TemporaryFailure(
                f"Nothing has changed for {longest / 60:.0f} min while waiting for {name}. "
                f"{CONTINUE}"
            )
        time.sleep(poll_seconds)


def retry(call: Callable[[], T]) -> T:
    """Return the result of a call that may fail temporarily, after a few attempts.

    Raises:
        TemporaryFailure: every attempt failed.
    """
    pause = FIRST_PAUSE_SECONDS
    for _ in range(ATTEMPTS - 1):
        try:
            return call()
        except TemporaryFailure:
            time.sleep(pause)
            pause *= 2
    return call()
