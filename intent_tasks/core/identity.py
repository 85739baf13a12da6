"""The only identity outside Postgres: a keyed hash of the customer's id, and the bucket from it."""

import hmac
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KEY_LENGTH = 32
"""Hexadecimal digits of a customer_key: 128 bits, so that two customers never share one."""


def customer_keys(ids: Sequence[str] | npt.NDArray[np.str_], key: bytes) -> npt.NDArray[np.str_]:
    """Return the customer_key of each customer_id.

    Args:
        ids: customer ids, shape (n,).
        key: secret of the HMAC; without it a key can neither be made nor guessed.

    Returns:
        First 32 hexadecimal digits of HMAC-SHA256, shape (n,).
    """
    digests = [
        hmac.digest(key, str(customer_id).encode(), "sha256").hex()[:KEY_LENGTH]
        for customer_id in ids
    ]
    return np.array(digests, dtype=f"U{KEY_LENGTH}")


def buckets_of(
    keys: Sequence[str] | npt.NDArray[np.str_], bucket_count: int
) -> npt.NDArray[np.int64]:
    """Return the bucket of each customer_key, shape (n,), from 0 to bucket_count - 1.

    It depends on the key alone, so that a customer stays in one bucket for ever.
    """
    heads = np.array([int(key[:8], 16) for key in keys], dtype=np.int64)
    return heads % bucket_count


# ── Addresses in texts ────────────────────────────────────────────────────────────────────────────
#
# Every pattern is one that RE2 matches in linear time. Libraries that look for addresses go through
# texts one by one, and know neither an address that is written for people nor an encoded one.

_GAP = r"[\s\x{a0}\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}]*"
"""White space, and characters that nobody sees."""

_AT = r"(?:[@\x{ff20}\x{fe6b}]|%(?:25)*40|&#x?0*(?:64|40);|&commat;|\\u0040)"
"""The character @: as it is, in full width, and as addresses, pages and JSON write it."""

_AT_IN_WORDS = rf"[\[({{<]{_GAP}(?:at|@){_GAP}[\])}}>]"
_DOT = rf"(?:[.\x{{ff0e}}\x{{3002}}]|%2e|&#46;|{_GAP}[\[({{<]{_GAP}(?:dot|\.){_GAP}[\])}}>]{_GAP})"
_LOCAL = r"(?:\"[^\"\r\n]+\"|[^\s@<>,;:\"()\[\]{}]+)"
_LABEL = r"[\pL\pN_\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}-]+"
_LAST = r"\pL[\pL\pN\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}-]*"
_KNOWN_LAST = r"(?:com|net|org|info|biz|edu|gov|shop|store|app|dev|[a-z][a-z])\b"

ADDRESSES = (
    # max@[192.0.2.1], "max m"@mail.example, max@mail.example, max%40mail.example
    rf"(?i)(?:\"[^\"\r\n]+\"|[^\s@<>,;:\"]+){_AT}(?:\[[^\]\s]+\]|[^\s@<>,;:\"]+)",
    # max @ mail.example, max (at) mail (dot) example
    rf"(?i){_LOCAL}{_GAP}(?:{_AT}|{_AT_IN_WORDS}){_GAP}(?:{_LABEL}{_DOT})+{_LAST}",
    # max at mail dot com
    rf"(?i){_LOCAL}\s+at\s+{_LABEL}(?:(?:\s+dot\s+|\.){_LABEL})*\s+dot\s+{_KNOWN_LAST}",
)
"""What looks like an e-mail address: customers type theirs into searches and reviews."""

_MARK = rf"(?i){_AT}|{_AT_IN_WORDS}|\sat\s"
"""Without this no pattern finds anything."""

_HINTS = (
    *(
        b"@",
        b"\xef",
        b"%",
        b"&",
        b"\\u",
        b"(at",
        b"[at",
        b"{at",
        b"<at",
        b"( ",
        b"[ ",
        b"{ ",
        b"< ",
    ),
    *(b" at ", b"\tat", b"\nat", b"\rat", b"at\t", b"at\n", b"at\r"),
)
"""Without these bytes the mark is not there; looking for them is a hundred times as fast."""


def without_addresses(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return texts in which every e-mail address is the single character @, shape (n,)."""
    if isinstance(texts, pa.ChunkedArray):
        return pa.chunked_array([without_addresses(part) for part in texts.chunks], texts.type)
    if not _may_hold_addresses(texts):
        return texts
    marked = pc.fill_null(pc.match_substring_regex(texts, _MARK), False)
    found = texts.filter(marked)
    for pattern in ADDRESSES:
        found = pc.replace_substring_regex(found, pattern, "@")
    return pc.replace_with_mask(texts, marked, found)


def _may_hold_addresses(texts: pa.Array) -> bool:
    if not pa.types.is_string(texts.type) or not len(texts):
        return bool(len(texts))
    _, places, content = texts.buffers()
    if content is None:
        return False
    ends = np.frombuffer(places, np.int32)
    first, last = ends[texts.offset], ends[texts.offset + len(texts)]
    data = content[first:last].to_pybytes().lower()
    return any(hint in data for hint in _HINTS)


def ids_without_addresses(
    ids: pa.ChunkedArray | pa.Array, keys_of: Callable[[list[str]], pa.Array]
) -> pa.ChunkedArray | pa.Array:
    """Return ids of products, sessions or events in which none holds an e-mail address, shape (n,).

    One that does becomes its key, so that equal ids stay equal and others stay others.

    Args:
        ids: of one kind.
        keys_of: returns the keyed hash of each.
    """
    if isinstance(ids, pa.ChunkedArray):
        parts = [ids_without_addresses(part, keys_of) for part in ids.chunks]
        return pa.chunked_array(parts, ids.type)
    hidden = without_addresses(ids)
    if hidden is ids:
        return ids
    differ = pc.fill_null(pc.not_equal(hidden, ids), False)
    return pc.replace_with_mask(ids, differ, keys_of(ids.filter(differ).to_pylist()))
