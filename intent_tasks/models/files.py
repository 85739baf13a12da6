"""A model as files: weights without code, and JSON for all that is needed to build the network."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intent_tasks.core.encoding import Vocabulary
from intent_tasks.models.network import Architecture, Network, build

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocabulary.json", "weights.npz"


@dataclass(frozen=True)
class Model:
    """A trained network with what it was trained for.

    Args:
        architecture: how the network is built.
        vocabulary: codes of the values it knows.
        network: with its weights.
        base_rates: horizon in days, as text → share of customers who purchased within it.
        thresholds: horizon → least probability that counts as a predicted purchase.
    """

    architecture: Architecture
    vocabulary: Vocabulary
    network: Network
    base_rates: dict[str, float]
    thresholds: dict[str, float]


def save(folder: Path, model: Model) -> None:
    """Write the files of a model."""
    config = {
        "architecture": model.architecture.as_json(),
        "base_rates": model.base_rates,
        "thresholds": model.thresholds,
    }
    _write_json(folder / CONFIG, config)
    _write_json(folder / VOCABULARY, model.vocabulary)
    weights = model.network.whole.get_weights()
    np.savez(folder / WEIGHTS, **{f"w{n:03d}": values for n, values in enumerate(weights)})


def load(folder: Path) -> Model:
    """Build the network by our own code and give it the weights of the files."""
    config = json.loads((folder / CONFIG).read_text())
    architecture = Architecture(**config["architecture"])
    network = build(architecture)
    with np.load(folder / WEIGHTS, allow_pickle=False) as weights:
        network.whole.set_weights([weights[name] for name in sorted(weights.files)])
    vocabulary = json.loads((folder / VOCABULARY).read_text())
    return Model(architecture, vocabulary, network, config["base_rates"], config["thresholds"])


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
