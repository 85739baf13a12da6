"""What is happening, for a person who waits: a moving line on a terminal, plain lines elsewhere."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.status import Status

SAY_EVERY_SECONDS = 20.0
"""Nobody waits longer without a word."""


class Progress:
    """Phases with their times, shown and kept in a file.

    Args:
        console: where to write.
        times_file: JSON of seconds since `started_at` at the end of each phase.
        started_at: Unix time at which the waiting began.
    """

    def __init__(self, console: Console, times_file: Path, started_at: float | None = None) -> None:
        self.console = console
        self.times: dict[str, float] = {}
        self._file = times_file
        self._start = time.monotonic() - max(0.0, time.time() - (started_at or time.time()))
        self._said_at = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the waiting began."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """Write one line that stays."""
        self._said_at = time.monotonic()
        self.console.print(f"[dim]{self.seconds():4.0f} s[/dim]  {text}", highlight=False)

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes time; yields a function that says how far it is.

        However long it takes, there is a word now and then, also when that function is not called.
        """
        terminal = self.console.is_terminal
        if not terminal:
            self.say(f"{text} …")
        with (
            self.console.status(f"{text} …") if terminal else nullcontext() as status,
            self._ticking(_Phase(text), status) as phase,
        ):
            yield phase.is_at
        if terminal:
            self.say(f"{text} [green]✓[/green]")
        self.mark(name)

    @contextmanager
    def _ticking(self, phase: "_Phase", status: Status | None) -> Iterator["_Phase"]:
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0 if status else SAY_EVERY_SECONDS / 4):
                if status:
                    status.update(phase.described())
                elif time.monotonic() - self._said_at >= SAY_EVERY_SECONDS:
                    self.say(phase.described())

        ticker = threading.Thread(target=tick, name="progress", daemon=True)
        ticker.start()
        try:
            yield phase
        finally:
            ended.set()
            ticker.join()

    def mark(self, name: str) -> None:
        """Keep the time at which something was reached."""
        self.times[name] = round(self.seconds(), 1)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.times, indent=1) + "\n")


class _Phase:
    """Something that takes time, and how far it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._detail = ""
        self._begun = time.monotonic()

    def is_at(self, detail: str) -> None:
        """Remember how far it is."""
        self._detail = detail

    def described(self) -> str:
        """Return what takes time, for how long by now, and how far it is."""
        seconds = f"{time.monotonic() - self._begun:.0f} s so far"
        return f"{self._text} … [dim]{'; '.join(filter(None, [self._detail, seconds]))}[/dim]"
