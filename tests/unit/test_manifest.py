"""A model is served only from the files that were signed here."""

import hashlib
import hmac
import json
import os

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


def resigned(signed, change):
    """Sign a changed content with the true key: what a fault or a leak of the key could write."""
    path = signed[0] / manifest.NAME
    content = json.loads(json.loads(path.read_text())["content"])
    change(content)
    text = json.dumps(content)
    signature = hmac.digest(KEY, text.encode(), "sha256").hex()
    path.write_text(json.dumps({"content": text, "signature": signature}))
    return signed[0], hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("other", [
    VERSION._replace(version=4), VERSION._replace(run_id="b" * 32), VERSION._replace(model="other")
])  # fmt: skip
def test_a_manifest_of_another_version_run_or_model_is_refused(signed, other):
    with pytest.raises(Refused, match="was signed for version 3 of purchase_intent"):
        manifest.verify(*signed, other, KEY)


@pytest.mark.parametrize("change", [
    {"format": 1}, {"format": 3}, {"algorithm": "none"}, {"algorithm": "hmac-md5"}, {"key_id": "x"}
])  # fmt: skip
def test_the_file_does_not_choose_how_it_is_verified(signed, change):
    with pytest.raises(Refused, match="Train and register"):
        manifest.verify(*resigned(signed, lambda content: content.update(change)), VERSION, KEY)


def test_a_manifest_of_the_format_before_is_refused_with_what_to_do(signed):
    def before(content):
        files = {path: entry["sha256"] for path, entry in content["files"].items()}
        facts = content["facts"]
        content.clear()
        content.update(files=files, facts=facts)

    with pytest.raises(Refused, match="Train and register a version with this one"):
        manifest.verify(*resigned(signed, before), VERSION, KEY)


def subfolder(folder):
    (folder / "more").mkdir()
    (folder / "more" / "weights.npz").write_bytes(b"weights")


def original_in_a_subfolder(folder):
    subfolder(folder)
    (folder / "weights.npz").write_bytes(b"forged!")


def manifest_in_a_subfolder(folder):
    (folder / "more").mkdir()
    (folder / "more" / "manifest.json").write_text("never hashed")


def swapped_names(folder):
    (folder / "weights.npz").rename(folder / "x")
    (folder / "config.json").rename(folder / "weights.npz")
    (folder / "x").rename(folder / "config.json")


def symlink(folder):
    (folder / "weights.npz").rename(folder.parent / f"{folder.name} weights")
    (folder / "weights.npz").symlink_to(folder.parent / f"{folder.name} weights")


def hard_link(folder):
    os.link(folder / "weights.npz", folder.parent / f"{folder.name} link")


def pipe(folder):
    (folder / "weights.npz").unlink()
    os.mkfifo(folder / "weights.npz")


def folder_instead(folder):
    (folder / "weights.npz").unlink()
    (folder / "weights.npz").mkdir()


def linked_folder(folder):
    (folder / "more").symlink_to(folder.parent)


def many_files(folder):
    for n in range(300):
        (folder / f"{n}").write_bytes(b"")


def add(name):
    def added(folder):
        (folder / name).write_bytes(b"weights")

    added.__name__ = f"add {name!r}"
    return added


@pytest.mark.parametrize("change", [
    subfolder, original_in_a_subfolder, manifest_in_a_subfolder, swapped_names, symlink, hard_link,
    pipe, folder_instead, linked_folder, many_files, lambda folder: (folder / "empty").mkdir(),
    add("WEIGHTS.NPZ"), add("a\\b"), add("\N{RIGHT-TO-LEFT OVERRIDE}"), add("a\nb"), add(".hidden"),
    add(os.fsdecode(b"\xff")), add("Manifest.json"),
])  # fmt: skip
def test_a_folder_that_holds_anything_else_is_refused(signed, change):
    change(signed[0])
    with pytest.raises(Refused, match="are not those that were signed"):
        manifest.verify(*signed, VERSION, KEY)


def test_the_manifest_itself_is_a_regular_file(signed, tmp_path_factory):
    path = signed[0] / manifest.NAME
    path.rename(tmp_path_factory.mktemp("other") / "kept")
    path.symlink_to(tmp_path_factory.getbasetemp())
    with pytest.raises(Refused, match="missing or broken"):
        manifest.verify(*signed, VERSION, KEY)


ENTRY = {"size": 7, "sha256": "0" * 64}


@pytest.mark.parametrize("files", [
    {"../weights.npz": ENTRY}, {"/etc/passwd": ENTRY}, {"a/../b": ENTRY}, {"a//b": ENTRY},
    {"a\\b": ENTRY}, {"": ENTRY}, {".": ENTRY}, {"a/manifest.json": ENTRY}, {"w\x00": ENTRY},
    {"MANIFEST.JSON": ENTRY}, {"a/b/c/d/e": ENTRY},
    {"w": ENTRY, "W": ENTRY}, {"a/x": ENTRY, "A/y": ENTRY}, {"a": ENTRY, "a/b": ENTRY},
    {"a\n": ENTRY}, {"\N{LATIN SMALL LETTER E WITH ACUTE}": ENTRY},
    {"w": ENTRY | {"size": -1}}, {"w": ENTRY | {"size": 2**40}}, {"w": ENTRY | {"size": True}},
    {"w": ENTRY | {"size": 1e3}}, {"w": ENTRY | {"sha256": "x"}}, {"w": ENTRY | {"more": 1}},
    {"w": "0" * 64}, {}, [], None, {f"w{n}": ENTRY for n in range(65)},
])  # fmt: skip
def test_a_list_that_no_version_has_is_refused_though_it_is_signed(signed, files):
    with pytest.raises(Refused):
        manifest.verify(*resigned(signed, lambda c: c.update(files=files)), VERSION, KEY)


@pytest.mark.parametrize("content", [
    b"\xff\xfe", b"[" * 60_000, b'{"content": "{}", "signature": "\xc3\xa9\\ud800"}',
    b'{"content": "\\ud800", "signature": ""}', b" " * 70_000, b'{"content": {}, "signature": null}'
])  # fmt: skip
def test_a_manifest_of_odd_bytes_is_refused(signed, content):
    (signed[0] / manifest.NAME).write_bytes(content)
    with pytest.raises(Refused):
        manifest.verify(*signed, VERSION, KEY)


def test_the_bytes_that_are_returned_are_those_that_were_hashed(signed):
    verified = manifest.verify(*signed, VERSION, KEY)
    (signed[0] / "weights.npz").write_bytes(b"changed afterwards")
    assert verified.contents["weights.npz"] == b"weights"


def test_what_no_version_may_have_is_not_signed(signed):
    symlink(signed[0])
    with pytest.raises(Refused, match=r"weights\.npz.* cannot be signed"):
        manifest.sign(signed[0], VERSION, {}, KEY)
