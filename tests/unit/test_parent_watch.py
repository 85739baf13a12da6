import subprocess
import sys

WORK = "from intent_tasks.parent_watch import end_when_closed; end_when_closed(); "


def _start(work: str) -> subprocess.Popen:
    command = [sys.executable, "-c", WORK + work]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_step_whose_caller_has_died_is_ended():
    with _start("import time; time.sleep(60)") as step:
        step.stdin.close()
        assert step.wait(timeout=20) == -15


def test_a_step_that_is_done_or_fails_ends_by_itself_while_its_caller_waits():
    with _start("pass") as done, _start("raise SystemExit(78)") as refused:
        assert done.wait(timeout=20) == 0
        assert refused.wait(timeout=20) == 78
        assert done.stderr.read() + refused.stderr.read() == ""
