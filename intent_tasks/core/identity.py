"""The only identity outside Postgres: a keyed hash of the customer's id, and the bucket from it."""

import hmac
from collections.abc import Sequence

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


ADDRESS = r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+"
"""What looks like an e-mail address: customers type theirs into searches and reviews."""


def without_addresses(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return texts in which every e-mail address is the single character @, shape (n,)."""
    return pc.replace_substring_regex(texts, ADDRESS, "@")
