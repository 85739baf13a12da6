import shutil
import time
from types import SimpleNamespace

import pytest

from intent_tasks.errors import IntentError, Refused, TemporaryFailure
from intent_tasks.local import up


def test_a_second_command_is_refused_while_the_first_is_running(tmp_path):
    refused = pytest.raises(TemporaryFailure, match="`intent demo` is already running")
    with up.lock_command(tmp_path, "demo"), refused, up.lock_command(tmp_path, "demo"):
        pass
    with up.lock_command(tmp_path, "demo"):
        pass


def test_too_little_disk_space_is_refused_before_anything_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200_000_000))
    with pytest.raises(Refused, match=r"0\.2 GB are free at .*INTENT_HOME"):
        up.up(tmp_path / "home", None, print)
    assert not (tmp_path / "home" / "local.json").exists()


def test_nothing_to_stop_where_nothing_was_started(tmp_path):
    assert up.down(tmp_path, print) is False


class Servers:
    """A supervisor with a given progress of its server."""

    def __init__(self, logs, progress):
        self.installation = SimpleNamespace(logs=logs)
        self.progress = progress

    def check(self, name):
        pass


@pytest.fixture
def clock(monkeypatch):
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(time, "sleep", lambda s: passed.__setitem__(0, passed[0] + s))
    return passed


def test_waiting_for_a_server_lasts_while_it_makes_progress(tmp_path, clock):
    lines = []
    servers = Servers(tmp_path, lambda name: (7, int(clock[0] / 60), 0))
    up._wait(servers, "mlflow", lambda: clock[0] > 3000, lines.append)
    assert len(lines) > 100
    assert lines[0].startswith("mlflow does not answer after 20 s (log: ")


def test_waiting_for_a_server_ends_without_progress(tmp_path, clock):
    with pytest.raises(TemporaryFailure, match=r"for 3 min while waiting for mlflow \(log: "):
        up._wait(Servers(tmp_path, lambda name: (7, 1, 2)), "mlflow", lambda: False, print)
    assert clock[0] < 200


def test_a_server_that_ends_after_each_start_has_failed(tmp_path, clock):
    servers = Servers(tmp_path, lambda name: (int(clock[0] * 10), 1, int(clock[0])))
    with pytest.raises(IntentError, match="mlflow ends soon after each start"):
        up._wait(servers, "mlflow", lambda: False, print)
