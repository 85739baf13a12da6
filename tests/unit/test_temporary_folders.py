import os
import signal
import subprocess
import sys

from intent_tasks.stores.temporary_folders import remove_abandoned, scratch_folder

HOLD = """
import sys
from pathlib import Path
from intent_tasks.stores.temporary_folders import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "weights").write_text("half of them")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_gone_at_the_end(tmp_path):
    with scratch_folder(tmp_path / "models") as folder:
        (folder / "weights").write_text("some")
        assert folder.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "models").iterdir()) == []


def test_a_killed_process_leaves_none_and_one_that_works_keeps_its_own(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, **pipes) as killed, subprocess.Popen(command, **pipes) as works:
        names = [process.stdout.readline().strip() for process in (killed, works)]
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        (tmp_path / "3").mkdir()
        remove_abandoned(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[1], "3"])
        works.stdin.close()
        works.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["3"]
