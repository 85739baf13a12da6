import socket
import stat
from datetime import date

import pytest

from intent_tasks.errors import BadInput, Refused
from intent_tasks.local import configuration, installation, ports, postgres, supervisor, up
from intent_tasks.local.installation import Calendar, Installation
from intent_tasks.settings import Settings, read

RECORDED = Calendar(time_zone="Europe/Berlin", last_day=date(2026, 6, 30))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A state folder whose name needs quoting, with the current account."""
    monkeypatch.setattr(postgres, "account", lambda: None)
    return tmp_path / "höme 100% mine"


def _mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _secrets(prepared: Installation) -> list[str]:
    return [
        *prepared.secrets.model_dump(exclude={"roles"}).values(),
        *prepared.secrets.roles.values(),
    ]


def test_secrets_and_ports_are_kept(home):
    first = Installation.prepare(home, RECORDED)
    assert Installation.prepare(home, RECORDED) == first
    assert _mode(home / "local.json") == 0o600


def test_a_taken_port_is_replaced(home):
    first = Installation.prepare(home, RECORDED)
    with socket.create_server(("127.0.0.1", first.ports["mlflow"])):
        second = Installation.prepare(home, RECORDED)
    assert second.ports["mlflow"] != first.ports["mlflow"]
    assert second.ports["airflow"] == first.ports["airflow"]
    assert second.secrets == first.secrets


def test_a_requested_port_is_used_and_a_taken_one_refused_before_anything_is_written(
    home, monkeypatch
):
    port = ports.free_ports(1)[0]
    monkeypatch.setenv("INTENT_AIRFLOW_PORT", str(port))
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(Refused, match=f"INTENT_AIRFLOW_PORT={port}"),
    ):
        Installation.prepare(home, RECORDED)
    assert not (home / "local.json").exists()
    assert Installation.prepare(home, RECORDED).ports["airflow"] == port


def test_another_shop_is_refused_and_no_shop_keeps_the_current_one(home):
    Installation.prepare(home, RECORDED)
    assert Installation.prepare(home, None).calendar == RECORDED
    with pytest.raises(Refused, match=r"last day is 2026-06-30 .*make clean"):
        Installation.prepare(home, Calendar(last_day=date(2015, 9, 18)))


def test_every_file_with_a_secret_is_private(home):
    prepared = Installation.prepare(home, RECORDED)
    configuration.write_all(prepared)
    installation.write_private(home / "supervisord.conf", supervisor.supervisord_conf(prepared))
    secrets = _secrets(prepared)
    with_secret = [
        file
        for file in home.rglob("*")
        if file.is_file() and any(secret in file.read_text() for secret in secrets)
    ]
    assert {file.name for file in with_secret} == {
        "local.json",
        "intent.env",
        "airflow.cfg",
        "passwords.json",
        "auth.ini",
        "supervisord.conf",
    }
    assert {_mode(file) for file in with_secret} == {0o600}


def test_no_command_line_contains_a_secret(home):
    prepared = Installation.prepare(home, RECORDED)
    lines = [" ".join(p.command) for p in supervisor.programs(prepared).values()]
    assert len(lines) == 7
    assert not [line for line in lines for secret in _secrets(prepared) if secret in line]


def test_secrets_are_not_in_the_text_of_an_installation(home):
    prepared = Installation.prepare(home, RECORDED)
    assert prepared.secrets.mlflow not in repr(prepared)


def test_variables_of_the_caller_for_other_servers_are_not_inherited(home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = configuration.shared_environment(Installation.prepare(home, RECORDED))
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment.keys().isdisjoint(
        {"AIRFLOW__CORE__EXECUTOR", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"}
    )


def test_only_a_recording_skips_days_without_events(home):
    recorded = Installation.prepare(home / "recorded", RECORDED)
    live = Installation.prepare(home / "live", Calendar())
    assert configuration.settings_of(recorded)["INTENT_EMPTY_DAY"] == "skip"
    assert "INTENT_EMPTY_DAY" not in configuration.settings_of(live)


def _write_and_read(home, calendar=None, **given) -> Settings:
    """Write all files with settings in the environment; return the settings read later."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in given.items():
            environment.setenv(name, value)
        configuration.write_all(Installation.prepare(home, calendar))
    return read(Settings, home / "intent.env", home=home)


def test_settings_of_the_environment_are_written_and_read_later(home):
    given = {"INTENT_TRAINING_DAYS": "200", "INTENT_DAILY_CRON": "0 6 * * *"}
    keys = {"INTENT_PREVIOUS_IDENTITY_KEYS": '{"k0": "it\'s a \\"key\\" \\\\ "}'}
    for written in (_write_and_read(home, RECORDED, **given, **keys), _write_and_read(home)):
        assert (written.training_days, written.daily_cron) == (200, "0 6 * * *")
        assert written.last_day == RECORDED.last_day
        [key] = written.previous_identity_keys.values()
        assert key.get_secret_value() == 'it\'s a "key" \\ '
    servers = configuration.shared_environment(Installation.load(home))
    assert servers["INTENT_DAILY_CRON"] == "0 6 * * *"
    assert servers["INTENT_TIME_ZONE"] == "Europe/Berlin"
    assert "INTENT_TRAINING_DAYS" not in servers


