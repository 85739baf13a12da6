"""Whole lines of a stream, block by block, and where each of them begins and ends."""

from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from intent_tasks.formats import blocks

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LF, _CR = 10, 13

Places = npt.NDArray[np.int64]


class Lines(NamedTuple):
    """Lines of a block: line i is `data[starts[i]:ends[i]]`, without what ends it.

    Args:
        data: the block; an array of it beside it, shape (bytes,).
        array: the same as numbers.
        starts: shape (lines,).
        ends: shape (lines,).
    """

    data: bytes
    array: npt.NDArray[np.uint8]
    starts: Places
    ends: Places

    def text(self, place: int) -> bytes:
        """Return one line."""
        return self.data[self.starts[place] : self.ends[place]]

    def without_first(self, count: int) -> "Lines":
        """Return the lines after the first ones."""
        return self._replace(starts=self.starts[count:], ends=self.ends[count:])

    def rest(self, first: int) -> bytes:
        """Return the data from a line on; empty where there is none."""
        return self.data[self.starts[first] :] if first < len(self.starts) else b""

    def only(self, wanted: npt.NDArray[np.bool_]) -> bytes:
        """Return the first lines of which these are wanted, with what ends them."""
        stops = np.append(self.starts[1:], len(self.data))[: len(wanted)]
        if not wanted.any():
            return b""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
        runs = [(self.starts[a], stops[b - 1]) for a, b in edges.reshape(-1, 2).tolist()]
        if len(runs) == 1:
            return self.data[runs[0][0] : runs[0][1]]
        return b"".join(self.data[start:stop] for start, stop in runs)

    def of(self, offset: int) -> int:
        """Return the line that holds a byte."""
        return int(np.searchsorted(self.starts, offset, side="right")) - 1


def split(data: bytes) -> Lines:
    """Return the lines of a block; they end in LF, CR or both."""
    array = np.frombuffer(data, np.uint8)
    is_end = array == _LF
    if b"\r" in data:
        alone = array == _CR
        alone[:-1] &= array[1:] != _LF
        is_end |= alone
    stops = np.flatnonzero(is_end)
    starts = np.concatenate([[0], stops + 1])
    if starts[-1] == len(data):
        starts = starts[:-1]
    else:
        stops = np.append(stops, len(data))
    before = array[np.maximum(stops - 1, 0)]
    pair = (stops > starts) & (stops < len(data)) & (before == _CR)
    pair &= array[np.minimum(stops, len(data) - 1)] == _LF
    return Lines(data, array, starts, stops - pair)


def chunks(stream: pa.NativeFile) -> Iterator[bytes]:
    """Yield what a stream holds, about a block at once."""
    while data := stream.read(blocks.BLOCK_BYTES):
        yield bytes(data)


Whole = Generator[tuple[bytes, bool], bytes | None, None]
"""Yields whole lines and whether they are the last; is sent the end of them that comes again."""


def whole(parts: Iterator[bytes]) -> Whole:
    """Yield whole lines, without a byte order mark in front.

    What is sent back, such as a record that is not complete, begins the next lines.

    Raises:
        pyarrow.ArrowInvalid: a line is longer than a block.
    """
    rest, part = b"", next(parts, b"").removeprefix(_BYTE_ORDER_MARK)
    while part:
        following = next(parts, b"")
        data, part, last = rest + part, following, not following
        end = len(data) if last else _end(data)
        if not end and len(data) > blocks.BLOCK_BYTES:
            raise pa.ArrowInvalid("straddling object")
        data, rest = data[:end], data[end:]  # while they are read, the block is in memory once
        again = (yield data, last) if data else None
        rest = (again or b"") + rest
    if rest:
        yield rest, True


def _end(data: bytes) -> int:
    """Return where the last whole line ends; a CR at the end of a part may be half of an end."""
    return (data.rfind(b"\n") + 1) or (data.rfind(b"\r", 0, -1) + 1)
