"""Train the network and the baselines on a window, and keep what they predict on later days."""

import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.core.metrics import best_threshold
from intent_tasks.core.segments import told_apart
from intent_tasks.core.slices import PARTS, Rows, Slices, Survey
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import postgres, snapshots
from intent_tasks.stores.privacy import erasure

if TYPE_CHECKING:
    from intent_tasks.models.baselines import Line, Predict
    from intent_tasks.models.pretrained import Pretrained
    from intent_tasks.models.sizes import Size

SLICE = "slice_"
"""Before the names of columns that rows of the test slice are told apart by."""
MODEL, TEST, LOSSES, CHECKPOINT = "model", "test.parquet", "losses.json", "checkpoint"


@dataclass
class _Part:
    """Features, labels and customers of a slice, for the baselines and the table of predictions."""

    features: list[npt.NDArray[np.float32]] = field(default_factory=list)
    first: list[npt.NDArray[np.int32]] = field(default_factory=list)
    customers: list[npt.NDArray[Any]] = field(default_factory=list)
    told_apart: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)

    def add(self, rows: Rows, vocabulary: Vocabulary) -> None:
        """Keep the rows of a bucket."""
        self.told_apart.append(told_apart(rows, vocabulary))
        self.features.append(rows.encoded.features)
        self.first.append(rows.first)
        self.customers.append(rows.encoded.events.keys[rows.encoded.customers])

    def purchased_within(self, horizon_days: int) -> npt.NDArray[np.bool_]:
        """Return the label of each row at a horizon, shape (n,)."""
        return np.concatenate(self.first) <= HORIZONS_DAYS.index(horizon_days)


