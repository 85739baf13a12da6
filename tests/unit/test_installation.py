import socket
import stat
from datetime import date

import pytest

from intent_tasks.errors import Refused
from intent_tasks.local import configuration, installation, ports, postgres, supervisor
from intent_tasks.local.installation import Calendar, Installation

RECORDED = Calendar(time_zone="Europe/Berlin", last_day=date(2026, 6, 30))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A state folder with a name that quoting must survive, whoever runs the tests."""
    monkeypatch.setattr(postgres, "account", lambda: None)
    return tmp_path / "höme 100% mine"


def _mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _secrets(made: Installation) -> list[str]:
    return [*made.secrets.model_dump(exclude={"roles"}).values(), *made.secrets.roles.values()]


def test_secrets_and_ports_are_kept(home):
    first = Installation.prepare(home, RECORDED)
    assert Installation.prepare(home, RECORDED) == first
    assert _mode(home / "local.json") == 0o600


def test_a_port_that_somebody_took_is_replaced(home):
    first = Installation.prepare(home, RECORDED)
    with socket.create_server(("127.0.0.1", first.ports["mlflow"])):
        second = Installation.prepare(home, RECORDED)
    assert second.ports["mlflow"] != first.ports["mlflow"]
    assert second.ports["airflow"] == first.ports["airflow"]
    assert second.secrets == first.secrets


def test_a_wanted_port_is_taken_and_a_taken_one_refused_before_anything_is_written(
    home, monkeypatch
):
    wanted = ports.free_ports(1)[0]
    monkeypatch.setenv("INTENT_AIRFLOW_PORT", str(wanted))
    with (
        socket.create_server(("127.0.0.1", wanted)),
        pytest.raises(Refused, match=f"INTENT_AIRFLOW_PORT={wanted}"),
    ):
        Installation.prepare(home, RECORDED)
    assert not (home / "local.json").exists()
    assert Installation.prepare(home, RECORDED).ports["airflow"] == wanted


def test_another_shop_is_refused_and_no_shop_keeps_what_is_there(home):
    Installation.prepare(home, RECORDED)
    assert Installation.prepare(home, None).calendar == RECORDED
    with pytest.raises(Refused, match=r"last day is 2026-06-30 .*make clean"):
        Installation.prepare(home, Calendar(last_day=date(2015, 9, 18)))


def test_every_file_with_a_secret_is_private(home):
    made = Installation.prepare(home, RECORDED)
    configuration.write_all(made)
    installation.write_private(home / "supervisord.conf", supervisor.supervisord_conf(made))
    secrets = _secrets(made)
    telling = [
        file
        for file in home.rglob("*")
        if file.is_file() and any(secret in file.read_text() for secret in secrets)
    ]
    assert {file.name for file in telling} == {
        "local.json",
        "intent.env",
        "airflow.cfg",
        "passwords.json",
        "auth.ini",
        "supervisord.conf",
    }
    assert {_mode(file) for file in telling} == {0o600}


def test_no_command_line_tells_a_secret(home):
    made = Installation.prepare(home, RECORDED)
    lines = [" ".join(p.command) for p in supervisor.programs(made).values()]
    assert len(lines) == 6
    assert not [line for line in lines for secret in _secrets(made) if secret in line]


def test_secrets_are_not_in_the_text_of_an_installation(home):
    made = Installation.prepare(home, RECORDED)
    assert made.secrets.mlflow not in repr(made)


def test_the_callers_settings_of_other_servers_do_not_reach_ours(home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = configuration.shared_environment(Installation.prepare(home, RECORDED))
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment.keys().isdisjoint(
        {"AIRFLOW__CORE__EXECUTOR", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"}
    )


def test_only_a_recording_passes_over_days_without_events(home):
    recorded = Installation.prepare(home / "recorded", RECORDED)
    alive = Installation.prepare(home / "alive", Calendar())
    assert "INTENT_EMPTY_DAY='skip'\n" in configuration.step_settings(recorded)
    assert "INTENT_EMPTY_DAY" not in configuration.step_settings(alive)
