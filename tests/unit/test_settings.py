"""Settings that cannot be used are named, and no value of a secret is shown."""

import os

import pytest

from intent_tasks.errors import BadInput
from intent_tasks.local.configuration import read_settings_file
from intent_tasks.settings import SETTINGS_FILE, AirflowSettings, Settings, read


def test_a_mistyped_setting_is_named_with_the_one_that_was_meant(tmp_path):
    file = tmp_path / SETTINGS_FILE
    file.write_text("INTENT_BUKCET_COUNT=3\nINTENT_XYZZY=1\n")
    with pytest.raises(BadInput) as refused:
        read(Settings, file, home=tmp_path)
    assert "INTENT_BUKCET_COUNT is no setting; meant INTENT_BUCKET_COUNT?" in str(refused.value)
    assert "INTENT_XYZZY is no setting" in str(refused.value)
    assert "INTENT_INTENT" not in str(refused.value)


@pytest.mark.parametrize("make", [
    os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere"),
], ids=["fifo", "folder", "link"])  # fmt: skip
@pytest.mark.parametrize("kind", [AirflowSettings, Settings])
def test_settings_that_are_no_file_are_refused(tmp_path, make, kind):
    file = tmp_path / SETTINGS_FILE
    make(file)
    with pytest.raises(BadInput, match=rf"{SETTINGS_FILE} is no regular file"):
        read(kind, file, **({"home": tmp_path} if kind is Settings else {}))


def test_up_refuses_settings_that_are_no_file(tmp_path):
    os.mkfifo(tmp_path / SETTINGS_FILE)
    with pytest.raises(BadInput, match="is no regular file"):
        read_settings_file(tmp_path)


def test_a_link_to_a_file_of_settings_is_followed(tmp_path):
    (tmp_path / "there").write_text("INTENT_TIME_ZONE=Europe/Stockholm\n")
    (tmp_path / SETTINGS_FILE).symlink_to("there")
    assert read(AirflowSettings, tmp_path / SETTINGS_FILE).time_zone == "Europe/Stockholm"


@pytest.mark.parametrize("password", ["p@ss/w", "p@s s", "pa/s@s", "p@s?s"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(
    tmp_path, monkeypatch, password
):
    monkeypatch.setenv("INTENT_SHOP_URL", f"postgresql://role:{password}@host:5432/db")
    with pytest.raises(BadInput) as refused:
        read(Settings, tmp_path / SETTINGS_FILE, home=tmp_path)
    named = [text for text in str(refused.value).split("; ") if "INTENT_SHOP_URL" in text]
    assert "write @ as %40, / as %2F, ? as %3F and a space as %20" in named[0]
    assert password not in str(refused.value)
