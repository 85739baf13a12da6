"""Files of a folder or of an object-store prefix, through fsspec."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import fsspec
import pyarrow as pa

from intent_tasks.errors import BadInput, Refused
from intent_tasks.formats import readers

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class File:
    """One file of events.

    Args:
        url: its whole address, without credentials.
        path: its name for the file system.
        size_bytes: as it is stored.
        version: ETag or time of change; empty where the store tells none.
        system: the fsspec file system that opens it.
    """

    url: str
    path: str
    size_bytes: int
    version: str
    system: fsspec.AbstractFileSystem

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it for reading.

        Raises:
            BadInput: it is gone, or may not be read.
        """
        try:
            with self.system.open(self.path, "rb") as file:
                yield file
        except FileNotFoundError:
            raise BadInput(
                f"{self.url} vanished while it was collected. Put it back, or leave it out; what "
                "was loaded of it stays."
            ) from None
        except PermissionError as error:
            raise _forbidden(self.url, error) from None

    def digest(self) -> str:
        """Return the SHA-256 of the content, decompressed, so that it is known to be whole.

        Raises:
            BadInput: it is gone, may not be read, or does not decompress.
        """
        _, compression = readers.kind_of(self.path)
        found = hashlib.sha256()
        with readers.naming_file(self.url), self.opened() as file:
            try:
                stream = readers.decompress(file, compression)
                while chunk := stream.read(CHUNK_BYTES):
                    found.update(chunk)
            except (pa.ArrowException, EOFError, OSError) as error:
                raise readers.broken_file_error(self.url, error) from None
        return found.hexdigest()


class Found(NamedTuple):
    """What there is at a place.

    Args:
        files: those of events, by name.
        others: names of those that are not read.
        hidden: how many more have a name, or are in a folder, that begins with `_` or `.`: they
            are no data, as `_SUCCESS`.
    """

    files: list[File]
    others: list[str]
    hidden: int


ENDINGS_HINT = (
    f"Names of files of events end in {', '.join(readers.KINDS)}, and .gz or .zst after it where "
    "they are compressed."
)


def find(url: str, options: str = "{}") -> Found:
    """Return what there is at and below a URL.

    Raises:
        BadInput: there is no such place, or no file of events in it.
        Refused: it may not be read.
    """
    system, root = _system(url, options)
    system.invalidate_cache()  # what this process listed before may have changed
    try:
        found: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except FileNotFoundError:
        found = {}
    except PermissionError as error:
        raise _forbidden(url, error) from None
    except Exception as error:  # each store has errors of its own
        raise _unreachable(url, error) from None
    if not found:
        raise BadInput(
            f"There is no file at {url}. Give a folder, an object-store prefix or a file."
        )
    visible = [path for path in sorted(found) if not _hidden(path, root)]
    files = [_file(system, found[path]) for path in visible if readers.kind_of(path)[0]]
    if not files:
        what = "one other" if len(found) == 1 else f"{len(found)} others"
        raise BadInput(f"There is no file of events at {url}, only {what}. {ENDINGS_HINT}")
    others = [path for path in visible if not readers.kind_of(path)[0]]
    below = [path.removeprefix(root).strip("/") for path in others]
    return Found(files, below, len(found) - len(visible))


def _system(url: str, options: str) -> tuple[fsspec.AbstractFileSystem, str]:
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
        raise BadInput(f"{url} cannot be collected: {error}.") from None
    except Exception as error:  # each store has errors of its own
        raise _unreachable(url, error) from None
    return system, root


def _hidden(path: str, root: str) -> bool:
    below = path.removeprefix(root).strip("/")
    return any(part.startswith(("_", ".")) for part in below.split("/"))


def _file(system: fsspec.AbstractFileSystem, info: dict[str, Any]) -> File:
    path = info["name"]
    marks = (info.get(name) for name in ("ETag", "etag", "mtime", "LastModified", "updated"))
    version = next((str(mark) for mark in marks if mark), str(info.get("created", "")))
    return File(system.unstrip_protocol(path), path, int(info["size"] or 0), version, system)


def _forbidden(url: str, error: Exception) -> Refused:
    return Refused(
        f"{url} may not be read ({error}). Give this account the right to read it, or the "
        "credentials in INTENT_COLLECT_OPTIONS."
    )


def _unreachable(url: str, error: Exception) -> Refused:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Refused(
        f"{url} cannot be reached: {said}. Check the address, and the credentials in "
        "INTENT_COLLECT_OPTIONS or in the environment."
    )
