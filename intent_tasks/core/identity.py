"""The only identity outside Postgres: a keyed hash of the customer's id, and the bucket from it."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KEY_LENGTH = 32
"""Hexadecimal digits of a customer_key: 128 bits, so that two customers never share one."""

_BLOCK = 64
"""Bytes of a block of SHA-256."""


def customer_keys(ids: Sequence[str] | npt.NDArray[np.str_], key: bytes) -> npt.NDArray[np.str_]:
    """Return the customer_key of each customer_id.

    Args:
        ids: customer ids, shape (n,).
        key: secret of the HMAC; without it a customer_key can neither be computed nor guessed.

    Returns:
        First 32 hexadecimal digits of HMAC-SHA256, shape (n,).
    """
    # As `hmac.digest` does, but the key is prepared once and not for each id.
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    keyed_inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    keyed_outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
    digests = []
    for customer_id in ids:
        inner, outer = keyed_inner.copy(), keyed_outer.copy()
        inner.update(str(customer_id).encode())
        outer.update(inner.digest())
        digests.append(outer.hexdigest()[:KEY_LENGTH])
    return np.array(digests, dtype=f"U{KEY_LENGTH}")


def buckets_of(
    keys: Sequence[str] | npt.NDArray[np.str_] | pa.Array, bucket_count: int
) -> npt.NDArray[np.int64]:
    """Return the bucket of each customer_key, shape (n,), from 0 to bucket_count - 1.

    The bucket depends only on the key, so a customer always stays in one bucket.
    """
    return heads_of(keys) % bucket_count


def heads_of(keys: Sequence[str] | npt.NDArray[np.str_] | pa.Array) -> npt.NDArray[np.int64]:
    """Return the first 32 bits of each customer_key as a number, shape (n,).

    Keys have the order of their heads.
    """
    texts = keys if isinstance(keys, pa.Array) else pa.array(keys, pa.string())
    hexadecimal = pc.binary_join_element_wise("0x", pc.utf8_slice_codeunits(texts, 0, 8), "")
    heads: npt.NDArray[np.int64] = hexadecimal.cast(pa.uint32()).cast(pa.int64()).to_numpy()
    return heads


# ── Addresses in texts ────────────────────────────────────────────────────────────────────────────
#
# RE2 matches every pattern in linear time. Libraries that detect addresses read texts one by one,
# and miss addresses that are written for people or encoded.

_GAP = r"[\s\x{a0}\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}]*"
"""White space, and invisible characters."""

_AT = r"(?:[@\x{ff20}\x{fe6b}]|%(?:25)*40|=40|&(?:amp;)*#[xX]?0*(?:64|40);|&commat;|\\u0040)+"
"""The character @: as it is, in full width, and as URLs, HTML and JSON encode it."""

_AT_IN_WORDS = rf"[\[({{<]{_GAP}(?:(?i:at)|@){_GAP}[\])}}>]"
_DOT_IN_WORDS = rf"{_GAP}[\[({{<]{_GAP}(?:(?i:dot)|\.){_GAP}[\])}}>]{_GAP}"
_DOT = rf"(?:[.\x{{ff0e}}\x{{3002}}]|%2[eE]|&#46;|{_DOT_IN_WORDS})"
_LOCAL = r"(?:\"[^\"\r\n]+\"|[^\s@<>,;:\"()\[\]{}]+)"
_UNSEEN = r"\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}"
_LABEL = rf"[\pL\pN_{_UNSEEN}-]+"
_LAST = rf"\pL[\pL\pN{_UNSEEN}-]*"
_KNOWN_LAST = r"(?:com|net|org|info|biz|edu|gov|shop|store|app|dev|[a-z][a-z])\b"

_SIGNED = (
    # max@[192.0.2.1], "max m"@mail.example, max@mail.example, max%40mail.example
    rf"(?:\"[^\"\r\n]+\"|[^\s@<>,;:\"]+){_AT}(?:\[[^\]\s]+\]|[^\s@<>,;:\"]+)",
    # max @ mail.example, max (at) mail (dot) example
    rf"{_LOCAL}{_GAP}(?:{_AT}|{_AT_IN_WORDS}){_GAP}(?:{_LABEL}{_DOT})+{_LAST}",
)
"""Patterns of e-mail addresses, which customers type into searches and reviews."""

_SPOKEN = (
    # max at mail dot com
    rf"(?i){_LOCAL} +at +{_LABEL}(?:(?: +dot +|\.){_LABEL})* +dot +{_KNOWN_LAST}",
)

_SIGNS = (b"@", b"=40", b"%", b"&", b"\\", b"\xef", b"(", b"[", b"{", b"<")
"""A text without these bytes has no such address; a search for a byte is fast."""


def without_addresses(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return texts in which every e-mail address is the single character @, shape (n,)."""
    if isinstance(texts, pa.ChunkedArray):
        return pa.chunked_array([without_addresses(part) for part in texts.chunks], texts.type)
    content = _content(texts)
    if any(sign in content for sign in _SIGNS):
        texts = _replaced(texts, rf"{_AT}|{_AT_IN_WORDS}", _SIGNED)
    if b" " in content:
        content = content.lower()
        if b" dot " in content and b" at " in content:
            texts = _replaced(texts, "(?is) at .* dot ", _SPOKEN)
    return texts


def _content(texts: pa.Array) -> bytes:
    """Return the bytes of all texts, concatenated."""
    _, places, content = texts.buffers()
    if content is None or not len(texts):
        return b""
    ends = np.frombuffer(places, np.int32)
    first, last = (int(ends[texts.offset + n]) for n in (0, len(texts)))
    return bytes(content[first:last].to_pybytes())


def _replaced(texts: pa.Array, mark: str, patterns: Sequence[str]) -> pa.Array:
    """Replace matches of the patterns by @, only in texts that match the mark: it is faster."""
    marked = pc.fill_null(pc.match_substring_regex(texts, mark), False)
    candidates = texts.filter(marked)
    if not len(candidates):
        return texts
    for pattern in patterns:
        candidates = pc.replace_substring_regex(candidates, pattern, "@")
    return pc.replace_with_mask(texts, marked, candidates)


def ids_without_addresses(
    ids: pa.ChunkedArray | pa.Array, keys_of: Callable[[list[str]], pa.Array]
) -> pa.ChunkedArray | pa.Array:
    """Return ids of products, sessions or events without e-mail addresses, shape (n,).

    An id with an address is replaced by its keyed hash, so that equal ids stay equal and different
    ids stay different.

    Args:
        ids: ids of one kind.
        keys_of: returns the keyed hash of each id.
    """
    if isinstance(ids, pa.ChunkedArray):
        parts = [ids_without_addresses(part, keys_of) for part in ids.chunks]
        return pa.chunked_array(parts, ids.type)
    hidden = without_addresses(ids)
    if hidden is ids:
        return ids
    differ = pc.fill_null(pc.not_equal(hidden, ids), False)
    return pc.replace_with_mask(ids, differ, keys_of(ids.filter(differ).to_pylist()))
