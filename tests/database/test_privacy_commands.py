"""Output and refusals of `intent erase`, on one shop."""

import pytest
from typer.testing import CliRunner

from intent_tasks.commands import privacy
from intent_tasks.errors import BadInput
from intent_tasks.stores import identity_keys, postgres
from intent_tasks.tables import erasures
from tests.database.conftest import CUSTOMERS, DAY

pytestmark = pytest.mark.database


@pytest.fixture
def intent(scored_shop, monkeypatch):
    """Run a command on the scored shop; return its text, or raise what it refuses."""
    monkeypatch.setattr(privacy, "load_settings", lambda: scored_shop)

    def run(*arguments):
        result = CliRunner().invoke(privacy.app, [str(a) for a in arguments])
        if result.exception:
            raise result.exception
        return result.output

    return run


def buried(settings):
    with postgres.reading(settings.pipeline_url) as connection:
        return set(connection.scalars(erasures.select().with_only_columns(erasures.c.customer_key)))


def test_ids_that_cannot_be_are_refused_before_anything_is_done(intent, scored_shop, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    for arguments, answer in (
        ([], "Name one customer, or a file"),
        ([CUSTOMERS[0], "--file", tmp_path / "empty.txt"], "Name one customer, or a file"),
        ([""], "The customer id is empty"),
        (["a\0b"], "holds a NUL"),
        (["--file", tmp_path / "empty.txt"], "holds no id"),
        (["--file", tmp_path / "latin.txt"], "is not UTF-8 text"),
        (["--file", tmp_path / "none.txt"], "cannot be read: No such file"),
        (["nobody"], "1 of 1 customers are not known here, first 'nobody'"),
    ):
        with pytest.raises(BadInput, match=answer):
            intent("erase", *arguments)
    assert buried(scored_shop) == set()


def test_a_file_with_repetitions_and_a_customer_nobody_knows(intent, scored_shop, tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text(f"\ufeff{CUSTOMERS[0]}\n\n{CUSTOMERS[0]}\nnobody\n", encoding="utf-8")
    with pytest.raises(BadInput, match="1 of 2 customers are not known"):
        intent("erase", "--file", file)
    answer = intent("erase", "--file", file, "--even-if-unknown")
    assert "2 lines are empty or name a customer again" in answer
    assert f"{CUSTOMERS[0]}: removed 1 of intent.customer_keys, 1 of scores" in answer
    assert "nobody: removed nothing; nobody here by that id, a tombstone is left" in answer
    assert buried(scored_shop) == set(
        identity_keys.keys(scored_shop, [CUSTOMERS[0], "nobody"]).to_pylist()
    )
    second = intent("erase", CUSTOMERS[0])
    assert "removed nothing; erased before, on" in second
    assert "Model versions trained with them: none." in second


def test_the_old_name_of_purge_does_the_same_and_prints_a_notice(scored_shop, monkeypatch):
    monkeypatch.setattr(privacy, "load_settings", lambda: scored_shop)
    arguments = ["--as-of-date", str(DAY), "--dry-run"]
    new, old = (CliRunner().invoke(privacy.app, [n, *arguments]) for n in ("purge", "retain"))
    assert old.stdout == new.stdout
    assert "would be deleted" in new.stdout
    assert (new.stderr, "`intent purge`" in old.stderr) == ("", True)
