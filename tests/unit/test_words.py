"""Texts of a column that are one of a few words."""

import pyarrow as pa
import pytest

from intent_tasks.formats import words

BLANKS = ["", " ", "\t ", "\u00a0", "\u2009", "\u3000"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("text", ["null", "NULL", "nULL"])
def test_a_word_is_found_in_any_case_and_with_blanks_around(text, blank):
    texts = pa.array([text + blank, blank + text, f"{blank}{text}{blank}", f"x{blank}{text}"])
    assert words.match_words(texts, ["null"]).to_pylist() == [True, True, True, False]


def test_the_empty_word_stands_for_blanks_only():
    texts = pa.array([*BLANKS, "a", None])
    assert words.match_words(texts, ["", "null"]).to_pylist() == [True] * len(BLANKS) + [False] * 2
    assert not any(words.match_words(texts, ["null"]).to_pylist())


def test_other_texts_of_the_same_length_and_letter_are_no_words():
    texts = pa.array(["nula", "n", "nulls", "null", "éull", "ñ", "[]", "€"])
    found = words.match_words(texts, ["null", "[]"]).to_pylist()
    assert found == [False, False, False, True, False, False, True, False]


def test_a_part_of_an_array_is_read_from_where_it_begins():
    texts = pa.array(["null", "a", None, "null", "b"])
    assert words.match_words(texts.slice(1), ["null"]).to_pylist() == [False, False, True, False]
    assert words.match_words(texts.slice(1, 2), ["null"]).to_pylist() == [False, False]


@pytest.mark.parametrize("texts", [[], [None, None], [None]])
def test_an_array_without_texts_has_no_words(texts):
    found = words.match_words(pa.array(texts, pa.string()), ["", "null"])
    assert found.to_pylist() == [False] * len(texts)
