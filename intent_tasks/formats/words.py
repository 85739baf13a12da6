"""Find the texts of a column that are one of a few words, without reading all texts."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


def match_words(text: pa.Array, words: Collection[str]) -> pa.Array:
    """Return whether each text is one of some words, in any case and with blanks around.

    Args:
        text: strings; a null is none of the words.
        words: texts; the empty one stands for texts of blanks only. One that is not ASCII needs
            all texts to be read.

    Returns:
        Booleans, shape (n,).
    """
    bare = [word.strip().lower() for word in words]
    is_candidate = _candidates(text, bare)
    if is_candidate.any():
        some = pc.utf8_lower(pc.utf8_trim_whitespace(text.filter(pa.array(is_candidate))))
        is_word = pc.is_in(some, value_set=pa.array(bare, pa.string()))
        is_candidate[is_candidate] = is_word.to_numpy(zero_copy_only=False)
    return pa.array(is_candidate)


def _candidates(text: pa.Array, words: Collection[str]) -> Mask:
    """Return which texts have the length and first letter of a word, or blanks around.

    Letters outside ASCII can have another length in the other case: then all texts are candidates.
    """
    if not all(word.isascii() for word in words):
        return np.ones(len(text), bool)
    edges = np.frombuffer(text.buffers()[1], np.int32)[text.offset :][: len(text) + 1]
    lengths = np.diff(edges)
    if not lengths.any():
        return np.ones(len(lengths), bool)
    letters = np.frombuffer(text.buffers()[2], np.uint8)
    last = len(letters) - 1
    first_letters = letters[np.minimum(edges[:-1], last)]
    fits = np.zeros((256, max(map(len, words)) + 2), bool)
    for word in filter(None, words):
        fits[[ord(word[0]), ord(word[0].upper())], len(word)] = True
    is_candidate: Mask = fits[first_letters, np.minimum(lengths, fits.shape[1] - 1)]
    is_candidate |= (lengths == 0) | _MAY_BEGIN_BLANK[first_letters]
    is_candidate |= _MAY_END_BLANK[letters[np.maximum(edges[1:] - 1, 0)]]
    return is_candidate


_MAY_BEGIN_BLANK, _MAY_END_BLANK = np.zeros(256, bool), np.zeros(256, bool)
_MAY_BEGIN_BLANK[[*range(0x21), 0xC2, 0xE1, 0xE2, 0xE3]] = True
_MAY_END_BLANK[[*range(0x21), *range(0x80, 0xC0)]] = True
"""Bytes that a blank can begin or end with in UTF-8, no-break and wide ones too."""
