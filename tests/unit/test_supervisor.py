import shlex
from datetime import date

import pytest
from supervisor.options import ServerOptions

from intent_tasks.errors import IntentError
from intent_tasks.local import postgres, supervisor
from intent_tasks.local.installation import Calendar, Installation, write_private


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "account", lambda: None)
    return Installation.prepare(tmp_path / "höme 100% mine", Calendar(last_day=date(2026, 6, 30)))


def test_supervisord_reads_commands_and_variables_as_they_were_meant(made, monkeypatch):
    made.logs.mkdir()
    monkeypatch.chdir(made.home)
    file = made.home / "supervisord.conf"
    write_private(file, supervisor.supervisord_conf(made))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    read = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert list(read) == list(supervisor.PROGRAMS)
    meant = supervisor.programs(made)
    for name, program in meant.items():
        assert shlex.split(read[name].command) == program.command
        assert read[name].environment == dict(program.environment)
    assert str(made.home) in read["postgres"].command


def test_a_server_that_gave_up_is_named_with_its_last_words(made, monkeypatch):
    made.logs.mkdir()
    (made.logs / "mlflow.log").write_text("first\nno space left on device\n")
    runner = supervisor.Supervisor(made)
    monkeypatch.setattr(runner, "states", lambda: {"mlflow": "FATAL"})
    with pytest.raises(IntentError, match=r"mlflow does not start.*no space left.*mlflow\.log"):
        runner.check("mlflow")


def test_a_supervisord_that_is_not_there_does_not_answer(made):
    assert not supervisor.Supervisor(made).answers()
