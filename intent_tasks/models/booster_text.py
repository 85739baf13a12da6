"""Boosted trees as text, read by strict rules before LightGBM sees them.

LightGBM believes what such a text says: a wrong length ends the process, and a tree whose branches
form a circle never answers. So only the part that predicts is kept, and each of its lines must be
what LightGBM itself writes for a model of numbers.
"""

import re
from itertools import pairwise
from math import isfinite

from lightgbm import Booster

from intent_tasks.errors import BadInput

END = "end of trees\n"
MOST_BYTES = 64 * 2**20
"""Of a text: twenty times what training writes at most."""
MOST_TREES, MOST_LEAVES = 10_000, 1_000
"""Many times what training makes."""

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
"""Lists of a tree in their order, and what their numbers are."""
_TREE = re.compile(
    r"Tree=(?P<number>[0-9]{1,6})\nnum_leaves=(?P<leaves>[0-9]{1,6})\nnum_cat=0\n"
    + "".join(rf"{n}=(?P<{n}>[-+.e0-9{'inf' * (n == 'threshold')} ]*)\n" for n in _LISTS)
    + r"is_linear=0\nshrinkage=(?P<shrinkage>[-+.e0-9]{1,32})\n\n\n"
)
_DECISIONS = {0, 2, 4, 6, 8, 10}
"""A number compared with a threshold: where it goes when missing, and what counts as missing."""


class _Unusable(ValueError):
    """A rule that a text breaks."""


def text_of(booster: Booster) -> str:
    """Return the part of a booster's text that predicts."""
    text: str = booster.model_to_string()
    return text[: text.index(END) + len(END)]


def read(name: str, content: bytes, features: int) -> Booster:
    """Return the booster of a text.

    Args:
        name: of the file, for messages.
        content: of the file.
        features: how many the booster must read.

    Raises:
        BadInput: it is no text that LightGBM would have written, or reads other features.
    """
    try:
        text = _checked(content, features)
    except ValueError as error:
        reason = error if isinstance(error, _Unusable) else "it holds what is no number"
        raise BadInput(
            f"The boosted trees in {name} cannot be used: {reason}. "
            "Train a version with this release and promote it."
        ) from None
    return Booster(model_str=text)


def _checked(content: bytes, features: int) -> str:
    _require(len(content) <= MOST_BYTES, f"they have {len(content)} bytes")
    text = content.decode("ascii")
    header = _HEADER.match(text)
    if header is None:
        raise _Unusable("their first lines are not those of LightGBM for one binary outcome")
    _require(int(header["last"]) == features - 1, "they read other features than this release")
    names = " ".join(f"Column_{n}" for n in range(features))
    _require(header["names"] == names, "their features have other names")
    infos = header["infos"].split(" ")
    _require(len(infos) == features and all(map(_INFO.fullmatch, infos)), "feature_infos is wrong")
    sizes = [int(size) for size in header["sizes"].split()]
    _require(len(sizes) <= MOST_TREES, f"there are {len(sizes)} trees")
    places = [header.end()]
    for size in sizes:
        places.append(places[-1] + size)
    for number, (start, end) in enumerate(pairwise(places)):
        _check_tree(number, text[start:end], features)
    _require(text[places[-1] :].startswith(END), "their sizes do not add up")
    return text[: places[-1] + len(END)]


def _check_tree(number: int, text: str, features: int) -> None:
    found = _TREE.fullmatch(text)
    if found is None or int(found["number"]) != number:
        raise _Unusable(f"tree {number} is not written as LightGBM writes it")
    leaves = int(found["leaves"])
    _require(1 <= leaves <= MOST_LEAVES, f"tree {number} has {leaves} leaves")
    lists = {name: list(map(kind, found[name].split())) for name, kind in _LISTS.items()}
    for name, values in lists.items():
        expected = leaves if name.startswith("leaf_") else leaves - 1
        is_absent = leaves == 1 and name in ("leaf_weight", "leaf_count") and not values
        _require(
            len(values) == expected or is_absent, f"tree {number} has another number of {name}"
        )
        usable = name == "threshold" or all(map(isfinite, values))  # inf: only what is missing
        _require(usable, f"tree {number} has a {name} that is not finite")
    _require(isfinite(float(found["shrinkage"])), f"tree {number} shrinks by no number")
    _require(
        all(0 <= feature < features for feature in lists["split_feature"]),
        f"tree {number} asks for a feature that does not exist",
    )
    _require(_DECISIONS.issuperset(lists["decision_type"]), f"tree {number} decides by no number")
    _check_branches(number, leaves, lists["left_child"], lists["right_child"])


def _check_branches(number: int, leaves: int, left: list[int], right: list[int]) -> None:
    """Require that every split and every leaf has one way to it, and splits come in their order."""
    is_tree = sorted(left + right) == [*range(-leaves, 0), *range(1, leaves - 1)]
    onward = all(child > n or child < 0 for side in (left, right) for n, child in enumerate(side))
    _require((is_tree and onward) or leaves == 1, f"the branches of tree {number} form no tree")


def _require(kept: bool, broken: str) -> None:
    if not kept:
        raise _Unusable(broken)
