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
    assert configuration.settings_of(recorded)["INTENT_EMPTY_DAY"] == "skip"
    assert "INTENT_EMPTY_DAY" not in configuration.settings_of(alive)


def _written(home, calendar=None, **given) -> Settings:
    """Write all files with settings of the environment, and read them as a later call does."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in given.items():
            environment.setenv(name, value)
        configuration.write_all(Installation.prepare(home, calendar))
    return read(Settings, home / "intent.env", home=home)


def test_settings_of_the_environment_count_from_then_on(home):
    given = {"INTENT_TRAINING_DAYS": "200", "INTENT_DAILY_CRON": "0 6 * * *"}
    keys = {"INTENT_PREVIOUS_IDENTITY_KEYS": '{"k0": "it\'s a \\"key\\" \\\\ "}'}
    for written in (_written(home, RECORDED, **given, **keys), _written(home)):
        assert (written.training_days, written.daily_cron) == (200, "0 6 * * *")
        assert written.last_day == RECORDED.last_day
        [key] = written.previous_identity_keys.values()
        assert key.get_secret_value() == 'it\'s a "key" \\ '
    servers = configuration.shared_environment(Installation.load(home))
    assert servers["INTENT_DAILY_CRON"] == "0 6 * * *"
    assert servers["INTENT_TIME_ZONE"] == "Europe/Berlin"
    assert "INTENT_TRAINING_DAYS" not in servers


def test_lines_of_the_user_stay_and_the_environment_wins_over_them(home):
    file = home / "intent.env"
    _written(home, Calendar())
    text = file.read_text().replace("INTENT_MODEL_SIZE='nano'", "INTENT_MODEL_SIZE=small")
    file.write_text(
        text + "# a longer window\nINTENT_TRAINING_DAYS=120\nINTENT_MLFLOW_URL=http://x"
    )
    written = _written(home)
    assert (written.model_size, written.training_days) == ("small", 120)
    assert written.mlflow_url == Installation.load(home).address("mlflow")
    assert written.last_day is None
    assert "# a longer window\nINTENT_TRAINING_DAYS='120'\n" in file.read_text()
    assert _written(home, INTENT_TRAINING_DAYS="90").training_days == 90
    assert _mode(file) == 0o600


def test_a_setting_that_cannot_be_used_is_named_and_not_written(home):
    _written(home, Calendar())
    with pytest.raises(BadInput, match=r"INTENT_TRAINING_DAYS: .*at least 1.* in .*intent\.env; "):
        _written(home, INTENT_TRAINING_DAYS="0")
    assert _written(home).training_days == 60
    with (home / "intent.env").open("a") as file:
        file.write("INTENT_TRAININGDAYS=90\n")
    with pytest.raises(BadInput, match="INTENT_TRAININGDAYS"):
        _written(home)


def test_what_the_installation_decides_is_refused_in_the_environment(home, monkeypatch):
    monkeypatch.setenv("INTENT_SHOP_URL", "postgresql://warehouse/shop")
    monkeypatch.setenv("INTENT_LAST_DAY", "2026-01-01")
    with pytest.raises(Refused, match="INTENT_SHOP_URL, INTENT_LAST_DAY: set in the environment"):
        up.up(home, None, print)
    assert not (home / "local.json").exists()


def test_its_own_values_may_be_in_the_environment(home, monkeypatch):
    _written(home, RECORDED)
    for name, value in configuration.in_file(home).items():
        monkeypatch.setenv(name, value)
    configuration.require_free(home)


def test_the_time_zone_is_that_of_the_environment_or_of_the_file(home, monkeypatch):
    assert up.calendar_of(home, None, None) == Calendar()
    _written(home, RECORDED)
    assert up.calendar_of(home, None, None) == RECORDED
    monkeypatch.setenv("INTENT_TIME_ZONE", "Asia/Tokyo")
    assert up.calendar_of(home, None, None).time_zone == "Asia/Tokyo"
    assert up.calendar_of(home, "Europe/Paris", None).time_zone == "Europe/Paris"
    with pytest.raises(Refused, match=r"\(Europe/Berlin\), not 2026-06-30 \(Asia/Tokyo\)"):
        Installation.prepare(home, up.calendar_of(home, None, None))
    monkeypatch.setenv("INTENT_TIME_ZONE", "Stockholm")
    with pytest.raises(BadInput, match=r"INTENT_TIME_ZONE: .*Europe/Stockholm"):
        up.calendar_of(home, None, None)


def test_the_time_zone_of_a_shop_that_goes_on_may_change(home):
    _written(home, Calendar())
    assert _written(home, Calendar(time_zone="Asia/Tokyo")).time_zone == "Asia/Tokyo"
    assert Installation.load(home).calendar.time_zone == "Asia/Tokyo"


def test_settings_given_while_the_servers_run_count_and_are_said_to_need_a_start(home, monkeypatch):
    _written(home, Calendar())
    monkeypatch.setattr(up.Supervisor, "answers", lambda _: True)
    monkeypatch.setenv("INTENT_TRAINING_DAYS", "200")
    said = []
    up._supervised(home, None, said.append)
    assert read(Settings, home / "intent.env", home=home).training_days == 200
    assert not said
    monkeypatch.setenv("INTENT_DAILY_CRON", "0 6 * * *")
    up._supervised(home, None, said.append)
    assert said == [
        "Airflow reads INTENT_DAILY_CRON when it starts: `make stop`, and then this again."
    ]


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory"])
def test_a_file_that_names_no_zone_is_refused(home, monkeypatch, name):
    monkeypatch.setenv("INTENT_TIME_ZONE", name)
    with pytest.raises(BadInput, match="must be the IANA name of a place"):
        up.calendar_of(home, None, None)
