"""The configuration file of a model, with bounds that are checked before anything is built."""

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
MAX_CONFIG_BYTES = 2**16
"""Maximum size of the configuration; usual is about a thousand bytes."""
MAX_VOCABULARY_BYTES = 64 * 2**20
"""Maximum size of the vocabulary: a few thousand values, of which product ids may be long."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Shares = Annotated[dict[str, Share], Field(max_length=len(HORIZONS_DAYS))]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Size(_Strict):
    """Bounds: twice the largest size of `models/sizes.py`, so that a larger one can be added."""

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
    """The checked content of CONFIG.

    Args:
        input_version: version of the codes, numeric inputs and features that the model reads.
        architecture: how the network is built.
        base_rates: horizon in days, as text → share of customers who purchased within it.
        thresholds: horizon → minimum probability that counts as a predicted purchase.
        blend: the blend with boosted trees; None: the network alone.
    """

    input_version: str = Field(max_length=32)
    architecture: _Architecture
    base_rates: Shares
    thresholds: Shares
    blend: _Blend | None = None


def read(contents: Mapping[str, bytes]) -> Config:
    """Return the configuration from the files of a model.

    Args:
        contents: file name → content.

    Raises:
        BadInput: the file is missing, of another input version or release, or out of bounds.
    """
    content = read_json(contents, CONFIG, MAX_CONFIG_BYTES)
    require_input_version(content)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
        )
        raise BadInput(
            f"{CONFIG} was written by another release: {problems}. Train a version with this "
            "release and promote it."
        ) from None


def require_input_version(content: object) -> None:
    """Require that a model reads the inputs that this release computes.

    Args:
        content: content of CONFIG.

    Raises:
        BadInput: the model reads inputs of another version.
    """
    version = content.get("input_version") if isinstance(content, dict) else None
    if version != INPUT_VERSION:
        raise BadInput(
            f"{CONFIG} has input version {str(version)[:32]}; this release computes "
            f"{INPUT_VERSION}: other features or event types. Train again with this release, and "
            "promote the new version."
        )


def read_served(contents: Mapping[str, bytes]) -> Config:
    """Return the configuration of a model to serve.

    Raises:
        BadInput: as `read`, or base rates or thresholds do not cover all horizons.
    """
    config = read(contents)
    horizons = {str(h) for h in HORIZONS_DAYS}
    if not config.base_rates.keys() == config.thresholds.keys() == horizons:
        raise BadInput(
            f"{CONFIG} needs base rates and thresholds of {', '.join(map(str, HORIZONS_DAYS))} "
            "days. Train a version with this release and promote it."
        )
    return config


def read_architecture(content: object) -> dict[str, Any]:
    """Return a checked architecture as JSON types.

    Raises:
        ValueError: a value is missing or out of bounds.
    """
    return _Architecture.model_validate(content).model_dump()


def read_vocabulary(contents: Mapping[str, bytes]) -> Vocabulary:
    """Return the vocabulary from the files of a model.

    Raises:
        BadInput: the file is missing or is no vocabulary.
    """
    vocabulary = read_json(contents, VOCABULARY, MAX_VOCABULARY_BYTES)
    if not isinstance(vocabulary, dict) or not all(map(_are_codes, vocabulary.values())):
        raise BadInput(f"{VOCABULARY} holds no codes of values. Restore it, or train again.")
    return vocabulary


def require_codes(vocabulary: Vocabulary) -> None:
    """Require that the network has every code of a vocabulary.

    Raises:
        BadInput: the columns are not those of this release, or a code has no embedding.
    """
    limits = {"event_type": len(EVENT_TYPES)} | {name: c.most for name, c in COLUMNS.items()}
    for name in limits.keys() | vocabulary.keys():
        codes = sorted(vocabulary.get(name, {}).values())
        expected = list(range(FIRST_CODE, FIRST_CODE + len(codes)))
        if name not in vocabulary or len(codes) > limits.get(name, -1) or codes != expected:
            raise BadInput(
                f"The codes of {name!r} in {VOCABULARY} are not those of this release. "
                "Train a version with this release and promote it."
            )
    try:
        image_codes.nearest_centre(list(vocabulary["picture"]), list(vocabulary["picture"]))
    except (ValueError, OverflowError):
        raise BadInput(f"The pictures in {VOCABULARY} cannot be read. Train again.") from None


def _are_codes(value: object) -> bool:
    return isinstance(value, dict) and all(type(code) is int for code in value.values())


def read_json(contents: Mapping[str, bytes], name: str, most: int) -> Any:  # noqa: ANN401 - JSON
    """Return the content of a JSON file from the files of a model.

    Args:
        contents: file name → content.
        name: name of the file.
        most: maximum size in bytes.

    Raises:
        BadInput: the file is missing, too large, or no JSON.
    """
    if name not in contents:
        raise BadInput(f"{name} is missing. Restore the files of one version, or train again.")
    if len(contents[name]) > most:
        raise BadInput(f"{name} has {len(contents[name])} bytes; the limit is {most}.")
    try:
        return json.loads(contents[name])
    except (ValueError, RecursionError):
        raise BadInput(f"{name} is no JSON. Restore it, or train again.") from None
