import io
import json
import threading
import time

from rich.console import Console

from intent_tasks.local import progress as progress_module
from intent_tasks.local.progress import Progress


def test_plain_lines_without_a_terminal_and_times_in_a_file(tmp_path):
    out = io.StringIO()
    file = tmp_path / "logs" / "demo_times.json"
    progress = Progress(Console(file=out, width=100), file, started_at=time.time() - 60)
    with progress.phase("training", "Training") as show_detail:
        show_detail("train")
    progress.print_line("Version 1 is champion.")
    assert [line.split("s  ")[1] for line in out.getvalue().splitlines()] == [
        "Training …",
        "Version 1 is champion.",
    ]
    assert "\x1b" not in out.getvalue()
    assert 60 <= json.loads(file.read_text())["training"] < 70


def test_a_phase_that_failed_has_no_time(tmp_path):
    file = tmp_path / "demo_times.json"
    progress = Progress(Console(file=io.StringIO()), file)
    try:
        with progress.phase("training", "Training"):
            raise ValueError
    except ValueError:
        pass
    assert not file.exists()


class Written(io.StringIO):
    """Text that sets an event when it contains some words."""

    def __init__(self, words):
        super().__init__()
        self.words, self.written = words, threading.Event()

    def write(self, text):
        super().write(text)
        if self.words in self.getvalue():
            self.written.set()


def test_lines_are_printed_regularly(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "PRINT_EVERY_SECONDS", 0.01)
    out = Written("Training … 2026-06-24: score;")
    progress = Progress(Console(file=out, width=100), tmp_path / "times.json")
    with progress.phase("training", "Training") as show_detail:
        show_detail("2026-06-24: score")
        assert out.written.wait(30)
    assert "s so far" in out.getvalue()


def test_a_terminal_shows_the_detail(tmp_path):
    out = Written("score; 1 s so far")
    progress = Progress(Console(file=out, width=100, force_terminal=True), tmp_path / "t.json")
    with progress.phase("training", "Training") as show_detail:
        show_detail("score")
        assert out.written.wait(30)
