"""Reports of unforeseen exceptions: one line for the user, and a trace for the developers.

The trace holds files, lines and the class of each exception, but no message: a message may quote a
value of the shop. With INTENT_DEBUG=1 the full traceback is printed instead.
"""

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

from intent_tasks.errors import IntentError

FILE = "bugs.log"
"""In the state folder; only the account that runs the system may read it."""

MOST_BYTES = 1_000_000
"""Size above which the file starts again."""


class Bug(IntentError):
    """An unforeseen exception; exit code 1."""


def written(error: BaseException, home: Path) -> Bug:
    """Write the trace of an exception, and return the message for the user."""
    if os.environ.get("INTENT_DEBUG") == "1":
        traceback.print_exception(error)
        return Bug(f"{type(error).__name__}, which nobody foresaw; see above.")
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    try:
        place = f"Its trace is in {_append(home, _trace(error))}"
    except OSError:
        place = "Its trace could not be written"
    return Bug(
        f"This is a bug: {kind}, which nobody foresaw. {place}; run the command with "
        "INTENT_DEBUG=1 to see all of it, and report it. Running it again changes nothing."
    )


def describe(error: BaseException) -> str:
    """Return class and place of an exception, without its message, which may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}intent_tasks{os.sep}" in frame.filename]
    if not ours:
        return type(error).__name__
    last = ours[-1]
    return (
        f"{type(error).__name__} in {last.name}, line {last.lineno} of {Path(last.filename).name}"
    )


def _trace(error: BaseException) -> str:
    """Return the stack frames of an exception and of its causes, without their messages."""
    parts = [f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"]
    cause: BaseException | None = error
    while cause is not None:
        parts.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        parts += [
            f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
        cause = cause.__cause__ or cause.__context__
    return "\n".join(parts) + "\n\n"


def _append(home: Path, text: str) -> Path:
    path = home / FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_long = path.exists() and path.stat().st_size > MOST_BYTES
    how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if is_long else os.O_APPEND)
    with os.fdopen(os.open(path, how, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path
