"""Steps that a server forks: processes of their own, and no difference to new interpreters."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from intent_process import Child, ForkRefused, fork

from intent_tasks import fork_server

LIGHT = "fork_server.preload = lambda: __import__('intent_tasks.cli');"
"""What a server does before it starts, where a test needs none of the heavy libraries."""


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@contextmanager
def running(home, before=LIGHT):
    """Run a server for a state folder; yield its process and the path of its socket."""
    text = f"from intent_tasks import fork_server; {before} fork_server.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        env=os.environ | {"INTENT_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    path = fork_server.socket_path("", home)
    try:
        wait_for(lambda: path.exists() and process.poll() is None)
        wait_for(lambda: _answers(path))
        yield process, path
    finally:
        process.kill()
        process.wait()


def _answers(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.fixture
def home():
    """A state folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="intent-") as folder:
        yield Path(folder)


def test_a_path_that_is_too_long_for_a_socket_is_none(home):
    assert fork_server.socket_path("", home) == home / "fork_server.sock"
    assert fork_server.socket_path("/run/here.sock", home) == Path("/run/here.sock")
    assert fork_server.socket_path("", home / ("x" * 100)) is None


@pytest.fixture
def lines():
    return []


def run(path, lines, *arguments):
    with Child(sys.executable, list(arguments), lines.append, path) as child:
        return child, child.wait()


@pytest.fixture
def silent_database(monkeypatch, home):
    """Settings with which a step waits for ever: the port of its database never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://someone:secret@127.0.0.1:{server.getsockname()[1]}/shop"
        for name in ("SHOP", "PIPELINE", "ANALYST", "MIGRATOR"):
            monkeypatch.setenv(f"INTENT_{name}_URL", url)
        monkeypatch.setenv("INTENT_MLFLOW_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("INTENT_IDENTITY_KEY", "identity key of the tests")
        monkeypatch.setenv("INTENT_MANIFEST_KEY", "manifest key of the tests")
        monkeypatch.setenv("INTENT_HOME", str(home))
        yield


WAITING = ("step", "extract", "--as-of-date", "2026-06-01", "--until-stdin-closes")


def test_a_forked_step_has_the_streams_the_exit_code_and_the_environment_of_a_new_one(
    home, lines, monkeypatch
):
    monkeypatch.setenv("INTENT_TIME_ZONE", "Nowhere/Else")
    seen = {}
    with running(home) as (server, path):
        for socket_of in (path, None):
            lines.clear()
            child, exit_code = run(socket_of, lines, "sql", "select 1")
            seen[type(child._process).__name__] = (exit_code, child.last_error, tuple(lines))
        assert server.poll() is None
    assert seen["Forked"] == seen["Popen"]
    assert seen["Forked"][0] == 78
    assert "Nowhere/Else" not in os.environ.get("TZ", "")
    assert "INTENT_TIME_ZONE" in seen["Forked"][1]


def test_a_variable_of_the_server_does_not_reach_a_step(home, lines, monkeypatch):
    monkeypatch.setenv("INTENT_HOME", str(home))
    before = f"import os; os.environ['INTENT_TIME_ZONE'] = 'Nowhere/Else'; {LIGHT}"
    with running(home, before) as (_, path):
        child, _ = run(path, lines, "sql", "select 1")
    assert type(child._process).__name__ == "Forked"
    assert "INTENT_SHOP_URL" in lines[-1], "it reads its settings, which are incomplete"
    assert "INTENT_TIME_ZONE" not in lines[-1]


def test_a_step_that_is_stopped_leaves_nothing_and_the_server_goes_on(home, lines, silent_database):
    with running(home) as (server, path):
        with Child(sys.executable, list(WAITING), lines.append, path) as child:
            pid = child._process.pid
            wait_for(lambda: psutil.Process(pid).num_threads() > 1)  # watches its stdin
            assert os.getsid(pid) == pid
        wait_for(lambda: not is_alive(pid))
        assert run(path, lines, "--help")[1] == 0
        assert psutil.Process(server.pid).children() == []


def test_a_step_ends_when_the_caller_has_died(home, lines, silent_database):
    with (
        running(home) as (_, path),
        Child(sys.executable, list(WAITING), lines.append, path) as child,
    ):
        wait_for(lambda: psutil.Process(child._process.pid).num_threads() > 1)
        child._stdin.close()
        assert child.wait() == -signal.SIGTERM


def test_a_server_that_is_killed_takes_its_steps_for_killed(home, lines, silent_database):
    with running(home) as (server, path):
        with Child(sys.executable, list(WAITING), lines.append, path) as child:
            pid = child._process.pid
            server.kill()
            assert child._process.wait(30) == -signal.SIGKILL
        wait_for(lambda: not is_alive(pid))
        child, exit_code = run(path, lines, "--help")
    assert (type(child._process).__name__, exit_code) == ("Popen", 0)
    assert any("No fork server for this step" in line for line in lines)


def test_a_server_from_before_an_upgrade_refuses_and_ends(home, monkeypatch):
    with running(home) as (server, path):
        monkeypatch.setattr(fork_server, "fingerprint", lambda: "newer")
        with pytest.raises(ForkRefused, match="code or packages have changed"):
            fork(path, ["--help"], [0, 1, 2])
        assert server.wait(30) == 0


def test_a_server_that_grows_refuses_and_ends(home):
    with running(home, f"fork_server.MAX_GROWTH = 0.5; {LIGHT}") as (server, path):
        with pytest.raises(ForkRefused, match="grown"):
            fork(path, ["--help"], [0, 1, 2])
        assert server.wait(30) == 0


def test_other_values_of_what_libraries_read_are_refused_by_name(home, monkeypatch):
    with running(home) as (server, path):
        monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
        with pytest.raises(ForkRefused, match="TF_DETERMINISTIC_OPS"):
            fork(path, ["--help"], [0, 1, 2])
        assert server.poll() is None


@pytest.mark.parametrize("text", [b"", b"{}\n", b"no JSON\n", b'{"arguments": 1}\n', b"\xff\n"])
def test_a_request_that_is_none_is_refused_and_the_server_goes_on(home, lines, text):
    with running(home) as (_, path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(text) if text else client.shutdown(socket.SHUT_WR)
            assert b"refused" in client.makefile("rb").readline()
        child, exit_code = run(path, lines, "--help")
    assert (type(child._process).__name__, exit_code) == ("Forked", 0)


def test_only_its_owner_may_open_the_socket(home):
    with running(home) as (_, path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_with_all_libraries_no_thread_but_its_own_is_left_in_the_server(home, lines):
    """OpenBLAS ends its threads itself before a fork; TensorFlow, OpenMP and Arrow would not."""
    with running(home, "") as (server, path):
        child, exit_code = run(path, lines, "--help")
        assert (type(child._process).__name__, exit_code) == ("Forked", 0)
        threads = Path(f"/proc/{server.pid}/task")
        assert [task.name for task in threads.iterdir()] == [str(server.pid)]
