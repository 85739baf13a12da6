"""The signed list of a model's files: checked before any parser reads one of them.

The list names every file by its path, size and SHA-256, and the version that the files belong to.
A folder that holds anything else is refused. The bytes whose checksum was compared are those that
are returned, so that nothing is read a second time from a path that could have changed.
"""

import hashlib
import hmac
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from intent_tasks.errors import Refused

NAME = "manifest.json"
FORMAT, ALGORITHM = 2, "hmac-sha256"
"""What is written and accepted. A file names them too, but never chooses them."""
MOST_FILES = 64
"""A version has about ten."""
MOST_BYTES = 16 * 2**30
"""Of all files together: the weights of the largest network have 9.3 GB."""
MOST_MANIFEST_BYTES = 2**16
"""More than `MOST_FILES` entries need."""
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,3}")
SHA256 = re.compile(r"[0-9a-f]{64}")
Facts = dict[str, Any]


class Subject(NamedTuple):
    """What a manifest belongs to: one version of a registered model and the run that trained it."""

    model: str
    version: int
    run_id: str

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"version {self.version} of {self.model}"


class Entry(NamedTuple):
    """A listed file: its size in bytes and its SHA-256 as hex digits."""

    size: int
    sha256: str


class Signed(NamedTuple):
    """A manifest whose signature is right: files by their path, and what else it states."""

    files: dict[str, Entry]
    facts: Facts


class Verified(NamedTuple):
    """The bytes of the listed files by their path, and what else the manifest states."""

    contents: dict[str, bytes]
    facts: Facts


def sign(folder: Path, subject: Subject, facts: Facts, key: bytes) -> str:
    """Write the manifest of all files in a folder and return its digest.

    Args:
        folder: files of one model.
        subject: the version they belong to.
        facts: what else is vouched for, such as the digest of the data.
        key: of the HMAC.

    Raises:
        Refused: the folder holds something that no version may have.
    """
    files = {path: _entry(folder, path) for path in _to_sign(folder)}
    _require_usable(files, subject)
    header = {"format": FORMAT, "algorithm": ALGORITHM, "key_id": key_id(key)}
    listed = {path: entry._asdict() for path, entry in files.items()}
    content = json.dumps(
        header | subject._asdict() | {"files": listed, "facts": facts}, sort_keys=True
    )
    signature = hmac.digest(key, content.encode(), "sha256").hex()
    signed = json.dumps({"content": content, "signature": signature}, indent=1)
    (folder / NAME).write_text(signed)
    return hashlib.sha256(signed.encode()).hexdigest()


def key_id(key: bytes) -> str:
    """Return the name of a key: it tells keys apart and nothing about them."""
    return hmac.digest(key, b"key id", "sha256").hex()[:16]


