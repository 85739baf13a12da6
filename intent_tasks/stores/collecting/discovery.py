"""Find the files of a folder or an object-store prefix, through fsspec."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
import pyarrow as pa

from intent_tasks.errors import BadInput, IntentError
from intent_tasks.formats import readers
from intent_tasks.redaction import redact_address, redact_text, secrets_of
from intent_tasks.stores.collecting import source_errors

CHUNK_BYTES = 1 << 20

_SECRET_NAMES = re.compile("key|secret|token|passw|sas|credential|connection_string")
"""Options of fsspec whose values are never shown."""


@dataclass(frozen=True)
class File:
    """One file of events.

    Args:
        url: its whole address, as it is stored and shown: without credentials.
        path: its name for the file system.
        size_bytes: as it is stored.
        version: ETag or time of change; empty when the store has none.
        system: the fsspec file system that opens it.
    """

    url: str
    path: str
    size_bytes: int
    version: str
    system: fsspec.AbstractFileSystem

    @property
    def name(self) -> str:
        """Its path without credentials, as messages name it."""
        return redact_address(self.path)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it for reading.

        Raises:
            BadInput: it is gone.
            Refused: it may not be read.
            TemporaryFailure: the store fails, now or while it is read.
        """
        with self.naming_failures():
            opened = self.system.open(self.path, "rb")
        with opened as file:
            yield cast("BinaryIO", _StoredFile(file, self))

    @contextmanager
    def naming_failures(self) -> Iterator[None]:
        """Turn what the file system raises into a failure that names the file."""
        try:
            yield
        except FileNotFoundError as error:
            if source_errors.is_temporary(error):
                raise source_errors.failure_of(self.path, error) from None
            raise BadInput(
                f"{self.url} vanished while it was collected. Put it back, or leave it out; what "
                "was loaded of it stays."
            ) from None
        except Exception as error:  # each store has errors of its own
            raise source_errors.failure_of(self.path, error) from None

    def digest(self) -> str:
        """Return the SHA-256 of the decompressed content, which also proves that it is whole.

        Raises:
            BadInput: it has been removed, or does not decompress.
            Refused: it may not be read.
            TemporaryFailure: the store fails.
        """
        _, compression = readers.kind_of(self.name)
        checksum = hashlib.sha256()
        with readers.naming_file(self.url), self.opened() as file:
            try:
                stream = readers.decompress(file, compression)
                while chunk := stream.read(CHUNK_BYTES):
                    checksum.update(chunk)
            except (pa.ArrowException, EOFError, OSError) as error:
                raise readers.broken_file_error(self.url, error) from None
        return checksum.hexdigest()


class _StoredFile:
    """An open file whose read errors are failures of its store, not of its content."""

    def __init__(self, opened: Any, file: File) -> None:  # noqa: ANN401 - of any file system
        self._opened, self._file = opened, file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most so many; all where the number is negative."""
        with self._file.naming_failures():
            return cast("bytes", self._opened.read(size))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._opened, name)


class Found(NamedTuple):
    """Files at a place.

    Args:
        files: files of data, by name.
        others: names of files that are not read.
        hidden: number of files whose name or folder begins with `_` or `.`, such as `_SUCCESS`.
    """

    files: list[File]
    others: list[str]
    hidden: int


ENDINGS_HINT = (
    f"Names of files of events end in {', '.join(readers.KINDS)}, and .gz or .zst after it where "
    "they are compressed."
)


def find(url: str, options: str = "{}") -> Found:
    """Return the files at and below a URL.

    Raises:
        BadInput: there is no such place, or no file of events in it.
        Refused: it may not be read.
        TemporaryFailure: the store does not answer.
    """
    shown = redact_address(url)
    try:
        system, root = _system(url, options)
        system.invalidate_cache()  # what this process listed before may have changed
        found = _list(system, root)
    except IntentError:
        raise
    except Exception as error:  # each store has errors of its own
        raise source_errors.failure_of(url, error, _secrets_in(options)) from None
    if not found:
        raise BadInput(
            f"There is no file at {shown}. Give a folder, an object-store prefix or a file."
        )
    names = {path: redact_address(path) for path in sorted(found, key=name_order)}
    base = redact_address(root)
    visible = [path for path, name in names.items() if not _hidden(name, base)]
    files = [_file(system, found[path]) for path in visible if readers.kind_of(names[path])[0]]
    if not files:
        what = "one other" if len(found) == 1 else f"{len(found)} others"
        raise BadInput(f"There is no file of events at {shown}, only {what}. {ENDINGS_HINT}")
    if len({file.url for file in files}) < len(files):
        raise BadInput(
            f"Files at {shown} differ only in what comes after a question mark, which is not kept: "
            "it may be a secret. Give each a name of its own."
        )
    others = [names[path] for path in visible if not readers.kind_of(names[path])[0]]
    below = [name.removeprefix(base).strip("/") for name in others]
    return Found(files, below, len(found) - len(visible))


def name_order(path: str) -> tuple[list[str | int], str]:
    """Return what names are sorted by: digits count as a number, so 9 comes before 10."""
    parts = re.split("([0-9]+)", path)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path


def _list(system: fsspec.AbstractFileSystem, root: str) -> dict[str, dict[str, Any]]:
    """Return path → facts of all files at and below a place; none where there is no such place."""
    try:
        found: dict[str, dict[str, Any]] = system.find(root, detail=True)
        if not found:
            system.info(root)  # a listing passes over a connection that fails
    except FileNotFoundError as error:
        if source_errors.is_temporary(error):
            raise
        return {}
    return {path: facts or system.info(path) for path, facts in found.items()}


def _system(url: str, options: str) -> tuple[fsspec.AbstractFileSystem, str]:
    shown = redact_address(url)
    try:
        given = json.loads(options)
        system, root = fsspec.url_to_fs(url, **given)
    except (json.JSONDecodeError, TypeError):
        raise BadInput(
            'INTENT_COLLECT_OPTIONS is no JSON object that fsspec takes, such as {"anon": true}.'
        ) from None
    except ImportError as error:
        raise BadInput(
            f"{url.split('://')[0]}:// needs a package that is not installed: {error}. Install it "
            "beside this one."
        ) from None
    except ValueError as error:
        reason = redact_text(str(error), [*secrets_of(url), *_secrets_in(options)])
        raise BadInput(f"{shown} cannot be collected: {reason}.") from None
    return system, root


def _secrets_in(options: str) -> set[str]:
    """Return the values of options that are secrets by their names."""
    found = set[str]()

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.update(v for n, v in pairs if isinstance(v, str) and _SECRET_NAMES.search(n))
        return dict(pairs)

    try:
        json.loads(options, object_pairs_hook=collect)
    except json.JSONDecodeError:
        return set()
    return found


def _hidden(path: str, root: str) -> bool:
    below = path.removeprefix(root).strip("/")
    return any(part.startswith(("_", ".")) for part in below.split("/"))


def _file(system: fsspec.AbstractFileSystem, info: dict[str, Any]) -> File:
    path = info["name"]
    marks = (info.get(name) for name in ("ETag", "etag", "mtime", "LastModified", "updated"))
    version = next((str(mark) for mark in marks if mark), str(info.get("created", "")))
    url = redact_address(system.unstrip_protocol(path))
    return File(url, path, int(info["size"] or 0), version, system)