def test_lines_of_the_user_are_preserved_and_the_environment_wins(home):
    file = home / "intent.env"
    _write_and_read(home, Calendar())
    text = file.read_text().replace("INTENT_MODEL_SIZE='nano'", "INTENT_MODEL_SIZE=small")
    file.write_text(
        text + "# a longer window\nINTENT_TRAINING_DAYS=120\nINTENT_MLFLOW_URL=http://x"
    )
    written = _write_and_read(home)
    assert (written.model_size, written.training_days) == ("small", 120)
    assert written.mlflow_url == Installation.load(home).address("mlflow")
    assert written.last_day is None
    assert "# a longer window\nINTENT_TRAINING_DAYS='120'\n" in file.read_text()
    assert _write_and_read(home, INTENT_TRAINING_DAYS="90").training_days == 90
    assert _mode(file) == 0o600


def test_an_invalid_setting_is_named_and_not_written(home):
    _write_and_read(home, Calendar())
    with pytest.raises(BadInput, match=r"INTENT_TRAINING_DAYS: .*at least 1.* in .*intent\.env; "):
        _write_and_read(home, INTENT_TRAINING_DAYS="0")
    assert _write_and_read(home).training_days == 60
    with (home / "intent.env").open("a") as file:
        file.write("INTENT_TRAININGDAYS=90\n")
    with pytest.raises(BadInput, match="INTENT_TRAININGDAYS"):
        _write_and_read(home)


def test_managed_settings_in_the_environment_are_refused(home, monkeypatch):
    monkeypatch.setenv("INTENT_SHOP_URL", "postgresql://warehouse/shop")
    monkeypatch.setenv("INTENT_LAST_DAY", "2026-01-01")
    with pytest.raises(Refused, match="INTENT_SHOP_URL, INTENT_LAST_DAY: set in the environment"):
        up.up(home, None, print)
    assert not (home / "local.json").exists()


def test_managed_settings_with_the_same_values_are_allowed(home, monkeypatch):
    _write_and_read(home, RECORDED)
    for name, value in configuration.read_settings_file(home).items():
        monkeypatch.setenv(name, value)
    configuration.require_no_conflict(home)


def test_the_time_zone_is_that_of_the_environment_or_of_the_file(home, monkeypatch):
    assert up.calendar_of(home, None, None) == Calendar()
    _write_and_read(home, RECORDED)
    assert up.calendar_of(home, None, None) == RECORDED
    monkeypatch.setenv("INTENT_TIME_ZONE", "Asia/Tokyo")
    assert up.calendar_of(home, None, None).time_zone == "Asia/Tokyo"
    assert up.calendar_of(home, "Europe/Paris", None).time_zone == "Europe/Paris"
    with pytest.raises(Refused, match=r"\(Europe/Berlin\), not 2026-06-30 \(Asia/Tokyo\)"):
        Installation.prepare(home, up.calendar_of(home, None, None))
    monkeypatch.setenv("INTENT_TIME_ZONE", "Stockholm")
    with pytest.raises(BadInput, match=r"INTENT_TIME_ZONE: .*Europe/Stockholm"):
        up.calendar_of(home, None, None)


def test_the_time_zone_of_a_live_shop_may_change(home):
    _write_and_read(home, Calendar())
    assert _write_and_read(home, Calendar(time_zone="Asia/Tokyo")).time_zone == "Asia/Tokyo"
    assert Installation.load(home).calendar.time_zone == "Asia/Tokyo"


def test_settings_given_while_the_servers_run_are_written_and_need_a_start(home, monkeypatch):
    _write_and_read(home, Calendar())
    monkeypatch.setattr(up.Supervisor, "answers", lambda _: True)
    monkeypatch.setenv("INTENT_TRAINING_DAYS", "200")
    lines = []
    up._launch_supervisor(home, None, lines.append)
    assert read(Settings, home / "intent.env", home=home).training_days == 200
    assert not lines
    monkeypatch.setenv("INTENT_DAILY_CRON", "0 6 * * *")
    up._launch_supervisor(home, None, lines.append)
    assert lines == [
        "Airflow reads INTENT_DAILY_CRON at its start. Run `make stop`, then this command again."
    ]


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory"])
def test_a_file_that_names_no_zone_is_refused(home, monkeypatch, name):
    monkeypatch.setenv("INTENT_TIME_ZONE", name)
    with pytest.raises(BadInput, match="must be the IANA name of a place"):
        up.calendar_of(home, None, None)
