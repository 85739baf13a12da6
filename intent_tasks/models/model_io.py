"""Save a model as files, and load it: weights without code, and JSON to build the network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.encoding import Encoded
from intent_tasks.core.features import FEATURES
from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.errors import BadInput
from intent_tasks.models import arrays, booster_text, config
from intent_tasks.models.baselines import Trees
from intent_tasks.models.blend import Blend
from intent_tasks.models.config import CONFIG, VOCABULARY
from intent_tasks.models.hazards import probabilities
from intent_tasks.models.network import Architecture, Network, build

WEIGHTS, WEIGHT = "weights.npz", "w{:03d}"
"""File of the weights, and name of each array in it."""
BOOSTER = "trees_{}.txt"
"""File of each booster."""


@dataclass(frozen=True)
class Model:
    """A trained network with all that predicting needs.

    Args:
        architecture: how the network is built.
        vocabulary: codes of the values.
        network: trained.
        base_rates: horizon in days, as text → share of customers who purchased within it.
        thresholds: horizon → minimum probability that counts as a predicted purchase.
        blend: boosted trees that are blended with the network; None: the network alone.
    """

    architecture: Architecture
    vocabulary: Vocabulary
    network: Network
    base_rates: dict[str, float]
    thresholds: dict[str, float]
    blend: Blend | None = None

    def probabilities(
        self, logits: npt.NDArray[np.floating], encoded: Encoded
    ) -> npt.NDArray[np.float64]:
        """Return the predictions of the model for n customers, shape (n, horizons).

        Args:
            logits: logits of the hazards, from the network, shape (n, horizons).
            encoded: the customers.
        """
        if self.blend is None:
            return probabilities(logits)
        return self.blend.probabilities(logits, encoded.features)


def save(folder: Path, model: Model) -> None:
    """Write the files of a model."""
    content: dict[str, Any] = {
        "input_version": INPUT_VERSION,
        "architecture": model.architecture.as_json(),
        "base_rates": model.base_rates,
        "thresholds": model.thresholds,
    }
    if model.blend is not None:
        trees = model.blend.trees
        content["blend"] = {
            "share": model.blend.share,
            "shift": trees.shift,
            "boosters": len(trees.boosters),
        }
        for n, booster in enumerate(trees.boosters):
            (folder / BOOSTER.format(n)).write_text(booster_text.text_of(booster))
    _write_json(folder / CONFIG, content)
    _write_json(folder / VOCABULARY, model.vocabulary)
    weights = model.network.everything.get_weights()
    np.savez(folder / WEIGHTS, **{WEIGHT.format(n): values for n, values in enumerate(weights)})


def load(folder: Path) -> Model:
    """Load the model from a folder: our own code builds the network, the files hold its weights.

    Raises:
        BadInput: as `parse`.
    """
    return parse({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def parse(contents: Mapping[str, bytes]) -> Model:
    """Build the model from the contents of its files.

    Args:
        contents: file name → content.

    Raises:
        BadInput: weights, vocabulary and architecture do not belong to one model.
    """
    settings = config.read(contents)
    architecture = _architecture(settings.architecture.model_dump())
    vocabulary = config.read_vocabulary(contents)
    if vocabulary_sizes(vocabulary) != architecture.vocabulary_sizes:
        raise BadInput(
            f"{VOCABULARY} belongs to another data set than the network. "
            "Restore the files of one version, or train again."
        )
    config.require_codes(vocabulary)
    weights = _weights(contents)
    # Before the network is built: a small file must not make us build a huge network.
    _require_weights(architecture.min_weights <= sum(each.size for each in weights))
    network = build(architecture)
    shapes = [each.shape for each in network.everything.get_weights()]
    _require_weights([each.shape for each in weights] == shapes)
    network.everything.set_weights(weights)
    rates, thresholds = settings.base_rates, settings.thresholds
    return Model(architecture, vocabulary, network, rates, thresholds, _blend(contents, settings))


def _weights(contents: Mapping[str, bytes]) -> list[npt.NDArray[Any]]:
    weights = arrays.read(WEIGHTS, contents.get(WEIGHTS, b""))
    _require_weights(list(weights) == [WEIGHT.format(n) for n in range(len(weights))])
    arrays.require_finite(weights, WEIGHTS)
    return list(weights.values())


def _require_weights(match: bool) -> None:
    if not match:
        raise BadInput(
            f"{WEIGHTS} belongs to another architecture than {CONFIG}. "
            "Restore the files of one version, or train again."
        )


def _blend(contents: Mapping[str, bytes], settings: config.Config) -> Blend | None:
    if settings.blend is None:
        return None
    names = [BOOSTER.format(n) for n in range(settings.blend.boosters)]
    boosters = [booster_text.read(n, contents.get(n, b""), len(FEATURES)) for n in names]
    return Blend(settings.blend.share, Trees(tuple(boosters), settings.blend.shift))


def _architecture(content: dict[str, Any]) -> Architecture:
    try:
        return Architecture.of_json(content)
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{CONFIG} was written by another release: {error}. Train a version with this "
            "release and promote it."
        ) from None


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
