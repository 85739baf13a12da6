import io
import json
import time

from rich.console import Console

from intent_tasks.local.progress import Progress


def test_plain_lines_without_a_terminal_and_times_in_a_file(tmp_path):
    out = io.StringIO()
    file = tmp_path / "logs" / "demo_times.json"
    progress = Progress(Console(file=out, width=100), file, started_at=time.time() - 60)
    with progress.phase("training", "Training") as show:
        show("train")
    progress.say("Version 1 is champion.")
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
