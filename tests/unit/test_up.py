import shutil
from types import SimpleNamespace

import pytest

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.local import up


def test_a_second_one_is_told_that_the_first_still_runs(tmp_path):
    told = pytest.raises(TemporaryFailure, match="`intent demo` already runs")
    with up.only_one(tmp_path, "demo"), told, up.only_one(tmp_path, "demo"):
        pass
    with up.only_one(tmp_path, "demo"):
        pass


def test_too_little_disk_space_is_said_before_anything_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200_000_000))
    with pytest.raises(Refused, match=r"0\.2 GB are free at .*INTENT_HOME"):
        up.up(tmp_path / "home", None, print)
    assert not (tmp_path / "home" / "local.json").exists()


def test_nothing_to_stop_where_nothing_was_started(tmp_path):
    assert up.down(tmp_path, print) is False
