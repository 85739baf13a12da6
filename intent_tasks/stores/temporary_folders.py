"""Temporary folders that are removed even when their process is killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "tmp"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Create an empty folder below another one, and remove it at the end.

    A lock marks it as in use. Folders without a lock, which killed processes left, are removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):
        remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders that no process uses any more."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with _locked(folder, wait=False):
                shutil.rmtree(folder)
        except OSError:  # another process uses it, or has just removed it
            continue


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock a folder; without waiting, raise BlockingIOError if another process holds it."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(lock)
