"""A model as files: weights without code, and JSON for all that is needed to build the network."""

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
"""A file, and the name of an array in it."""
BOOSTER = "trees_{}.txt"


@dataclass(frozen=True)
class Model:
    """A trained network with what it was trained for.

    Args:
        architecture: how the network is built.
        vocabulary: codes of the values it knows.
        network: with its weights.
        base_rates: horizon in days, as text → share of customers who purchased within it.
        thresholds: horizon → least probability that counts as a predicted purchase.
        blend: what is mixed with the network before it is said; None: nothing.
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
        """Return what the version says of n customers, shape (n, horizons).

        Args:
            logits: what its network says of them, shape (n, horizons).
            encoded: the customers.
        """
        if self.blend is None:
            return probabilities(logits)
        return self.blend.probabilities(logits, encoded.features)


def save(folder: Path, model: Model) -> None:
    """Write the files of a model."""
    facts: dict[str, Any] = {
        "input_version": INPUT_VERSION,
        "architecture": model.architecture.as_json(),
        "base_rates": model.base_rates,
        "thresholds": model.thresholds,
    }
    if model.blend is not None:
        trees = model.blend.trees
        facts["blend"] = {
            "share": model.blend.share,
            "shift": trees.shift,
            "boosters": len(trees.boosters),
        }
        for n, booster in enumerate(trees.boosters):
            (folder / BOOSTER.format(n)).write_text(booster_text.text_of(booster))
    _write_json(folder / CONFIG, facts)
    _write_json(folder / VOCABULARY, model.vocabulary)
    weights = model.network.everything.get_weights()
    np.savez(folder / WEIGHTS, **{WEIGHT.format(n): values for n, values in enumerate(weights)})


def load(folder: Path) -> Model:
    """Build the network by our own code and give it the weights of the files in a folder.

    Raises:
        BadInput: as `parse`.
    """
    return parse({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def parse(contents: Mapping[str, bytes]) -> Model:
    """Build the network by our own code and give it the weights among some files.

    Args:
        contents: of the files, by their name.

    Raises:
        BadInput: weights, vocabulary and architecture are not of one model.
    """
    found = config.read(contents)
    architecture = _architecture(found.architecture.model_dump())
    vocabulary = config.read_vocabulary(contents)
    if vocabulary_sizes(vocabulary) != architecture.vocabulary_sizes:
        raise BadInput(
            f"{VOCABULARY} is of another data set than the network beside it. "
            "Restore the files of one version, or train anew."
        )
    config.require_codes(vocabulary)
    values = _weights(contents)
    _require_weights(architecture.least_weights <= sum(each.size for each in values))
    network = build(architecture)
    _require_weights(
        [v.shape for v in values] == [w.shape for w in network.everything.get_weights()]
    )
    network.everything.set_weights(values)
    rates, thresholds = found.base_rates, found.thresholds
    return Model(architecture, vocabulary, network, rates, thresholds, _blend(contents, found))


def _weights(contents: Mapping[str, bytes]) -> list[npt.NDArray[Any]]:
    found = arrays.read(WEIGHTS, contents.get(WEIGHTS, b""))
    _require_weights(list(found) == [WEIGHT.format(n) for n in range(len(found))])
    arrays.require_finite(found, WEIGHTS)
    return list(found.values())


def _require_weights(fit: bool) -> None:
    if not fit:
        raise BadInput(
            f"{WEIGHTS} is of another architecture than {CONFIG} says. "
            "Restore the files of one version, or train anew."
        )


def _blend(contents: Mapping[str, bytes], found: config.Config) -> Blend | None:
    if found.blend is None:
        return None
    names = [BOOSTER.format(n) for n in range(found.blend.boosters)]
    boosters = [booster_text.read(n, contents.get(n, b""), len(FEATURES)) for n in names]
    return Blend(found.blend.share, Trees(tuple(boosters), found.blend.shift))


def _architecture(found: dict[str, Any]) -> Architecture:
    try:
        return Architecture.of_json(found)
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{CONFIG} was written by another release: {error}. Train a version with this "
            "one and promote it."
        ) from None


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
