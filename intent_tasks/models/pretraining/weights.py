"""Save pretrained weights as files, and load them: weights without code, and JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.core.vocabulary import Vocabulary
from intent_tasks.errors import BadInput
from intent_tasks.models import arrays
from intent_tasks.models.config import (
    CONFIG,
    VOCABULARY,
    read_architecture,
    read_vocabulary,
    require_input_version,
)
from intent_tasks.models.model_io import WEIGHTS
from intent_tasks.models.network import Architecture, Network
from intent_tasks.models.pretraining.train import Learned

PRODUCTS = "products.json"


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights from which training can start.

    Args:
        folder: their folder.
        architecture: architecture of the pretrained network.
        vocabulary: codes of the values.
        learned_until: last shop day whose events were used.
        embed: weights of the event embedding.
        read: weights of the encoder.
        digest: checksum of the files.
    """

    folder: Path
    architecture: Architecture
    vocabulary: Vocabulary
    learned_until: date
    embed: list[npt.NDArray[Any]]
    read: list[npt.NDArray[Any]]
    digest: str

    def initialize(
        self,
        network: Network,
        architecture: Architecture,
        vocabulary: Vocabulary,
        first_unseen: date,
    ) -> None:
        """Set the weights of the event embedding and the encoder of a new network.

        Args:
            network: changed in place.
            architecture: architecture of the network.
            vocabulary: vocabulary of the network.
            first_unseen: first day on which the network is judged; pretraining must not have used
                it.

        Raises:
            BadInput: the weights belong to another network, or learned from that day.
        """
        self._require("encoder", self.architecture.encoder, architecture.encoder)
        self._require("size", self.architecture.size, architecture.size)
        if self.vocabulary != vocabulary:
            self._require("vocabulary", *(_digest(each) for each in (self.vocabulary, vocabulary)))
        if self.learned_until >= first_unseen:
            raise BadInput(
                f"The weights in {self.folder} learned from events until {self.learned_until}, but "
                f"the network is judged from {first_unseen} on. Pretrain as of an earlier day."
            )
        for part, weights in ((network.embed, self.embed), (network.read, self.read)):
            shapes = [[w.shape for w in each] for each in (weights, part.get_weights())]
            self._require("release", *shapes)
            part.set_weights(weights)

    def _require(self, name: str, pretrained: object, needed: object) -> None:
        if pretrained != needed:
            raise BadInput(
                f"The weights in {self.folder} have another {name} than the network to train: "
                f"{pretrained}, not {needed}. Run `intent pretrain` again, or unset "
                "INTENT_PRETRAINED."
            )


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256(json.dumps(vocabulary, sort_keys=True).encode()).hexdigest()[:12]


def save(folder: Path, learned: Learned, learned_until: date) -> None:
    """Write the files into an empty folder.

    Args:
        folder: target.
        learned: result of pretraining.
        learned_until: last shop day whose events were used.
    """
    architecture, learner, ranker = learned.architecture, learned.learner, learned.ranker
    config = {
        "input_version": INPUT_VERSION,
        "architecture": architecture.as_json(),
        "learned_until": str(learned_until),
    }
    for name, content in (
        (CONFIG, config),
        (VOCABULARY, learned.vocabulary),
        (PRODUCTS, learned.products),
    ):
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    parts = {
        "embed": learner.network.embed.get_weights(),
        "read": learner.network.read.get_weights(),
        "following": learner.heads.following.get_weights(),
        "ranking_embed": ranker.network.embed.get_weights(),
        "ranking_read": ranker.network.read.get_weights(),
        "products": ranker.heads.products.get_weights(),
    }
    weights = {
        f"{part}_{n:03d}": values
        for part, values_of in parts.items()
        for n, values in enumerate(values_of)
    }
    np.savez(folder / WEIGHTS, allow_pickle=False, **weights)


def load(folder: Path) -> Pretrained:
    """Load the files that `save` wrote.

    Raises:
        BadInput: files are missing, broken or of another release.
    """
    try:
        contents = _contents(folder)
        config = json.loads(contents[CONFIG])
        require_input_version(config)
        vocabulary = read_vocabulary(contents)
        architecture = Architecture.of_json(read_architecture(config["architecture"]))
        learned_until = date.fromisoformat(config["learned_until"])
        weights = arrays.read(WEIGHTS, contents[WEIGHTS])
        embed, read = (_part(weights, name) for name in ("embed", "read"))
    except (OSError, KeyError, TypeError, ValueError, RecursionError, BadInput) as error:
        raise BadInput(
            f"{folder} does not hold what `intent pretrain` of this release writes: {error}. "
            "Run it again, or unset INTENT_PRETRAINED."
        ) from None
    digest = _digest_of(contents)
    return Pretrained(folder, architecture, vocabulary, learned_until, embed, read, digest)


def _part(weights: arrays.Arrays, name: str) -> list[npt.NDArray[Any]]:
    part = {key: values for key, values in weights.items() if key.startswith(f"{name}_")}
    arrays.require_finite(part, WEIGHTS)
    return list(part.values())


def digest(folder: Path) -> str:
    """Return one checksum of all files."""
    return _digest_of(_contents(folder))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _digest_of(contents: Mapping[str, bytes]) -> str:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
