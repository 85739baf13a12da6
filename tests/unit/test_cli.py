import errno

import pytest

from intent_tasks import cli
from intent_tasks.errors import NothingToDo, Refused, TemporaryFailure


def _ended(monkeypatch, capsys, error):
    def app():
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(TemporaryFailure, 75), (Refused, 78), (NothingToDo, 99)]
)
def test_a_foreseen_failure_is_one_line_and_its_exit_code(monkeypatch, capsys, error, code):
    ended = _ended(monkeypatch, capsys, error("What happened. What to do."))
    assert ended == (code, f"{error.__name__}: What happened. What to do.\n")


def test_a_refusal_that_has_a_page_names_it_in_the_last_line_of_its_output(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(Refused("No.", "docs/day.html")))
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out == '{"data_docs": "docs/day.html"}\n'


def test_a_full_disk_is_reported_and_can_be_tried_again(monkeypatch, capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "/data/day.parquet")
    code, message = _ended(monkeypatch, capsys, full)
    assert code == 75
    assert message.startswith("TemporaryFailure: The disk is full at /data/day.parquet.")


def test_a_file_that_is_missing_is_named_and_not_tried_again(monkeypatch, capsys):
    missing = FileNotFoundError(errno.ENOENT, "No such file", "weights.npz")
    code, message = _ended(monkeypatch, capsys, missing)
    assert code == 78
    assert message.startswith("Refused: The file 'weights.npz' cannot be used")
