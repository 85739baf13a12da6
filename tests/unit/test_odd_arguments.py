"""Whatever a person types, no command ends in a traceback or as a bug."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from intent_tasks import cli
from intent_tasks.errors import BadInput
from intent_tasks.settings import SETTINGS_FILE, Settings, read

FORESEEN = {0, 75, 78, 99}

ODD = [
    "", " ", "-", "-1", "0", "1e3", "NaN", "99999999999999999999999", "x" * 5000, "x\0y", "\ud83d",
    "\U0001f642", "2026-02-30", "9999-12-31", "0001-01-01", "\u0662\u0660\u0662\u0666-01-01",
    "2026-06-30\n", "..", "/", "/dev/null", "/no/such/file", "file:///no/such", "x/" * 3000,
    "{}", "[1]", '{"a": 1e999}',
    "%s", "{0}", "'; DROP TABLE x", "shop.events x", "shop.events 9999-99-99", "=1+1", "a=b=c",
]  # fmt: skip

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:9/nowhere"
URLS = ("SHOP", "PIPELINE", "ANALYST", "MIGRATOR", "SHOP_OWNER")


def commands(group, path=()):
    """Yield every command with the words it is called by."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(get_command(cli.app)))

NOT_HERE = ("help", "until_stdin_closes")
"""Parameters that end the process they run in, which is that of the tests."""

SLOW = ("tune", "pretrain")
"""Commands that import a network before they look at anything but their arguments."""

NEEDED = ("--customers",)
"""Without it a whole shop is simulated, which takes its time."""

USUAL = {
    "as_of_date": ["2026-06-30"],
    "first_day": ["2026-06-01"],
    "last_day": ["2026-06-30"],
    "day": ["2026-06-30"],
    "name": ["extract", "validate", "window", "pin", "publish", "mature", "measure", "retain"],
    "query": ["select 1"],
    "purpose": ["marketing"],
    "to": ["list.csv"],
}
"""Parameter → values that let a command go on to what comes next."""


def arguments(path):
    """Return lists of arguments for a command: each parameter there or not, with an odd value."""
    usual = {} if path[-1] in SLOW else USUAL
    parts = [part(p, usual) for p in COMMANDS[path].params if p.name not in NOT_HERE]
    return st.tuples(*parts).map(lambda found: [text for one in found for text in one])


def part(parameter, usual_of):
    # A place is searched with all its folders: none of this machine's.
    odd = st.sampled_from([t for t in ODD if parameter.name != "url" or t not in ("..", "/")])
    if usual := usual_of.get(parameter.name):
        odd = st.one_of(odd, st.sampled_from(usual))
    if parameter.param_type_name == "argument":
        return odd.map(lambda text: [text])
    name = parameter.opts[0]
    if getattr(parameter, "is_flag", False):
        return st.sampled_from([[], [name]])
    given_odd = odd.map(lambda text: [name, text])
    return given_odd if parameter.required or name in NEEDED else st.one_of(st.just([]), given_odd)


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    """An installation whose servers are all down, in a folder of its own."""
    folder = tmp_path_factory.mktemp("nowhere")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("INTENT_HOME", str(folder / "home"))
        for name in URLS:
            patched.setenv(f"INTENT_{name}_URL", NOWHERE)
        patched.setenv("INTENT_MLFLOW_URL", "http://127.0.0.1:9")
        patched.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for name in ("IDENTITY_KEY", "MANIFEST_KEY"):
            patched.setenv(f"INTENT_{name}", "a key of the tests")
        yield folder


def ended(words, capsys):
    """Run the command line; return its exit code and its message."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["intent", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out + err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_argument_ends_in_a_traceback(nowhere, capsys, path):
    @settings(
        max_examples=8, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(arguments(path))
    def check(words):
        code, message = ended([*path, *words], capsys)
        assert code in FORESEEN, (words, message)
        assert "Traceback" not in message

    check()
    assert not (nowhere / "home" / "bugs.log").exists()


CHECKED = sorted(Settings.model_fields.keys() - {"home"})


@pytest.mark.parametrize("name", CHECKED)
def test_a_setting_is_taken_or_named(nowhere, monkeypatch, tmp_path, name):
    for text in (text for text in ODD if "\0" not in text and text.isprintable()):
        monkeypatch.setenv(f"INTENT_{name.upper()}", text)
        message = refusal_of(tmp_path)
        assert message is None or f"INTENT_{name.upper()}" in message or f'"{name}"' in message


def refusal_of(home):
    """Return why the settings are refused; None: they are not."""
    try:
        read(Settings, home / SETTINGS_FILE, home=home)
    except BadInput as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SHOP_URL", "nonsense", "postgresql://ROLE"),
        ("SHOP_URL", "postgresql://a:b@host:port/shop", "postgresql://ROLE"),
        ("PIPELINE_URL", "mysql://a:b@host/shop", "postgresql://ROLE"),
        ("MLFLOW_URL", "mlflow", "http://HOST:5000"),
        ("DAILY_CRON", "30 25 * * *", "five fields of cron"),
        ("WATCH_CRON", "0 8 * *", "five fields of cron"),
        ("TIME_ZONE", "../../etc/passwd", "IANA name"),
        ("LAST_DAY", "9999-12-31", "2999-12-31"),
        ("HISTORY_DAYS", "999999999", "at most 3650"),
        ("RECOUNT_DAYS", "-1", "0 to 3650"),
        ("SEED", "-1", "0 to 4294967295"),
        ("RETRY_DELAY_SECONDS", "-1", "0 to 86400"),
        ("MAX_ACTIVE_RUNS", "0", "at least 1"),
        ("QUARANTINE_SHARE", "nan", "0 to 1"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named_with_what_is_allowed(
    nowhere, capsys, monkeypatch, name, value, allowed
):
    monkeypatch.setenv(f"INTENT_{name}", value)
    code, message = ended(["check-source"], capsys)
    assert code == 78
    assert f"INTENT_{name}" in message
    assert allowed in message


def test_a_settings_file_in_another_encoding_is_named(nowhere, capsys):
    path = Path(os.environ["INTENT_HOME"]) / SETTINGS_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"INTENT_MODEL_NAME=caf\xe9\n")
    code, message = ended(["check-source"], capsys)
    path.unlink()
    assert (code, str(path) in message) == (78, True)
