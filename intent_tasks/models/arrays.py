"""Arrays in a file, as `np.savez` writes them, read without trusting what the file says of itself.

Nothing is decompressed and nothing is allocated by a size that a header names: every array is a
view of bytes that are there.
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

MOST_ARRAYS = 10_000
"""Many times what the largest network has."""
KINDS = "fiuU"
"""Numbers, and texts of a fixed length; never objects, whose loading runs code."""

_UNREADABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, OSError, EOFError, MemoryError),
    *(SyntaxError, RuntimeError, zipfile.BadZipFile, struct.error, tokenize.TokenError),
)
"""What reading a broken archive, or a broken header of an array, can raise."""

Arrays = dict[str, npt.NDArray[Any]]


def read(name: str, content: bytes) -> Arrays:
    """Return the arrays of a file by their name, in the order of the names.

    Args:
        name: of the file, for messages.
        content: of the file.

    Raises:
        BadInput: `np.savez` would not have written it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return dict(sorted(_arrays(archive, len(content)).items()))
    except _UNREADABLE as error:
        raise BadInput(f"{name} holds no arrays that can be read: {error}.") from None


def _arrays(archive: zipfile.ZipFile, size: int) -> Arrays:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > MOST_ARRAYS or len(set(names)) < len(names):
        raise ValueError("too many, or two of one name")
    if sum(member.file_size for member in members) > size:
        raise ValueError("they claim to be larger than the file")
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
        raise ValueError("an array is of another format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    length = math.prod(shape) * dtype.itemsize
    if dtype.kind not in KINDS or min(shape, default=0) < 0 or length != len(content) - file.tell():
        raise ValueError(f"an array of {dtype} and shape {shape} is not what the file holds")
    values = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def require_finite(found: Mapping[str, npt.NDArray[Any]], file: str) -> None:
    """Require that arrays hold real numbers, all finite.

    Raises:
        BadInput: one does not.
    """
    for name, values in found.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise BadInput(f"{name} in {file} holds what is no number. Restore it or train anew.")
