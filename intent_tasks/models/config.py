"""The configuration of a model's files, with bounds: read before anything is built by it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intent_tasks.core import image_codes
from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.core.vocabulary import COLUMNS, FIRST_CODE, Vocabulary
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS
from intent_tasks.errors import BadInput

CONFIG, VOCABULARY = "config.json", "vocabulary.json"
MOST_CONFIG_BYTES = 2**16
"""The configuration has about a thousand."""
MOST_VOCABULARY_BYTES = 64 * 2**20
"""A few thousand names; those of products may be long."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Shares = Annotated[dict[str, Share], Field(max_length=len(HORIZONS_DAYS))]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Size(_Strict):
    """Twice the largest size of `models/sizes.py`, so that a larger one can still come."""

    events: int = Field(ge=1, le=4096)
    steps: int = Field(ge=1, le=1024)
    width: int = Field(ge=1, le=6144)
    depth: int = Field(ge=1, le=40)


class _Architecture(_Strict):
    encoder: str = Field(max_length=32)
    size: _Size
    vocabulary_sizes: dict[str, Annotated[int, Field(ge=1, le=100_000)]] = Field(max_length=64)
    mixed_precision: bool


class _Blend(_Strict):
    share: Share
    shift: float = Field(ge=-100, le=100, allow_inf_nan=False)
    boosters: int = Field(ge=0, le=16)


class Config(_Strict):
    """What a model's files say of it, checked.

    Args:
        input_version: of the codes, numeric inputs and features that the model reads.
        architecture: how the network is built, as JSON can hold it.
        base_rates: horizon in days, as text → share of customers who purchased within it.
        thresholds: horizon → least probability that counts as a predicted purchase.
        blend: what is mixed with the network; None: nothing.
    """

    input_version: str = Field(max_length=32)
    architecture: _Architecture
    base_rates: Shares
    thresholds: Shares
    blend: _Blend | None = None


def read(contents: Mapping[str, bytes]) -> Config:
    """Return the configuration among the files of a model.

    Raises:
        BadInput: it is missing, of another input version or release, or out of bounds.
    """
    content = read_json(contents, CONFIG, MOST_CONFIG_BYTES)
    require_input_version(content)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
        )
        raise BadInput(
            f"{CONFIG} was written by another release: {problems}. Train a version with this "
            "one and promote it."
        ) from None


def require_input_version(content: object) -> None:
    """Require that a model reads what this release computes.

    Args:
        content: of CONFIG.

    Raises:
        BadInput: it reads inputs of another version.
    """
    version = content.get("input_version") if isinstance(content, dict) else None
    if version != INPUT_VERSION:
        raise BadInput(
            f"{CONFIG} has input version {str(version)[:32]}; this release computes "
            f"{INPUT_VERSION}: other features or event types. Train again with this release, and "
            "promote the new version."
        )


def read_served(contents: Mapping[str, bytes]) -> Config:
    """Return the configuration of a model that is to be served.

    Raises:
        BadInput: as `read`, or it does not say how often each horizon came true.
    """
    found = read(contents)
    horizons = {str(h) for h in HORIZONS_DAYS}
    if not found.base_rates.keys() == found.thresholds.keys() == horizons:
        raise BadInput(
            f"{CONFIG} needs base rates and thresholds of {', '.join(map(str, HORIZONS_DAYS))} "
            "days. Train a version with this release and promote it."
        )
    return found


def read_architecture(found: object) -> dict[str, Any]:
    """Return how a network is built, as JSON can hold it, once it is within the bounds.

    Raises:
        ValueError: it is not.
    """
    return _Architecture.model_validate(found).model_dump()


def read_vocabulary(contents: Mapping[str, bytes]) -> Vocabulary:
    """Return the vocabulary among the files of a model.

    Raises:
        BadInput: it is missing, or no vocabulary of this release.
    """
    found = read_json(contents, VOCABULARY, MOST_VOCABULARY_BYTES)
    if not isinstance(found, dict) or not all(map(_are_codes, found.values())):
        raise BadInput(f"{VOCABULARY} holds no codes of values. Restore it, or train anew.")
    return found


def require_codes(vocabulary: Vocabulary) -> None:
    """Require that every code of a vocabulary is one that the network has.

    Raises:
        BadInput: the columns are not those of this release, or a code is of nothing.
    """
    most = {"event_type": len(EVENT_TYPES)} | {name: c.most for name, c in COLUMNS.items()}
    for name in most.keys() | vocabulary.keys():
        codes = sorted(vocabulary.get(name, {}).values())
        expected = list(range(FIRST_CODE, FIRST_CODE + len(codes)))
        if name not in vocabulary or len(codes) > most.get(name, -1) or codes != expected:
            raise BadInput(
                f"The codes of {name!r} in {VOCABULARY} are not those of this release. "
                "Train a version with it and promote it."
            )
    try:
        image_codes.nearest_centre(list(vocabulary["picture"]), list(vocabulary["picture"]))
    except (ValueError, OverflowError):
        raise BadInput(f"The pictures in {VOCABULARY} cannot be read. Train anew.") from None


def _are_codes(found: object) -> bool:
    return isinstance(found, dict) and all(type(code) is int for code in found.values())


def read_json(contents: Mapping[str, bytes], name: str, most: int) -> Any:  # noqa: ANN401 - JSON
    """Return what a JSON file among the files of a model holds.

    Raises:
        BadInput: it is missing, too large, or no JSON.
    """
    if name not in contents:
        raise BadInput(f"{name} is missing. Restore the files of one version, or train anew.")
    if len(contents[name]) > most:
        raise BadInput(f"{name} has {len(contents[name])} bytes; at most {most} are read.")
    try:
        return json.loads(contents[name])
    except (ValueError, RecursionError):
        raise BadInput(f"{name} is no JSON. Restore it, or train anew.") from None
