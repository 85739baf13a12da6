"""Wait for something as long as it moves: a slow machine is not a broken one."""

import time
from collections.abc import Callable
from typing import TypeVar

from intent_tasks.errors import TemporaryFailure

T = TypeVar("T")

STILL_SECONDS = 900.0
"""After so long without any sign of progress nobody waits any more."""
TRIES, FIRST_PAUSE_SECONDS = 5, 1.0
"""How often a single question is asked, and the pause after the first; it doubles."""

GO_ON = "Run the same command again: it goes on where it was."


def until(
    done: Callable[[], bool],
    what: str,
    sign: Callable[[], object],
    poll_seconds: float,
    still_seconds: float | None = None,
) -> None:
    """Wait until something is done, for as long as a sign of its progress changes.

    A question that fails for now is asked again.

    Args:
        done: whether it is.
        what: it is that is waited for, for messages.
        sign: whatever changes as long as there is progress.
        poll_seconds: pause between two questions.
        still_seconds: longest time without a change; else STILL_SECONDS.

    Raises:
        TemporaryFailure: nothing has changed for that long, or every question failed.
    """
    longest = STILL_SECONDS if still_seconds is None else still_seconds
    last: object = None
    moved_at = time.monotonic()
    while True:
        failure = None
        try:
            if done():
                return
            now = sign()
        except TemporaryFailure as error:
            failure, now = error, last
        if now != last:
            last, moved_at = now, time.monotonic()
        if time.monotonic() - moved_at > longest:
            raise failure or TemporaryFailure(
                f"Nothing has changed for {longest / 60:.0f} min while waiting for {what}. {GO_ON}"
            )
        time.sleep(poll_seconds)


def asked(question: Callable[[], T]) -> T:
    """Return the answer to a question that may fail for now; it is asked a few times.

    Raises:
        TemporaryFailure: it failed each time.
    """
    pause = FIRST_PAUSE_SECONDS
    for _ in range(TRIES - 1):
        try:
            return question()
        except TemporaryFailure:
            time.sleep(pause)
            pause *= 2
    return question()
