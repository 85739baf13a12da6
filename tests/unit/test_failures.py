"""Each exception of a library ends in the exit code that says what a scheduler should do."""

import errno
import json
import stat
import tomllib
from contextlib import suppress
from pathlib import Path

import adbc_driver_manager
import pyarrow as pa
import pytest
import requests
import sqlalchemy as sa
import typer
from pydantic import TypeAdapter, ValidationError

from intent_tasks import bug_report, cli, failures
from intent_tasks.errors import BadInput, NothingToDo, TemporaryFailure

CANARY = "canary@example.org"


def raised(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "weights.npz"), 78),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "weights.npz"), 78),
        (PermissionError(errno.EACCES, "Permission denied", "weights.npz"), 78),
        (OSError(errno.ENAMETOOLONG, "File name too long", "weights.npz"), 78),
        (OSError(errno.ENOSPC, "No space left on device", "weights.npz"), 75),
        (OSError(errno.EIO, "Input/output error", "weights.npz"), 75),
    ],
)
def test_a_file_is_named(error, code):
    failed = failures.of(error)
    assert failed.exit_code == code
    assert "weights.npz" in str(failed)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), TemporaryFailure),
        (TimeoutError(), TemporaryFailure),
        (requests.ConnectionError("x"), TemporaryFailure),
        (MemoryError(), TemporaryFailure),
        (pa.lib.ArrowMemoryError("x"), TemporaryFailure),
        (raised(json.loads, "{"), BadInput),
        (raised(tomllib.loads, "="), BadInput),
        (raised(b"\xff".decode), BadInput),
        (raised("\ud83d".encode), BadInput),
        (UnicodeError("label too long"), BadInput),
        (OverflowError("date value out of range"), BadInput),
        (sa.exc.ArgumentError("Could not parse"), BadInput),
        (NothingToDo("none"), NothingToDo),
    ],
)
def test_every_library_has_its_way_to_end(error, kind):
    assert type(failures.of(error)) is kind


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x"), AssertionError()])
def test_an_unforeseen_error_is_a_bug(error):
    assert failures.of(error) is None


def test_values_are_not_quoted():
    wrong = raised(TypeAdapter(int).validate_python, CANARY)
    assert isinstance(wrong, ValidationError)
    for error in (wrong, pa.ArrowInvalid(f"Could not convert '{CANARY}' with type str")):
        assert CANARY not in str(failures.of(error))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("22P02", 78), ("42P01", 78), ("42501", 78), ("54001", 78), ("0A000", 78), ("2B000", 78),
        ("21000", 78), ("28P01", 78), ("3D000", 78), ("23514", 78), ("08006", 75), ("53100", 75),
        ("57014", 75), ("58030", 75), ("40P01", 75), ("55P03", 75),
    ],
)  # fmt: skip
def test_the_class_of_the_state_decides_and_the_primary_message_is_quoted(state, code):
    said = "INVALID: [libpq] Failed to execute query: ERROR:  it is so\nDETAIL:  Failing row (x)."
    error = adbc_driver_manager.OperationalError(
        said, status_code=adbc_driver_manager.AdbcStatusCode.IO, sqlstate=state
    )
    failed = failures.of(error)
    assert failed.exit_code == code
    assert ": it is so" in str(failed)
    assert "Failing row" not in str(failed)


def refused_by_postgres(state, message):
    text = f"INVALID: [libpq] Failed to execute query: ERROR:  {message}\nDETAIL:  Failing row (x)."
    status = adbc_driver_manager.AdbcStatusCode.IO
    return str(
        failures.of(adbc_driver_manager.OperationalError(text, status_code=status, sqlstate=state))
    )


CELL = "Anna Svensson +46701234567 Storgatan 5"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f'invalid input syntax for type numeric: "{CELL}"', "for type numeric: … (SQLSTATE"),
        (f'invalid input syntax for type date: "a "b" {CELL}"', "for type date: … (SQLSTATE"),
        (f'invalid input syntax for type date: "a\n{CELL}"', "for type date: … (SQLSTATE"),
        (f'invalid input syntax for type date: "a\nDETAIL: {CELL}', "for type date: … (SQLSTATE"),
        (
            f'value "1 {CELL}" is out of range for type integer',
            "read: value … is out of range for type integer (SQLSTATE",
        ),
        (f"invalid value '{CELL}' of an extension", "read: invalid value … (SQLSTATE"),
        ("division by zero", "read: division by zero (SQLSTATE"),
    ],
)
def test_a_value_that_does_not_fit_is_not_quoted(message, shown):
    said = refused_by_postgres("22P02", message)
    assert shown in said
    assert not any(word in said for word in CELL.split()[:3])
    assert "one column at a time" in said


def test_what_a_function_of_the_shop_raises_is_not_quoted():
    said = refused_by_postgres("P0001", f"bad price of {CELL}")
    assert "a function or trigger raises an error of its own (SQLSTATE P0001)" in said
    assert "Anna" not in said


def test_the_names_in_a_query_that_cannot_be_run_are_quoted():
    assert 'column "price" does not exist' in refused_by_postgres(
        "42703", 'column "price" does not exist'
    )


def run(monkeypatch, capsys, error):
    def app():
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_a_bug_is_one_line_and_its_trace_quotes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("INTENT_HOME", str(tmp_path / "home"))
    code, said = run(monkeypatch, capsys, KeyError(CANARY))
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("Bug: This is a bug: builtins.KeyError, which nobody foresaw.")
    path = tmp_path / "home" / bug_report.FILE
    assert str(path) in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    trace = path.read_text()
    assert "in app" in trace
    assert CANARY not in trace + said


def test_all_of_a_bug_is_shown_on_request(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("INTENT_HOME", str(tmp_path))
    monkeypatch.setenv("INTENT_DEBUG", "1")
    code, said = run(monkeypatch, capsys, KeyError("what"))
    assert code == 1
    assert "Traceback" in said
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_output_is_named_as_that(monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(cli, "app", lambda: typer.echo("rows", file=full))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 75
        assert "The disk is full at the standard output." in capsys.readouterr().err
        with suppress(OSError):
            full.close()


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(2), 78)])
def test_an_interrupt_and_wrong_arguments_have_codes_of_their_own(monkeypatch, capsys, error, code):
    assert run(monkeypatch, capsys, error)[0] == code
