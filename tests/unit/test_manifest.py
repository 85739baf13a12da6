"""A model is served only from the files that were signed here."""

import json

import pytest

from intent_tasks.errors import Refused
from intent_tasks.stores import manifest

KEY = b"key"
VERSION = manifest.Subject("purchase_intent", 3, "a" * 32)


@pytest.fixture
def signed(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path, manifest.sign(tmp_path, VERSION, {"gate": "passed"}, KEY)


def test_what_was_signed_is_accepted_and_its_facts_are_returned(signed):
    assert manifest.verify(*signed, VERSION, KEY).facts == {"gate": "passed"}


@pytest.mark.parametrize("name", ["weights.npz", "config.json"])
def test_one_flipped_bit_is_refused_by_name(signed, name):
    path = signed[0] / name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(Refused, match=name):
        manifest.verify(*signed, VERSION, KEY)


def test_a_missing_or_an_additional_file_is_refused_by_name(signed):
    (signed[0] / "more.py").write_text("print()")
    with pytest.raises(Refused, match=r"more\.py"):
        manifest.verify(*signed, VERSION, KEY)
    (signed[0] / "more.py").unlink()
    (signed[0] / "weights.npz").unlink()
    with pytest.raises(Refused, match=r"weights\.npz"):
        manifest.verify(*signed, VERSION, KEY)


def test_another_key_signed_it(signed):
    with pytest.raises(Refused, match="not signed by this installation"):
        manifest.verify(*signed, VERSION, b"another key")


def test_facts_that_were_changed_are_refused(signed):
    path = signed[0] / manifest.NAME
    path.write_text(path.read_text().replace("passed", "failed"))
    with pytest.raises(Refused, match="not signed"):
        manifest.verify(*signed, VERSION, KEY)


def test_another_signed_model_than_the_pinned_is_refused(signed):
    folder, digest = signed
    manifest.sign(folder, VERSION, {"gate": "passed", "run": 2}, KEY)
    with pytest.raises(Refused, match="not the one that was pinned"):
        manifest.verify(folder, digest, VERSION, KEY)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"content": 1, "signature": 2})])
def test_a_manifest_that_is_no_manifest_is_refused(signed, content):
    (signed[0] / manifest.NAME).write_text(content)
    with pytest.raises(Refused):
        manifest.verify(*signed, VERSION, KEY)


def test_no_manifest_is_refused(signed):
    (signed[0] / manifest.NAME).unlink()
    with pytest.raises(Refused, match="missing or broken"):
        manifest.verify(*signed, VERSION, KEY)
