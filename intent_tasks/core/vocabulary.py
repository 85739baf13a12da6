"""Values as codes: frequent ones have a code of their own, others share one by their hash.

PAD is nothing, UNKNOWN is null, absent or, where no hash is kept, rare. Words of texts are hashed
only, because a text is a bag of words and a new word must cost nothing. A picture has the code of
the group it is nearest to: the names of these codes are the centres.
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
from intent_tasks.definition import EVENT_TYPES

PAD, UNKNOWN = 0, 1
FIRST_CODE = 2
LEAST_COUNT = 5
"""A value that was seen less often has no code of its own."""
WORDS = 4
"""First words of a text that are read."""
WORD_CODES = 1024
"""Hashes of words."""


class Column(NamedTuple):
    """How the values of a column become codes.

    Args:
        source: column of a snapshot.
        most: frequent values, or groups of pictures, that get a code of their own.
        hashes: codes that the other values share; 0: they are UNKNOWN.
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
"""Name of the codes → how they are made; the type of an event has the same code everywhere."""

CODED = ("event_type", *COLUMNS, *(f"word_{n}" for n in range(WORDS)))
"""Columns of codes of an event, in this order."""

TEXTS = ("query_text", "review_text")
"""What a customer wrote; an event has one at most, or else says the title of its product."""

Vocabulary = dict[str, dict[str, int]]
Ints = npt.NDArray[np.int32]


def event_code(event_type: str) -> int:
    """Return the code of an event type; these are the same in every vocabulary."""
    return FIRST_CODE + EVENT_TYPES.index(event_type)


@dataclass(frozen=True)
class Counts:
    """How often each value was seen, over any number of tables."""

    of: dict[str, Counter[str]]

    @classmethod
    def empty(cls) -> "Counts":
        """Return the counts of nothing."""
        return cls({name: Counter() for name in COLUMNS})

    def add(self, events: pa.Table) -> None:
        """Count the values of more events."""
        for name in COLUMNS:
            for found in pc.value_counts(_values(events, name).drop_null()).to_pylist():
                self.of[name][found["values"]] += found["counts"]

    def vocabulary(self) -> Vocabulary:
        """Return the codes of the values that are frequent enough, most frequent first."""
        codes = {"event_type": {name: event_code(name) for name in EVENT_TYPES}}
        for name, column in COLUMNS.items():
            of_values = image_codes.groups if name == "picture" else _frequent
            kept = of_values(self.of[name], column.most)
            codes[name] = {value: FIRST_CODE + n for n, value in enumerate(kept)}
        return codes


def _frequent(counted: Counter[str], most: int) -> list[str]:
    found = sorted((-count, value) for value, count in counted.items() if count >= LEAST_COUNT)
    return [value for _, value in found[:most]]


def learn_vocabulary(tables: Iterable[pa.Table]) -> Vocabulary:
    """Return the codes of the values of some tables of events, which are looked at one by one."""
    counts = Counts.empty()
    for table in tables:
        counts.add(table)
    return counts.vocabulary()


def vocabulary_sizes(vocabulary: Vocabulary) -> dict[str, int]:
    """Return how many codes each column has, PAD and UNKNOWN among them."""
    sizes = {name: FIRST_CODE + len(codes) for name, codes in vocabulary.items()}
    return {n: size + COLUMNS[n].hashes if n in COLUMNS else size for n, size in sizes.items()} | {
        "words": FIRST_CODE + WORD_CODES
    }


def codes_of(events: pa.Table, vocabulary: Vocabulary) -> Ints:
    """Return the codes of events, shape (n, len(CODED))."""
    types = _codes(events["event_type"], vocabulary, "event_type")
    columns = [_codes(_values(events, name), vocabulary, name) for name in COLUMNS]
    return np.column_stack([types, *columns, _words(events)]).astype(np.int32)


def _values(events: pa.Table, name: str) -> pa.ChunkedArray:
    values = events[COLUMNS[name].source]
    if name == "category_root":
        return pc.replace_substring_regex(values, r"[./>|].*$", "")
    return values


def _codes(values: pa.ChunkedArray, vocabulary: Vocabulary, name: str) -> Ints:
    """Return the codes of values, shape (n,): each different value is looked up once."""
    found = values.combine_chunks().dictionary_encode()
    table = _codes_of_names(found.dictionary.to_pylist(), vocabulary[name], name)
    places = pc.fill_null(found.indices, len(table)).to_numpy()
    return np.asarray(np.append(table, np.int32(UNKNOWN))[places])


def _codes_of_names(names: list[str], known: dict[str, int], name: str) -> Ints:
    if name == "picture":
        codes = np.array([*known.values(), UNKNOWN], np.int32)
        return np.asarray(codes[image_codes.nearest(names, list(known))])
    hashes = COLUMNS[name].hashes if name in COLUMNS else 0
    shared = FIRST_CODE + len(known) + _hashed(names, hashes) if hashes else [UNKNOWN] * len(names)
    table = [known.get(name, other) for name, other in zip(names, shared, strict=True)]
    return np.array(table, np.int32)


def _words(events: pa.Table) -> Ints:
    """Return the codes of the first words of the text of each event, shape (n, WORDS)."""
    searched = pc.equal(events["event_type"], "search")  # says what was searched for, or nothing
    title = pc.if_else(searched, pa.scalar(None, pa.string()), events["title"])
    said = pc.coalesce(*(events[name] for name in TEXTS), title)
    text = said.combine_chunks().dictionary_encode()
    words = [each.lower().split()[:WORDS] for each in text.dictionary.to_pylist()]
    table = np.full((len(words) + 1, WORDS), PAD, np.int32)
    counts = np.array([*map(len, words), 0])
    # All at once, because hashing costs by the call more than by the word.
    hashed = _hashed([word for each in words for word in each], WORD_CODES)
    table[np.arange(WORDS) < counts[:, None]] = FIRST_CODE + hashed
    return np.asarray(table[pc.fill_null(text.indices, len(words)).to_numpy()])


def _hashed(values: list[str], hashes: int) -> npt.NDArray[Any]:
    """Return the hash of each value, from 0 to `hashes` - 1; the same on every machine."""
    hashed = pd.util.hash_array(np.array(values, dtype=object), categorize=False)
    return np.asarray(hashed % np.uint64(hashes), np.int32)
