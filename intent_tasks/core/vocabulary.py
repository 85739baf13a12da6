"""Values as integer codes: frequent values have their own code, rare values share hashed codes.

PAD fills up. UNKNOWN is a null, or a rare value of a column without hashed codes. Words of texts
are always hashed, so a new word needs no new code. An image has the code of its nearest cluster;
the vocabulary holds the cluster centres.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core import image_codes
from intent_tasks.core.arrays import BoolArray, Int32Array
from intent_tasks.definition import EVENT_TYPES

PAD, UNKNOWN = 0, 1
FIRST_CODE = 2
ABSENT = -1
"""Code of a null product, session or text, which have no codes in the vocabulary."""
MIN_COUNT = 5
"""A value with a lower count has no code of its own."""
WORDS = 4
"""Number of words that are read of a text, the first ones."""
WORD_CODES = 1024
"""Number of hashed codes of words."""


class Column(NamedTuple):
    """Rule by which the values of a column become codes.

    Args:
        source: column of a snapshot.
        most: maximum number of values, or image clusters, with a code of their own.
        hashes: number of codes that the other values share; 0: they are UNKNOWN.
    """

    source: str
    most: int
    hashes: int = 0


COLUMNS = {
    "product_id": Column("product_id", 2000, 256),
    "category_root": Column("category_path", 100),
    "category_path": Column("category_path", 300, 64),
    "brand": Column("brand", 200, 64),
    "channel": Column("channel", 30),
    "device": Column("device", 30),
    "picture": Column("picture", 64),
}
"""Code column → its rule. Codes of event types are fixed: see `event_code`."""

_NAMES_BY_SOURCE = {
    column.source: [name for name, other in COLUMNS.items() if other.source == column.source]
    for column in COLUMNS.values()
}
"""Column of a snapshot → its code columns."""

CODE_COLUMNS = ("event_type", *COLUMNS, *(f"word_{n}" for n in range(WORDS)))
"""Code columns of an event, in order."""

TEXTS = ("query_text", "review_text")
"""Text columns; an event has at most one of them, otherwise the title of its product is read."""

Vocabulary = dict[str, dict[str, int]]


def event_code(event_type: str) -> int:
    """Return the code of an event type, the same in every vocabulary."""
    return FIRST_CODE + EVENT_TYPES.index(event_type)


@dataclass(frozen=True)
class Counts:
    """Counts of each value over any number of tables, by code column."""

    of: dict[str, Counter[str]]

    @classmethod
    def empty(cls) -> "Counts":
        """Return counts without any value."""
        return cls({name: Counter() for name in COLUMNS})

    def add(self, events: pa.Table) -> None:
        """Count the values of a table of events."""
        for source, names in _NAMES_BY_SOURCE.items():
            counted = pc.value_counts(events[source].drop_null())
            counts = counted.field("counts").to_pylist()
            for name in names:
                values = _values(counted.field("values"), name).to_pylist()
                for value, count in zip(values, counts, strict=True):
                    self.of[name][value] += count

    def vocabulary(self) -> Vocabulary:
        """Return the codes of the frequent values, most frequent first."""
        codes = {"event_type": {name: event_code(name) for name in EVENT_TYPES}}
        for name, column in COLUMNS.items():
            choose = image_codes.cluster_centres if name == "picture" else _frequent
            values = choose(self.of[name], column.most)
            codes[name] = {value: FIRST_CODE + n for n, value in enumerate(values)}
        return codes


def _frequent(counted: Counter[str], most: int) -> list[str]:
    frequent = sorted((-count, value) for value, count in counted.items() if count >= MIN_COUNT)
    return [value for _, value in frequent[:most]]


def learn_vocabulary(tables: Iterable[pa.Table]) -> Vocabulary:
    """Return the vocabulary of tables of events, read one at a time."""
    counts = Counts.empty()
    for table in tables:
        counts.add(table)
    return counts.vocabulary()


def vocabulary_sizes(vocabulary: Vocabulary) -> dict[str, int]:
    """Return the number of codes of each column, including PAD and UNKNOWN."""
    sizes = {name: FIRST_CODE + len(codes) for name, codes in vocabulary.items()}
    return {n: size + COLUMNS[n].hashes if n in COLUMNS else size for n, size in sizes.items()} | {
        "words": FIRST_CODE + WORD_CODES
    }


def codes_of(events: pa.Table, vocabulary: Vocabulary) -> Int32Array:
    """Return the codes of events, shape (n, len(CODE_COLUMNS)); columns may be dictionaries."""
    codes = np.empty((events.num_rows, len(CODE_COLUMNS)), np.int32)
    codes[:, 0] = types = _codes(dictionary(events["event_type"]), vocabulary, "event_type")
    for source, names in _NAMES_BY_SOURCE.items():
        encoded = dictionary(events[source])
        for name in names:
            codes[:, CODE_COLUMNS.index(name)] = _codes(encoded, vocabulary, name)
    codes[:, -WORDS:] = _words(events, types == event_code("search"))
    return codes


def dictionary(values: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return values as indices of their distinct values."""
    return values.dictionary_encode().combine_chunks()


