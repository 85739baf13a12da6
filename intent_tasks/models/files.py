"""A model as files: weights without code, and JSON for all that is needed to build the network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightgbm import Booster

from intent_tasks.core.encoding import Encoded
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.errors import BadInput
from intent_tasks.models.baselines import Trees
from intent_tasks.models.blend import Blend
from intent_tasks.models.hazards import probabilities
from intent_tasks.models.network import Architecture, Network, build

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocabulary.json", "weights.npz"
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
    config = {
        "architecture": model.architecture.as_json(),
        "base_rates": model.base_rates,
        "thresholds": model.thresholds,
    }
    if model.blend is not None:
        trees = model.blend.trees
        config["blend"] = {
            "share": model.blend.share,
            "shift": trees.shift,
            "boosters": len(trees.boosters),
        }
        for n, booster in enumerate(trees.boosters):
            booster.save_model(folder / BOOSTER.format(n))
    _write_json(folder / CONFIG, config)
    _write_json(folder / VOCABULARY, model.vocabulary)
    weights = model.network.everything.get_weights()
    np.savez(folder / WEIGHTS, **{f"w{n:03d}": values for n, values in enumerate(weights)})


def load(folder: Path) -> Model:
    """Build the network by our own code and give it the weights of the files.

    Raises:
        BadInput: weights, vocabulary and architecture are not of one model.
    """
    config = json.loads((folder / CONFIG).read_text())
    vocabulary = json.loads((folder / VOCABULARY).read_text())
    architecture = _architecture(folder, config["architecture"])
    if vocabulary_sizes(vocabulary) != architecture.vocabulary_sizes:
        raise BadInput(
            f"The vocabulary in {folder} is of another data set than the network beside it. "
            "Restore the files of one version, or train anew."
        )
    network = build(architecture)
    with np.load(folder / WEIGHTS, allow_pickle=False) as weights:
        values = [weights[name] for name in sorted(weights.files)]
    if [v.shape for v in values] != [w.shape for w in network.everything.get_weights()]:
        raise BadInput(
            f"The weights in {folder} are of another architecture than its {CONFIG} says. "
            "Restore the files of one version, or train anew."
        )
    network.everything.set_weights(values)
    rates, thresholds = config["base_rates"], config["thresholds"]
    return Model(architecture, vocabulary, network, rates, thresholds, _blend(folder, config))


def _blend(folder: Path, config: dict[str, Any]) -> Blend | None:
    found = config.get("blend")
    if found is None:
        return None
    files = [folder / BOOSTER.format(n) for n in range(found["boosters"])]
    boosters = tuple(Booster(model_file=file) for file in files)
    if any(one.num_feature() != len(FEATURES) for one in boosters):
        raise BadInput(
            f"The boosted trees in {folder} read other features than this release. "
            "Train a version with this one and promote it."
        )
    return Blend(found["share"], Trees(boosters, found["shift"]))


def _architecture(folder: Path, config: dict[str, Any]) -> Architecture:
    try:
        return Architecture.of_json(config)
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{folder / CONFIG} was written by another release: {error}. Train a version with this "
            "one and promote it."
        ) from None


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
