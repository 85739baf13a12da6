"""Train the network and the baselines on a window, and keep what they predict on later days."""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.core.anchors import first_purchases
from intent_tasks.core.encoding import (
    Encoded,
    Vocabulary,
    encode,
    history,
    join,
    learn_vocabulary,
    vocabulary_sizes,
)
from intent_tasks.core.metrics import best_threshold
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import postgres, snapshots

LEAST_BUYERS = 30
"""Purchases in a slice below which nothing can be learned or told."""

PARTS = ("train", "calibrate", "test")
MODEL, TEST, LOSSES = "model", "test.parquet", "losses.json"


@dataclass(frozen=True)
class _Slice:
    """Rows of several anchors: inputs, horizon of the first purchase, and the customer_key."""

    inputs: dict[str, npt.NDArray[Any]]
    first: npt.NDArray[np.int32]
    customers: npt.NDArray[Any]

    def purchased_within(self, horizon_days: int) -> npt.NDArray[np.bool_]:
        """Return the label of each row at a horizon, shape (n,)."""
        return np.asarray(self.first <= HORIZONS_DAYS.index(horizon_days))


def folder_of(settings: Settings, as_of_date: date) -> Path:
    """Return where a training run keeps its files."""
    return settings.home / "training" / str(as_of_date)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Train on the window of `as_of_date`.

    Raises:
        BadInput: there is no window.
        Refused: too few customers purchased.
    """
    window = postgres.receipt_of(settings, "window", as_of_date)
    if window is None:
        raise BadInput(f"Run `intent step window --as-of-date {as_of_date}` first.")
    begun = time.monotonic()
    vocabulary, slices = _slices(settings, window)
    temporary = folder_of(settings, as_of_date).with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / MODEL).mkdir(parents=True)
    losses = _train(settings, vocabulary, slices, temporary)
    target = folder_of(settings, as_of_date)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    receipt = {
        "as_of_date": str(as_of_date),
        "path": str(target.relative_to(settings.home)),
        "digest": digest_of(target),
        "rows": {name: len(part.first) for name, part in slices.items()},
        "buyers": {name: int(part.purchased_within(14).sum()) for name, part in slices.items()},
        "epochs": len(losses),
        "seconds": round(time.monotonic() - begun, 1),
    }
    with postgres.writing(settings, "train", as_of_date) as connection:
        postgres.record(connection, "train", as_of_date, receipt)
    return receipt


def digest_of(folder: Path) -> str:
    """Return one digest of all files that training wrote."""
    digest = hashlib.sha256()
    for path in sorted([*(folder / MODEL).iterdir(), folder / TEST]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _slices(settings: Settings, window: Receipt) -> tuple[Vocabulary, dict[str, _Slice]]:
    from intent_tasks.models.network import SIZES

    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))
    buckets = range(settings.bucket_count)
    events = snapshots.read(settings.home, settings.definition, last, buckets, first)
    vocabulary = learn_vocabulary(_before(events, settings, window["split"]["train"][-1]))
    everything = history(events, vocabulary)
    length = SIZES[settings.model_size][0]
    slices = {}
    for name in PARTS:
        anchors = [date.fromisoformat(day) for day in window["split"][name]]
        parts = [encode(everything, settings.definition, day, length) for day in anchors]
        labels = [
            first_purchases(everything, part.customers, day, settings.definition)
            for part, day in zip(parts, anchors, strict=True)
        ]
        slices[name] = _slice(everything.keys, parts, labels)
        _require_buyers(name, slices[name])
    return vocabulary, slices


def _before(events: pa.Table, settings: Settings, day: str) -> pa.Table:
    """Return what had arrived by a day, so that the vocabulary knows nothing of later."""
    end = settings.definition.day_end(date.fromisoformat(day))
    return events.filter(pa.compute.less(events["ingested_at"], pa.scalar(end, snapshots.INSTANT)))


def _slice(
    keys: npt.NDArray[Any], parts: list[Encoded], labels: list[npt.NDArray[np.int32]]
) -> _Slice:
    customers = keys[np.concatenate([part.customers for part in parts])]
    return _Slice(join(parts), np.concatenate(labels), customers)


def _require_buyers(name: str, part: _Slice) -> None:
    buyers = int(part.purchased_within(max(HORIZONS_DAYS)).sum())
    if buyers < LEAST_BUYERS:
        raise Refused(
            f"Only {buyers} purchases follow the days to {name}; {LEAST_BUYERS} are needed. "
            "Train later, or raise INTENT_TRAINING_DAYS."
        )


def _train(
    settings: Settings, vocabulary: Vocabulary, slices: dict[str, _Slice], folder: Path
) -> list[float]:
    from intent_tasks.models import files, network, training

    network.deterministic(settings.seed)
    train, calibrate, test = (slices[name] for name in PARTS)
    length, width = network.SIZES[settings.model_size]
    statics = train.inputs["statics"]
    architecture = network.Architecture(
        length,
        width,
        vocabulary_sizes(vocabulary),
        [float(v) for v in statics.mean(axis=0)],
        [float(v) for v in statics.std(axis=0) + 1e-3],
    )
    built = network.build(architecture)
    losses = training.fit(
        built, train.inputs, train.first, (calibrate.inputs, calibrate.first), settings.seed
    )
    if not np.isfinite(losses).all():
        raise Refused(
            f"The loss of the network became {losses[-1]} while it was trained: nothing is kept. "
            "Look for absurd prices or times in the events of the window."
        )
    training.calibrate(built, calibrate.inputs, calibrate.first)
    calibrated = network.probabilities(training.logits_of(built, calibrate.inputs))
    model = files.Model(
        architecture,
        vocabulary,
        built,
        {str(h): float(calibrate.purchased_within(h).mean()) for h in HORIZONS_DAYS},
        {
            str(h): best_threshold(calibrated[:, n], calibrate.purchased_within(h))
            for n, h in enumerate(HORIZONS_DAYS)
        },
    )
    files.save(folder / MODEL, model)
    tested = network.probabilities(training.logits_of(built, test.inputs))
    _write_test(folder / TEST, test, tested, _baselines(settings, train, test))
    (folder / LOSSES).write_text(json.dumps(losses))
    return losses


def _baselines(
    settings: Settings, train: _Slice, test: _Slice
) -> dict[str, npt.NDArray[np.floating]]:
    from intent_tasks.models import baselines

    features, asked = train.inputs["statics"], test.inputs["statics"]
    outcomes = train.purchased_within(MAIN_HORIZON_DAYS)
    return {
        "logistic": baselines.logistic(features, outcomes, asked),
        "lightgbm": baselines.boosted_trees(features, outcomes, asked, settings.seed),
    }


def _write_test(
    path: Path,
    test: _Slice,
    tested: npt.NDArray[np.float64],
    baselines: dict[str, npt.NDArray[np.floating]],
) -> None:
    """Keep labels and all predictions of the test slice, for the gate and the evidence."""
    columns: dict[str, Any] = {"customer_key": pa.array(test.customers, pa.string())}
    for n, h in enumerate(HORIZONS_DAYS):
        columns[f"purchased_{h}d"] = test.purchased_within(h)
        columns[f"network_{h}d"] = tested[:, n]
    for name, values in baselines.items():
        columns[f"{name}_{MAIN_HORIZON_DAYS}d"] = values
    pq.write_table(pa.table(columns), path)
