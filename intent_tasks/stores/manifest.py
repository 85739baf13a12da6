"""The signed list of a model's files: checked before any parser reads one of them."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from intent_tasks.errors import Refused

NAME = "manifest.json"
Facts = dict[str, Any]


def sign(folder: Path, facts: Facts, key: bytes) -> str:
    """Write the manifest of all files in a folder and return its digest.

    Args:
        folder: files of one model.
        facts: what else is vouched for, such as the digest of the data.
        key: of the HMAC.
    """
    files = {path.name: _digest(path) for path in _files(folder)}
    content = json.dumps({"files": files, "facts": facts}, sort_keys=True)
    signature = hmac.digest(key, content.encode(), "sha256").hex()
    signed = json.dumps({"content": content, "signature": signature}, indent=1)
    (folder / NAME).write_text(signed)
    return hashlib.sha256(signed.encode()).hexdigest()


def verify(folder: Path, digest: str, key: bytes) -> Facts:
    """Check that the files are exactly those that were signed here, and return the facts.

    Raises:
        Refused: the manifest is missing, broken or foreign, or a file is not the signed one.
    """
    try:
        signed = (folder / NAME).read_bytes()
        parts = json.loads(signed)
        content, signature = str(parts["content"]), str(parts["signature"])
        manifest = json.loads(content)
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(f"The manifest of {folder.name} is missing or broken: not served.") from None
    expected = hmac.digest(key, content.encode(), "sha256").hex()
    if not hmac.compare_digest(signature, expected):
        raise Refused(
            f"The manifest of {folder.name} was not signed by this installation: not served. "
            "Register the version again, or check INTENT_MANIFEST_KEY."
        )
    found = {path.name: _digest(path) for path in _files(folder)}
    if changed := dict(found.items() ^ manifest["files"].items()):
        raise Refused(
            f"The files of {folder.name} are not those that were signed "
            f"({', '.join(sorted(changed))}): not served."
        )
    if hashlib.sha256(signed).hexdigest() != digest:
        raise Refused(f"The manifest of {folder.name} is not the one that was pinned: not served.")
    facts: Facts = manifest["facts"]
    return facts


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != NAME)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