def folder_of(settings: Settings, as_of_date: date) -> Path:
    """Return where a training run keeps its files."""
    return settings.home / "training" / str(as_of_date)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Train on the window of `as_of_date`; after a kill it goes on from the last checkpoint.

    Raises:
        BadInput: there is no window, or the settings name no network.
        Refused: too few customers purchased, the loss became no number, or somebody who was
            learned from was erased meanwhile.
    """
    window = window_of(settings, as_of_date)
    begun = time.monotonic()
    from intent_tasks.models import distribution
    from intent_tasks.models.sizes import size_of

    size, rank = size_of(settings.model_size, settings.model_encoder), distribution.rank()
    slices = slices_of(settings, window)
    parts = {name: _Part() for name in PARTS}
    pretrained = _pretrained(settings, window)
    if pretrained is None:
        slices.learn_vocabulary()
    else:
        slices.vocabulary = pretrained.vocabulary
    survey = slices.survey(lambda name, rows: parts[name].add(rows, slices.vocabulary))
    survey.require_buyers()
    temporary = folder_of(settings, as_of_date).with_suffix(f".part{rank or ''}")
    shutil.rmtree(temporary / MODEL, ignore_errors=True)
    (temporary / MODEL).mkdir(parents=True)
    (temporary / CHECKPOINT).mkdir(exist_ok=True)
    curve = _train(settings, size, slices, survey, parts, temporary, pretrained)
    shutil.rmtree(temporary / CHECKPOINT)
    if rank > 0:  # the first worker keeps what all have learned
        shutil.rmtree(temporary)
        return {"as_of_date": str(as_of_date), "worker": rank, "steps": curve[-1]["step"]}
    target = folder_of(settings, as_of_date)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    receipt = {
        "as_of_date": str(as_of_date),
        "path": str(target.relative_to(settings.home)),
        "digest": digest_of(target),
        "rows": survey.rows,
        "buyers": survey.buyers,
        "steps": curve[-1]["step"],
        "pretrained": pretrained and pretrained.digest,
        "seconds": round(time.monotonic() - begun, 1),
    }
    erasure.require_none_since_window(settings, as_of_date)
    with postgres.writing(settings, "train", as_of_date) as connection:
        postgres.record(connection, "train", as_of_date, receipt)
    return receipt


def window_of(settings: Settings, as_of_date: date) -> Receipt:
    """Return the receipt of the window of a day.

    Raises:
        BadInput: there is none.
    """
    window = postgres.receipt_of(settings, "window", as_of_date)
    if window is None:
        raise BadInput(f"Run `intent step window --as-of-date {as_of_date}` first.")
    return window


def pretrained_folder(settings: Settings, window: Receipt) -> Path:
    """Return where the weights that were pretrained on these very events of a window are kept."""
    name = f"{window['as_of_date']}-{window['snapshot_digest'][:12]}"
    return settings.home / "pretraining" / name


def _pretrained(settings: Settings, window: Receipt) -> "Pretrained | None":
    """Return the weights to begin with, pretrained now where they are not there."""
    if not settings.pretrained:
        return None
    from intent_tasks.models.pretrained import load
    from intent_tasks.steps import pretrain

    folder = pretrained_folder(settings, window)
    if not folder.exists():
        pretrain.run(settings, date.fromisoformat(window["as_of_date"]))
    return load(folder)


def digest_of(folder: Path) -> str:
    """Return one digest of all files that training wrote."""
    digest = hashlib.sha256()
    for path in sorted([*(folder / MODEL).iterdir(), folder / TEST]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def slices_of(settings: Settings, window: Receipt) -> Slices:
    """Return the slices of a window, which read the snapshots bucket by bucket."""
    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))

    def read(bucket: int) -> pa.Table:
        return snapshots.read(settings.home, settings.definition, last, [bucket], first)

    split = {name: [date.fromisoformat(day) for day in window["split"][name]] for name in PARTS}
    return Slices(read, settings.bucket_count, split, settings.definition, settings.seed)


def _train(
    settings: Settings,
    size: "Size",
    slices: Slices,
    survey: Survey,
    parts: dict[str, _Part],
    folder: Path,
    pretrained: "Pretrained | None",
) -> list[dict[str, float]]:
    from intent_tasks.models import distribution, files, network, training
    from intent_tasks.models.start import begin_with

    network.deterministic(settings.seed)
    sizes = vocabulary_sizes(slices.vocabulary)
    architecture = network.Architecture(settings.model_encoder, size, sizes, *survey.moments())
    known = _baselines(settings, parts)
    with distribution.strategy().scope():
        built = network.build(architecture)
        begin_with(built, known.logistic, np.concatenate(parts["train"].first))
        if pretrained is not None:
            pretrained.give(built, architecture, slices.vocabulary, slices.split["calibrate"][0])
        curve = training.fit(
            built,
            slices.source("train"),
            slices.source("calibrate"),
            training.Plan(survey.rows["train"], settings.seed),
            folder / CHECKPOINT,
            _say,
            teacher=known.lightgbm,
        )

    def logits(part: str) -> npt.NDArray[np.float32]:
        found = slices.source(part)(0, 0)
        return np.concatenate([training.logits_of(built, r.encoded) for r in found])

    raw, calibrate = logits("calibrate"), parts["calibrate"]
    training.calibrate(built, raw, np.concatenate(calibrate.first))
    calibrated = network.probabilities(logits("calibrate"))
    model = files.Model(
        architecture,
        slices.vocabulary,
        built,
        {str(h): float(calibrate.purchased_within(h).mean()) for h in HORIZONS_DAYS},
        {
            str(h): best_threshold(calibrated[:, n], calibrate.purchased_within(h))
            for n, h in enumerate(HORIZONS_DAYS)
        },
    )
    files.save(folder / MODEL, model)
    tested = network.probabilities(logits("test"))
    _write_test(folder / TEST, parts["test"], tested, known.of(parts["test"].features))
    (folder / LOSSES).write_text(json.dumps(curve))
    return curve


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class _Baselines:
    """What the network has to beat, and begins with."""

    recency_frequency: "Line"
    logistic: "Line"
    lightgbm: "Predict"

    def of(self, features: list[npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.floating]]:
        """Return the probabilities of each, shape (n,), from features part by part."""
        from intent_tasks.models.baselines import recency_frequency

        asked = np.concatenate(features)
        return {
            "recency_frequency": self.recency_frequency(recency_frequency(asked)),
            "logistic": self.logistic(asked),
            "lightgbm": self.lightgbm(asked),
        }


def _baselines(settings: Settings, parts: dict[str, _Part]) -> _Baselines:
    from intent_tasks.models import baselines

    train, later = (
        baselines.Labelled(np.concatenate(part.features), part.purchased_within(MAIN_HORIZON_DAYS))
        for part in (parts["train"], parts["calibrate"])
    )
    simple = baselines.Labelled(baselines.recency_frequency(train.features), train.outcomes)
    return _Baselines(
        baselines.logistic(simple),
        baselines.logistic(train),
        baselines.boosted_trees(train, later, settings.seed),
    )


def _write_test(
    path: Path,
    test: _Part,
    tested: npt.NDArray[np.float64],
    baselines: dict[str, npt.NDArray[np.floating]],
) -> None:
    """Keep labels and all predictions of the test slice, for the gate and the evidence."""
    columns: dict[str, Any] = {
        "customer_key": pa.array(np.concatenate(test.customers), pa.string())
    }
    for n, h in enumerate(HORIZONS_DAYS):
        columns[f"purchased_{h}d"] = test.purchased_within(h)
        columns[f"network_{h}d"] = tested[:, n]
    for name in test.told_apart[0]:
        columns[f"{SLICE}{name}"] = np.concatenate([part[name] for part in test.told_apart])
    for name, values in baselines.items():
        columns[f"{name}_{MAIN_HORIZON_DAYS}d"] = values
    pq.write_table(pa.table(columns), path)
