"""Save boosted trees as text, and check such a text by strict rules before LightGBM parses it.

LightGBM does not check the text: a wrong length crashes the process, and a cycle in a tree makes
prediction run for ever. So only the lines that predict are saved, and every line must have the form
that LightGBM writes for numeric features.
"""

import re
from itertools import pairwise
from math import isfinite

from lightgbm import Booster

from intent_tasks.errors import BadInput

END = "end of trees\n"
MAX_BYTES = 64 * 2**20
"""Maximum size of a text: twenty times the largest that training writes."""
MAX_TREES, MAX_LEAVES = 10_000, 1_000
"""Maximum numbers of trees, and of leaves of a tree: many times those of training."""

_HEADER = re.compile(
    r"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
    r"max_feature_idx=(?P<last>[0-9]{1,5})\nobjective=binary sigmoid:1\n"
    r"feature_names=(?P<names>[^\n]*)\nfeature_infos=(?P<infos>[^\n]*)\n"
    r"tree_sizes=(?P<sizes>[0-9 ]*)\n\n"
)
_INFO = re.compile(r"none|\[[-+.e0-9]{1,32}:[-+.e0-9]{1,32}\]")
_LISTS = {
    "split_feature": int,
    "split_gain": float,
    "threshold": float,
    "decision_type": int,
    "left_child": int,
    "right_child": int,
    "leaf_value": float,
    "leaf_weight": float,
    "leaf_count": int,
    "internal_value": float,
    "internal_weight": float,
    "internal_count": int,
}
"""Lists of a tree in order, and the type of their numbers."""
_TREE = re.compile(
    r"Tree=(?P<number>[0-9]{1,6})\nnum_leaves=(?P<leaves>[0-9]{1,6})\nnum_cat=0\n"
    + "".join(rf"{n}=(?P<{n}>[-+.e0-9{'inf' * (n == 'threshold')} ]*)\n" for n in _LISTS)
    + r"is_linear=0\nshrinkage=(?P<shrinkage>[-+.e0-9]{1,32})\n\n\n"
)
_DECISIONS = {0, 2, 4, 6, 8, 10}
"""Decision types of a numeric split, for each treatment of missing values."""


class _Unusable(ValueError):
    """The text breaks a rule."""


def text_of(booster: Booster) -> str:
    """Return the lines of a booster's text that predicting needs."""
    text: str = booster.model_to_string()
    return text[: text.index(END) + len(END)]


def read(name: str, content: bytes, features: int) -> Booster:
    """Return the booster of a text.

    Args:
        name: name of the file, for messages.
        content: content of the file.
        features: number of features that the booster must read.

    Raises:
        BadInput: LightGBM would not write such a text, or the booster reads other features.
    """
    try:
        text = _checked(content, features)
    except ValueError as error:
        reason = error if isinstance(error, _Unusable) else "a value is no number"
        raise BadInput(
            f"The boosted trees in {name} cannot be used: {reason}. "
            "Train a version with this release and promote it."
        ) from None
    return Booster(model_str=text)


def _checked(content: bytes, features: int) -> str:
    _require(len(content) <= MAX_BYTES, f"they have {len(content)} bytes")
    text = content.decode("ascii")
    header = _HEADER.match(text)
    if header is None:
        raise _Unusable("the header is not that of LightGBM for one binary outcome")
    count = int(header["last"]) + 1
    _require(count == features, f"they read {count} features, this release computes {features}")
    names = " ".join(f"Column_{n}" for n in range(features))
    _require(header["names"] == names, "their features have other names")
    infos = header["infos"].split(" ")
    _require(len(infos) == features and all(map(_INFO.fullmatch, infos)), "feature_infos is wrong")
    sizes = [int(size) for size in header["sizes"].split()]
    _require(len(sizes) <= MAX_TREES, f"there are {len(sizes)} trees")
    ends = [header.end()]
    for size in sizes:
        ends.append(ends[-1] + size)
    for number, (start, end) in enumerate(pairwise(ends)):
        _check_tree(number, text[start:end], features)
    _require(text[ends[-1] :].startswith(END), "their sizes do not add up to the text")
    return text[: ends[-1] + len(END)]


def _check_tree(number: int, text: str, features: int) -> None:
    tree = _TREE.fullmatch(text)
    if tree is None or int(tree["number"]) != number:
        raise _Unusable(f"tree {number} does not have the form that LightGBM writes")
    leaves = int(tree["leaves"])
    _require(1 <= leaves <= MAX_LEAVES, f"tree {number} has {leaves} leaves")
    lists = {name: list(map(kind, tree[name].split())) for name, kind in _LISTS.items()}
    for name, values in lists.items():
        expected = leaves if name.startswith("leaf_") else leaves - 1
        is_absent = leaves == 1 and name in ("leaf_weight", "leaf_count") and not values
        _require(
            len(values) == expected or is_absent, f"tree {number} has a wrong number of {name}"
        )
        usable = name == "threshold" or all(map(isfinite, values))  # inf splits off missing values
        _require(usable, f"tree {number} has a {name} that is not finite")
    _require(isfinite(float(tree["shrinkage"])), f"the shrinkage of tree {number} is not finite")
    _require(
        all(0 <= feature < features for feature in lists["split_feature"]),
        f"tree {number} reads a feature that does not exist",
    )
    _require(
        _DECISIONS.issuperset(lists["decision_type"]),
        f"tree {number} has a split that is not numeric",
    )
    _check_branches(number, leaves, lists["left_child"], lists["right_child"])


def _check_branches(number: int, leaves: int, left: list[int], right: list[int]) -> None:
    """Require that each split and leaf has one parent, and that parents come before children."""
    is_tree = sorted(left + right) == [*range(-leaves, 0), *range(1, leaves - 1)]
    ordered = all(child > n or child < 0 for side in (left, right) for n, child in enumerate(side))
    _require((is_tree and ordered) or leaves == 1, f"the branches of tree {number} form no tree")


def _require(fulfilled: bool, problem: str) -> None:
    if not fulfilled:
        raise _Unusable(problem)
