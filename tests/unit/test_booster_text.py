"""Boosted trees as text: what LightGBM wrote predicts the same, anything else is refused."""

import numpy as np
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.models import baselines, booster_text

RNG = np.random.default_rng(5)
FEATURES = 6


@pytest.fixture(scope="module")
def booster():
    features = RNG.normal(size=(1200, FEATURES)).astype(np.float32)
    features[::7, 3] = np.nan
    features[:, 5] = 0
    odds = 2.5 * np.sign(features[:, 0] * features[:, 1]) - 1
    rows = baselines.LabeledFeatures(features, RNG.random(1200) < 1 / (1 + np.exp(-odds)))
    fast = {"learning_rate": 0.2, "min_data_in_leaf": 20, "feature_fraction": 1.0}
    return baselines.boosted_trees(rows, rows, 1, **fast).boosters[0]


@pytest.fixture(scope="module")
def text(booster):
    return booster_text.text_of(booster)


def read(text, features=FEATURES):
    return booster_text.read("trees_0.txt", text.encode(), features)


def test_it_predicts_the_same_bytes(booster, text):
    inputs = RNG.normal(size=(500, FEATURES))
    inputs[::5, 3] = np.nan
    expected = booster.predict(inputs, raw_score=True)
    assert read(text).predict(inputs, raw_score=True).tobytes() == expected.tobytes()
    whole = booster.model_to_string()
    assert read(whole).predict(inputs, raw_score=True).tobytes() == expected.tobytes()


def test_a_booster_that_only_predicts_the_base_rate_is_read():
    features = RNG.normal(size=(60, FEATURES))
    rows = baselines.LabeledFeatures(features, RNG.random(60) < 0.3)
    trees = baselines.boosted_trees(rows, rows, 1)
    parsed = read(booster_text.text_of(trees.boosters[0]))
    assert "num_leaves=1\n" in booster_text.text_of(trees.boosters[0])
    np.testing.assert_array_equal(parsed.predict(features), trees.boosters[0].predict(features))


def test_other_features_are_named_as_the_reason(text):
    with pytest.raises(BadInput, match="read 6 features, this release computes 7"):
        read(text, 7)


def field(name):
    """Return how to change the first value of a list of the first tree, sizes kept right."""

    def change(text, value):
        start = text.index("Tree=0")
        line = text.index(f"\n{name}=", start) + len(name) + 2
        end = min(p for p in (text.find(" ", line), text.find("\n", line)) if p > 0)
        changed = text[:line] + value + text[end:]
        sizes = text.index("tree_sizes=") + len("tree_sizes=")
        first = text[sizes:].split(" ", 1)[0]
        size = str(int(first) + len(value) - (end - line))
        return changed[:sizes] + size + changed[sizes + len(first) :]

    return change


@pytest.mark.parametrize(("name", "value"), [
    ("split_feature", "6"), ("split_feature", "-1"), ("split_feature", "999999999999"),
    ("left_child", "0"), ("left_child", "99"), ("left_child", "-99"), ("right_child", "0"),
    ("decision_type", "1"), ("decision_type", "12"), ("decision_type", "-2"),
    ("threshold", "nan"), ("threshold", "ninf"), ("threshold", ""), ("leaf_value", "inf"),
    ("leaf_value", "1 2"), ("num_leaves", "2000000"), ("num_leaves", "3"), ("num_leaves", "0"),
    ("num_cat", "1"), ("is_linear", "1"), ("shrinkage", "-"), ("leaf_count", "1.5"),
])  # fmt: skip
def test_a_tree_that_is_none_is_refused(text, name, value):
    with pytest.raises(BadInput, match=r"tree 0|no number"):
        read(field(name)(text, value))


@pytest.mark.parametrize(("old", "new"), [
    ("tree_sizes=", "tree_sizes=99999999 "), ("tree_sizes=", "tree_sizes=1 "),
    ("num_class=1", "num_class=3"), ("objective=binary sigmoid:1", "objective=custom"),
    ("Column_2", "Column_3"), ("version=v4", "version=v3"), ("label_index=0", "label_index=9"),
    ("end of trees", "end"), ("tree\n", "tree\naverage_output\n"), ("Tree=1", "Tree=2"),
    ("feature_infos=", "feature_infos=none "),
])  # fmt: skip
def test_a_text_around_the_trees_that_is_none_is_refused(text, old, new):
    with pytest.raises(BadInput, match=r"trees_0\.txt cannot be used"):
        read(text.replace(old, new, 1))


@pytest.mark.parametrize("content", [b"", b"tree\n", b"\xff" * 99, b"tree\nversion=v4\n" * 9999])
def test_what_is_no_text_of_trees_is_refused(content):
    with pytest.raises(BadInput):
        booster_text.read("trees_0.txt", content, FEATURES)


def test_any_change_of_a_text_is_refused_or_predicts(text):
    inputs, refused = RNG.normal(size=(20, FEATURES)), 0
    cut = text[: text.index("Tree=3")]
    sizes = cut[cut.index("tree_sizes=") :].split("\n", 1)[0]
    three = cut.replace(sizes, " ".join(sizes.split(" ")[:3])) + booster_text.END
    for _ in range(600):
        changed = bytearray(three.encode())
        for place in RNG.integers(0, len(changed), RNG.integers(1, 4)):
            changed[place] = RNG.choice(list(b"0123456789-. \n=eT"))
        try:
            found = booster_text.read("trees_0.txt", bytes(changed), FEATURES)
        except BadInput:
            refused += 1
        else:
            assert np.isfinite(found.predict(inputs, raw_score=True)).all()
    assert 100 < refused < 600
