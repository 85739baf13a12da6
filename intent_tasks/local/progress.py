"""What is happening, for a person who waits: a moving line on a terminal, plain lines elsewhere."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console


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

    def seconds(self) -> float:
        """Return the seconds since the waiting began."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """Write one line that stays."""
        self.console.print(f"[dim]{self.seconds():4.0f} s[/dim]  {text}", highlight=False)

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes time; yields a function that says how far it is."""
        if not self.console.is_terminal:
            self.say(f"{text} …")
            yield lambda _: None
        else:
            with self.console.status(f"{text} …") as status:
                yield lambda detail: status.update(f"{text} … [dim]{detail}[/dim]")
            self.say(f"{text} [green]✓[/green]")
        self.mark(name)

    def mark(self, name: str) -> None:
        """Keep the time at which something was reached."""
        self.times[name] = round(self.seconds(), 1)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.times, indent=1) + "\n")
