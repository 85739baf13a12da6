"""What pretraining leaves, as files: weights without code, and JSON for what they mean."""

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
    """Weights that training may begin with.

    Args:
        folder: where they are.
        architecture: of the network they were learned in.
        vocabulary: codes of the values it knows.
        learned_until: last shop day of which anything was learned.
        embed: weights of the embedding of events.
        read: weights of the encoder.
        digest: one of the files that these were read from.
    """

    folder: Path
    architecture: Architecture
    vocabulary: Vocabulary
    learned_until: date
    embed: list[npt.NDArray[Any]]
    read: list[npt.NDArray[Any]]
    digest: str

    def give(
        self, network: Network, architecture: Architecture, vocabulary: Vocabulary, before: date
    ) -> None:
        """Let a network with fresh weights begin with these.

        Args:
            network: changed in place.
            architecture: it was built of.
            vocabulary: it reads events with.
            before: first day it is judged on: nothing of it may have been learned.

        Raises:
            BadInput: they are of another network, or know days that the network is judged on.
        """
        ours, theirs = self.architecture, architecture
        self._require("encoder", ours.encoder, theirs.encoder)
        self._require("size", ours.size, theirs.size)
        if self.vocabulary != vocabulary:
            self._require("vocabulary", *(_digest(each) for each in (self.vocabulary, vocabulary)))
        if self.learned_until >= before:
            raise BadInput(
                f"The weights in {self.folder} know events up to {self.learned_until}, and the "
                f"network is judged on days from {before} on. Pretrain as of an earlier day."
            )
        for part, weights in ((network.embed, self.embed), (network.read, self.read)):
            shapes = [[w.shape for w in each] for each in (weights, part.get_weights())]
            self._require("release", *shapes)
            part.set_weights(weights)

    def _require(self, name: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            raise BadInput(
                f"The weights in {self.folder} are of another {name} than the network to train: "
                f"{ours}, not {theirs}. Run `intent pretrain` again, or unset INTENT_PRETRAINED."
            )


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256(json.dumps(vocabulary, sort_keys=True).encode()).hexdigest()[:12]


def save(folder: Path, learned: Learned, learned_until: date) -> None:
    """Write the files into an empty folder.

    Args:
        folder: where they go.
        learned: what was learned.
        learned_until: last shop day of which anything was learned.
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
    weights = {f"{p}_{n:03d}": values for p, kept in parts.items() for n, values in enumerate(kept)}
    np.savez(folder / WEIGHTS, allow_pickle=False, **weights)


def load(folder: Path) -> Pretrained:
    """Read what `save` wrote.

    Raises:
        BadInput: the folder holds no such files, or those of another release.
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
    known = (architecture, vocabulary, learned_until, embed, read)
    return Pretrained(folder, *known, _digest_of(contents))


def _part(weights: arrays.Arrays, name: str) -> list[npt.NDArray[Any]]:
    kept = {key: values for key, values in weights.items() if key.startswith(f"{name}_")}
    arrays.require_finite(kept, WEIGHTS)
    return list(kept.values())


def digest(folder: Path) -> str:
    """Return one digest of the files."""
    return _digest_of(_contents(folder))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _digest_of(contents: Mapping[str, bytes]) -> str:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
