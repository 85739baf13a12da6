"""Atomic writes: a reader sees a whole file or none, and the same rows give the same bytes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_OF_A_GROUP = 131_072
"""Rows of a Parquet row group, independent of the parts in which they are written."""


@contextmanager
def private_files() -> Iterator[None]:
    """Make new files, also those of child processes, readable by their owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(path: Path) -> None:
    """Create a folder and its missing parents, accessible to their owner alone."""
    missing = [path, *path.parents]
    for name in reversed(missing[: [p.exists() for p in missing].index(True)]):
        name.mkdir(mode=0o700, exist_ok=True)


def _open(path: Path) -> BinaryIO:
    """Open a new file that its owner alone may read, whatever the umask is."""
    path.unlink(missing_ok=True)  # left by a killed process with the same id
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def replace(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees either the old or the new content.

    Its owner alone may read it. An existing file keeps its owner if this process may set it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _open(temporary) as file:
            file.write(content)
            if path.exists():
                owner = path.stat()
                with suppress(PermissionError):
                    os.chown(file.fileno(), owner.st_uid, owner.st_gid)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # incomplete after a full disk


def parquet(rows: pa.Table) -> bytes:
    """Return rows that fit in memory as the content of a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())


class ParquetFile:
    """A file that is written part by part under a temporary name; its digest is known at the end.

    Args:
        folder: where it is written; the temporary name begins with a dot.
        schema: of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self.digest = ""
        self._path = folder / f".new.{os.getpid()}"
        self._waiting = schema.empty_table()
        self._file = _open(self._path)
        self._sink = _Hashed(self._file)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), schema, compression="zstd"
        )

    def __enter__(self) -> Self:
        return self

    def write(self, rows: pa.Table) -> None:
        """Append rows; a full group goes to the disk."""
        self.rows += rows.num_rows
        self._waiting = pa.concat_tables([self._waiting, rows.replace_schema_metadata(None)])
        while self._waiting.num_rows >= ROWS_OF_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        # One chunk, so that the pages end where they always end.
        self._writer.write_table(self._waiting.slice(0, ROWS_OF_A_GROUP).combine_chunks())
        self._waiting = self._waiting.slice(ROWS_OF_A_GROUP)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and (self._waiting.num_rows or not self.rows):
                self._write_group()
            # Also after an error such as a full disk; otherwise Python closes it again at exit.
            with nullcontext() if kind is None else suppress(OSError):
                self._writer.close()
                self._file.close()
            if kind is None:
                self.digest = self._sink.digest.hexdigest()
        finally:
            if not self.digest:
                self._path.unlink(missing_ok=True)
                with suppress(OSError):  # the buffered rest does not fit on the disk either
                    self._file.close()

    def rename_to(self, path: Path) -> None:
        """Give the file its final name."""
        self._path.replace(path)


class _Hashed:
    """A writer that hashes the content and passes it on to a file."""

    closed = False

    def __init__(self, file: object) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return int(self._file.write(content))  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Do nothing; the file is flushed when it is closed."""

    def close(self) -> None:
        """Do nothing; `ParquetFile` closes the file."""
