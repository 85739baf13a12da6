"""Show progress: an updated line on a terminal, plain lines elsewhere."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.status import Status

PRINT_EVERY_SECONDS = 20.0
"""Longest time without a line."""


class Progress:
    """Phases with their times, printed and written to a file.

    Args:
        console: where to write.
        times_file: JSON of seconds since `started_at` at the end of each phase.
        started_at: Unix time at which the command started.
    """

    def __init__(self, console: Console, times_file: Path, started_at: float | None = None) -> None:
        self.console = console
        self.times: dict[str, float] = {}
        self._file = times_file
        self._start = time.monotonic() - max(0.0, time.time() - (started_at or time.time()))
        self._printed_at = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the command started."""
        return time.monotonic() - self._start

    def print_line(self, text: str) -> None:
        """Print a line with the time."""
        self._printed_at = time.monotonic()
        self.console.print(f"[dim]{self.seconds():4.0f} s[/dim]  {text}", highlight=False)

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[Callable[[str], None]]:
        """Show a phase; yields a function that sets its detail, such as the running task.

        Lines are printed regularly, also when that function is not called.
        """
        terminal = self.console.is_terminal
        if not terminal:
            self.print_line(f"{text} …")
        with (
            self.console.status(f"{text} …") if terminal else nullcontext() as status,
            self._ticking(_Phase(text), status) as phase,
        ):
            yield phase.set_detail
        if terminal:
            self.print_line(f"{text} [green]✓[/green]")
        self.mark(name)

    @contextmanager
    def _ticking(self, phase: "_Phase", status: Status | None) -> Iterator["_Phase"]:
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0 if status else PRINT_EVERY_SECONDS / 4):
                if status:
                    status.update(phase.describe())
                elif time.monotonic() - self._printed_at >= PRINT_EVERY_SECONDS:
                    self.print_line(phase.describe())

        ticker = threading.Thread(target=tick, name="progress", daemon=True)
        ticker.start()
        try:
            yield phase
        finally:
            ended.set()
            ticker.join()

    def mark(self, name: str) -> None:
        """Write the time at which something was reached."""
        self.times[name] = round(self.seconds(), 1)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.times, indent=1) + "\n")


class _Phase:
    """A phase, when it started, and its detail."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._detail = ""
        self._start = time.monotonic()

    def set_detail(self, detail: str) -> None:
        """Set what is shown behind the text."""
        self._detail = detail

    def describe(self) -> str:
        """Return the text with its detail and the seconds so far."""
        seconds = f"{time.monotonic() - self._start:.0f} s so far"
        return f"{self._text} … [dim]{'; '.join(filter(None, [self._detail, seconds]))}[/dim]"
