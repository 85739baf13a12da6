"""No log-in and no signature of an address is shown or stored."""

import pytest

from intent_tasks.redaction import redact_address, redact_text, secrets_of

SECRET = "hunter2pw"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://bob:hunter2pw@host:80/dir/", "http://host:80/dir/"),
        ("https://hunter2pw@host/dir", "https://host/dir"),
        ("ftp://bob:hunter2pw@host/dir/a@b.csv", "ftp://host/dir/a@b.csv"),
        ("s3://KEY:hunter2pw@bucket/a@b?c#d.csv", "s3://bucket/a@b?c#d.csv"),
        ("s3://KEY:hunt/hunter2pw@bucket/a.csv", "s3://bucket/a.csv"),
        ("http://bob:hunter2pw @x@host/dir", "http://host/dir"),
        ("https://store/a.csv?sv=1&sig=hunter2pw#part", "https://store/a.csv"),
        ("simplecache::http://bob:hunter2pw@host/a.csv", "simplecache::http://host/a.csv"),
        ("abfs://box:hunter2pw@account/a.csv", "abfs://account/a.csv"),
    ],
)
def test_a_log_in_and_a_signature_are_left_out(address, shown):
    assert redact_address(address) == shown
    text = redact_text(f"cannot open '{address}': refused", secrets_of(address))
    assert SECRET not in text
    assert text.startswith("cannot open '")
    assert text.endswith("': refused")


@pytest.mark.parametrize(
    "address",
    [
        "http://host:8080/a@b.csv",
        "http://[::1]:8080/a@b.csv",
        "http://host:8080",
        "abfs://box@account.dfs.core.windows.net/a.csv",
        "zip://a.csv::http://host/a@b.zip",
        "/data/a@b: c?d#e.csv",
        "data\\a.csv",
        "file:///data/a@b?c.csv",
        "s3://bucket/a?b#c.csv",
        "",
    ],
)
def test_any_other_address_stays_as_it_is(address):
    assert redact_address(address) == address


def test_a_secret_is_left_out_of_a_text_without_an_address():
    named = secrets_of("s3://KEY:hunt%2Fer2pw@bucket/a.csv")
    text = redact_text('Invalid bucket name "KEY:hunt%2Fer2pw@bucket": hunt/er2pw', named)
    assert text == 'Invalid bucket name "…@bucket": …'
    assert redact_text("a b", ["a", "b"]) == "a b", "what is too short to be told from the text"
