import os
import shlex
import subprocess
import sys
import xmlrpc.client
from datetime import date

import pytest
from supervisor.options import ServerOptions

from intent_tasks.errors import IntentError
from intent_tasks.local import postgres, supervisor, supervisor_client
from intent_tasks.local.installation import Calendar, Installation, write_private


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "account", lambda: None)
    return Installation.prepare(tmp_path / "höme 100% mine", Calendar(last_day=date(2026, 6, 30)))


def test_supervisord_reads_commands_and_variables_unchanged(prepared, monkeypatch):
    prepared.logs.mkdir()
    monkeypatch.chdir(prepared.home)
    file = prepared.home / "supervisord.conf"
    write_private(file, supervisor.supervisord_conf(prepared))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    read = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert list(read) == list(supervisor_client.PROGRAMS)
    expected = supervisor.programs(prepared)
    for name, program in expected.items():
        assert shlex.split(read[name].command) == program.command
        assert read[name].environment == dict(program.environment)
    assert str(prepared.home) in read["postgres"].command


def test_a_failed_server_is_named_with_its_last_lines(prepared, monkeypatch):
    prepared.logs.mkdir()
    (prepared.logs / "mlflow.log").write_text("first\nno space left on device\n")
    runner = supervisor.Supervisor(prepared)
    monkeypatch.setattr(runner, "states", lambda: {"mlflow": "FATAL"})
    with pytest.raises(IntentError, match=r"mlflow does not start.*no space left.*mlflow\.log"):
        runner.check("mlflow")


def test_a_missing_supervisord_does_not_answer(prepared):
    assert not supervisor.Supervisor(prepared).answers()


@pytest.fixture
def ending(prepared, monkeypatch):
    """A supervisord that is stopping, with one server that is still running."""
    script = (
        "import subprocess, sys; subprocess.Popen(['sleep', '30'], env="
        "{'SUPERVISOR_PROCESS_NAME': 'mlflow'}); print(flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, **pipes
    ) as process:
        process.stdout.readline()
        (prepared.home / supervisor.PID_FILE).write_text(str(process.pid))
        runner = supervisor.Supervisor(prepared)
        fault = xmlrpc.client.Fault(6, "SHUTDOWN_STATE")
        monkeypatch.setattr(runner, "_call", lambda *_: (_ for _ in ()).throw(fault))
        monkeypatch.setattr(supervisor, "PRINT_EVERY_SECONDS", 0.05)
        yield runner, process
        os.killpg(process.pid, 9)


def test_servers_that_are_still_stopping_are_printed(ending):
    runner, process = ending
    lines = []

    def print_line(text):
        lines.append(text)
        process.stdin.close()  # supervisord ends

    runner.shutdown(print_line)
    assert "still stopping: mlflow, supervisord" in lines[0]


def test_servers_that_never_stop_are_named(ending, monkeypatch):
    monkeypatch.setattr(supervisor, "ALL_STOP_SECONDS", 0)
    with pytest.raises(IntentError, match="still running: mlflow, supervisord"):
        ending[0].shutdown(print)
