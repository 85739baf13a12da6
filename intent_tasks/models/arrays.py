"""Read arrays that `np.savez` wrote, without trusting the headers of the file.

Nothing is decompressed, and no memory is allocated by a size in a header: every array is a view of
bytes of the file.
"""

import io
import math
import struct
import tokenize
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.errors import BadInput

MAX_ARRAYS = 10_000
"""Maximum number of arrays, many times that of the largest network."""
KINDS = "fiuU"
"""Allowed kinds: numbers and texts of a fixed length. Loading objects would run code."""

_UNREADABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, OSError, EOFError, MemoryError),
    *(SyntaxError, RuntimeError, zipfile.BadZipFile, struct.error, tokenize.TokenError),
)
"""Errors that a broken archive or a broken header of an array can raise."""

Arrays = dict[str, npt.NDArray[Any]]


def read(name: str, content: bytes) -> Arrays:
    """Return the arrays of a file by name, sorted by name.

    Args:
        name: name of the file, for messages.
        content: content of the file.

    Raises:
        BadInput: `np.savez` would not write such a file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return dict(sorted(_arrays(archive, len(content)).items()))
    except _UNREADABLE as error:
        raise BadInput(f"{name} holds no readable arrays: {error}.") from None


def _arrays(archive: zipfile.ZipFile, size: int) -> Arrays:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > MAX_ARRAYS or len(set(names)) < len(names):
        raise ValueError("there are too many, or two have one name")
    if sum(member.file_size for member in members) > size:
        raise ValueError("their sizes add up to more than the file")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"{member.filename!r} is compressed")
        if not member.filename.endswith(".npy"):
            raise ValueError(f"{member.filename!r} is no array")
    return {
        member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members
    }


def _array(content: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array has another format version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    length = math.prod(shape) * dtype.itemsize
    if dtype.kind not in KINDS or min(shape, default=0) < 0 or length != len(content) - file.tell():
        raise ValueError(f"the bytes do not hold an array of {dtype} and shape {shape}")
    values = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def require_finite(arrays: Mapping[str, npt.NDArray[Any]], file: str) -> None:
    """Require that arrays hold finite numbers.

    Args:
        arrays: name → array.
        file: name of their file, for messages.

    Raises:
        BadInput: a value is no finite number.
    """
    for name, values in arrays.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise BadInput(f"{name} in {file} is not finite. Restore it or train again.")