def dictionary_index(encoded: pa.DictionaryArray, absent: int) -> Int32Array:
    """Return the index of each value in its dictionary, `absent` for a null."""
    return np.asarray(pc.fill_null(encoded.indices, absent).to_numpy(), np.int32)


def _values(values: pa.Array, name: str) -> pa.Array:
    """Return the values of a code column from values of its source."""
    if name == "category_root":
        return pc.replace_substring_regex(values, r"[./>|].*$", "")
    return values


def _codes(encoded: pa.DictionaryArray, vocabulary: Vocabulary, name: str) -> Int32Array:
    """Return the codes of values, shape (n,); each distinct value is looked up once."""
    values = _values(encoded.dictionary, name).to_pylist()
    table = np.append(_codes_of_values(values, vocabulary[name], name), np.int32(UNKNOWN))
    return np.take(table, dictionary_index(encoded, len(values)))


def _codes_of_values(values: list[str], codes: dict[str, int], name: str) -> Int32Array:
    if name == "picture":
        table = np.array([*codes.values(), UNKNOWN], np.int32)
        return np.asarray(table[image_codes.nearest_centre(values, list(codes))])
    hashes = COLUMNS[name].hashes if name in COLUMNS else 0
    shared = [UNKNOWN] * len(values)
    if hashes:
        shared = (FIRST_CODE + len(codes) + _hashed(values, hashes)).tolist()
    return np.array(
        [codes.get(v, other) for v, other in zip(values, shared, strict=True)], np.int32
    )


def _words(events: pa.Table, is_search: BoolArray) -> Int32Array:
    """Return the codes of the first words of the text of each event, shape (n, WORDS)."""
    titles, *others = (dictionary(events[name]) for name in ("title", *reversed(TEXTS)))
    values = titles.dictionary.to_pylist()
    # A search has its query as text, not the title of a product.
    text = np.where(is_search, ABSENT, dictionary_index(titles, ABSENT))
    for encoded in others:  # an earlier text replaces a later one
        present = np.flatnonzero(encoded.is_valid().to_numpy(zero_copy_only=False))
        text[present] = dictionary_index(encoded, ABSENT)[present] + len(values)
        values += encoded.dictionary.to_pylist()
    words = [each.lower().split()[:WORDS] for each in values]
    table = np.full((len(words) + 1, WORDS), PAD, np.int32)
    counts = np.array([*map(len, words), 0])
    # One call for all words: the cost of hashing is in the call.
    hashed = _hashed([word for each in words for word in each], WORD_CODES)
    table[np.arange(WORDS) < counts[:, None]] = FIRST_CODE + hashed
    return np.take(table, text, axis=0)


def _hashed(values: list[str], hashes: int) -> npt.NDArray[Any]:
    """Return the hash of each value, 0 to `hashes` - 1, the same on every machine."""
    hashed = pd.util.hash_array(np.array(values, dtype=object), categorize=False)
    return np.asarray(hashed % np.uint64(hashes), np.int32)