def opened(signed: bytes, digest: str, subject: Subject, key: bytes) -> Signed:
    """Return what a manifest lists, once its signature and its version are checked.

    Args:
        signed: content of the manifest.
        digest: of the manifest that was pinned or registered.
        subject: the version that is to be served.
        key: of the HMAC.

    Raises:
        Refused: it is broken, foreign, of another version, or written by an earlier release.
    """
    content = _signed_content(signed, subject, key)
    stated = tuple(content.get(name) for name in ("format", "algorithm", "key_id"))
    if stated != (FORMAT, ALGORITHM, key_id(key)):
        raise Refused(
            f"The manifest of {subject} was written by another release: not served. "
            "Train and register a version with this one (`intent_train` in Airflow)."
        )
    if (belongs := {name: content.get(name) for name in Subject._fields}) != subject._asdict():
        raise Refused(
            f"The manifest of {subject} (run {subject.run_id}) was signed for version "
            f"{belongs['version']} of {belongs['model']} (run {belongs['run_id']}): not served. "
            "Give the alias to that version."
        )
    if hashlib.sha256(signed).hexdigest() != digest:
        raise Refused(f"The manifest of {subject} is not the one that was pinned: not served.")
    try:
        files = {path: Entry(**entry) for path, entry in content["files"].items()}
        facts = dict(content["facts"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise broken(subject) from None
    _require_usable(files, subject)
    return Signed(files, facts)


def signed_in(folder: Path, digest: str, subject: Subject, key: bytes) -> Signed:
    """Return what the manifest in a folder lists; see `opened`."""
    try:
        signed = _bytes_of(folder, NAME, MOST_MANIFEST_BYTES)
    except OSError:
        raise broken(subject) from None
    return opened(signed, digest, subject, key)


def verify(folder: Path, digest: str, subject: Subject, key: bytes) -> Verified:
    """Check that a folder holds exactly the signed files of a version, and return their bytes.

    Raises:
        Refused: the manifest is missing, broken or foreign, or a file is not the signed one.
    """
    files, facts = signed_in(folder, digest, subject, key)
    found = set(islice(_found(folder, files), MOST_FILES + 1))
    _refuse_changed(sorted(found ^ files.keys()), subject)
    contents, changed = {}, []
    for path, entry in files.items():
        try:
            contents[path] = _bytes_of(folder, path, entry.size)
        except OSError:
            changed.append(path)
            continue
        if hashlib.sha256(contents[path]).hexdigest() != entry.sha256:
            changed.append(path)
    _refuse_changed(changed, subject)
    return Verified(contents, facts)


def require_listed(found: Mapping[str, int], listed: Mapping[str, Entry], subject: Subject) -> None:
    """Require that files are the listed ones, by path and size, and that there are no others.

    Args:
        found: path → size, without the manifest.
        listed: what was signed.
        subject: the version.

    Raises:
        Refused: one is missing, additional, or of another size.
    """
    expected = {(path, entry.size) for path, entry in listed.items()}
    _refuse_changed(sorted({path for path, _ in expected ^ set(found.items())}), subject)


def _refuse_changed(paths: Collection[str], subject: Subject) -> None:
    if paths:
        named = ", ".join(repr(path)[1:-1][:120] for path in list(paths)[:5])
        raise Refused(
            f"The files of {subject} are not those that were signed ({named}): not served. "
            "Give the alias to another version, or train again."
        )


def broken(subject: Subject) -> Refused:
    """Return the failure of a manifest that is none."""
    return Refused(f"The manifest of {subject} is missing or broken: not served. Train again.")


def _signed_content(signed: bytes, subject: Subject, key: bytes) -> dict[str, Any]:
    """Return the content of a manifest whose signature is right."""
    try:
        parts = json.loads(signed)
        content, signature = str(parts["content"]), str(parts["signature"])
        expected = hmac.digest(key, content.encode(), "sha256").hex()
        given = signature.encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise broken(subject) from None
    if not hmac.compare_digest(given, expected.encode()):
        raise Refused(
            f"The manifest of {subject} was not signed by this installation: not served. "
            "Register a version of your own, or check INTENT_MANIFEST_KEY."
        )
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise broken(subject) from None
    if not isinstance(found, dict):
        raise broken(subject)
    return found


def _require_usable(files: Mapping[str, Entry], subject: Subject) -> None:
    """Refuse a list with paths or sizes that no version has."""
    bad = [path for path, entry in files.items() if not _is_usable(path, entry)]
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    names = [*files, *folders]
    alike = len({name.casefold() for name in names}) < len(names)
    if bad or alike or not 0 < len(files) <= MOST_FILES:
        named = ": " + ", ".join(repr(path)[:120] for path in bad[:5]) if bad else ""
        raise Refused(
            f"The manifest of {subject} lists files that no version has{named}. Not served."
        )
    if (total := sum(entry.size for entry in files.values())) > MOST_BYTES:
        raise Refused(
            f"The files of {subject} have {total} bytes; at most {MOST_BYTES} are read. Not served."
        )


def _is_usable(path: str, entry: Entry) -> bool:
    return (
        PATH.fullmatch(path) is not None
        and NAME not in path.casefold().split("/")
        and type(entry.size) is int
        and entry.size >= 0
        and isinstance(entry.sha256, str)
        and SHA256.fullmatch(entry.sha256) is not None
    )


def _to_sign(folder: Path) -> list[str]:
    everything = sorted(folder.rglob("*"))
    files = (path for path in everything if path.is_symlink() or not path.is_dir())
    return [name for path in files if (name := path.relative_to(folder).as_posix()) != NAME]


def _entry(folder: Path, path: str) -> Entry:
    try:
        with _opened(folder, path) as file:
            size = os.fstat(file.fileno()).st_size
            return Entry(size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise Refused(f"{path!r} cannot be signed: {error.strerror}. Train again.") from None


def _found(folder: Path, listed: Collection[str]) -> Iterator[str]:
    """Yield what a folder holds, by path: files, and folders in which no listed file lies."""
    inside = {str(parent) for path in listed for parent in PurePosixPath(path).parents}
    for below in sorted(inside):
        try:
            entries = os.scandir(folder / below)
        except OSError:
            continue  # its files are missing, which is what is refused
        with entries:
            for entry in entries:
                path = str(PurePosixPath(below, entry.name))
                is_implied = entry.is_dir(follow_symlinks=False) and path in inside
                if not is_implied and path != NAME:
                    yield path


def _opened(folder: Path, path: str) -> Any:  # noqa: ANN401 - a file of bytes
    """Open a regular file that has one name.

    Raises:
        OSError: it is a link, a device, a pipe or has several names.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(folder / path, flags), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        file.close()
        raise OSError(0, "it is no regular file with one name")
    return file


def _bytes_of(folder: Path, path: str, most: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: as `_opened`, or it has more bytes than `most`.
    """
    with _opened(folder, path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(0, "it is larger than what was signed")
        content: bytes = file.read(most)
    return content
