"""Train the network and the baselines on a window, and keep what they predict on later days."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.core.cohorts import cohorts_of
from intent_tasks.core.dataset import SPLITS, Dataset, DatasetSummary, Rows
from intent_tasks.core.dataset_profile import DatasetProfile
from intent_tasks.core.metrics import best_threshold
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, snapshots
from intent_tasks.stores.contracts import contract, profile
from intent_tasks.stores.privacy import consent, erasure

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from intent_tasks.models.fit_models import Baselines, Samples
    from intent_tasks.models.model_io import Model
    from intent_tasks.models.pretrained import Pretrained

SLICE = "slice_"
"""Before the names of columns that rows of the test slice are told apart by."""
MODEL, TEST, LOSSES, CHECKPOINT = "model", "test.parquet", "losses.json", "checkpoint"


def folder_of(settings: Settings, as_of_date: date) -> Path:
    """Return where a training run keeps its files."""
    return settings.home / "training" / str(as_of_date)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Train on the window of `as_of_date`; after a kill it goes on from the last checkpoint.

    Raises:
        BadInput: there is no window, or the settings name no network.
        Refused: the training set breaks the contract, the loss became no number, or somebody who
            was learned from was erased meanwhile.
    """
    window = window_of(settings, as_of_date)
    begun = time.monotonic()
    from intent_tasks.models import distribution, fit_models
    from intent_tasks.models.sizes import size_of

    size_of(settings.model_size, settings.model_encoder)  # no time is spent on what is not there
    allowed = consent.learnable(settings)
    rank, slices = distribution.rank(), slices_of(settings, window, allowed)
    pretrained = _pretrained(settings, window)
    if pretrained is None:
        slices.learn_vocabulary()
    else:
        slices.vocabulary = pretrained.vocabulary
    samples = fit_models.Samples()
    survey, learned_from = _looked_at(slices, samples)
    checked = _check(settings, as_of_date, learned_from)
    survey.require_buyers()
    known = fit_models.fit_baselines(samples, settings.seed, settings.deterministic_training)
    del samples  # the network reads the rows bucket by bucket
    temporary = folder_of(settings, as_of_date).with_suffix(f".part{rank or ''}")
    shutil.rmtree(temporary / MODEL, ignore_errors=True)
    (temporary / MODEL).mkdir(parents=True)
    (temporary / CHECKPOINT).mkdir(exist_ok=True)
    curve = _train(settings, slices, survey, known, temporary, pretrained)
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
        "customers_without_consent": allowed.left_out,
        "steps": curve[-1]["step"],
        "pretrained": pretrained and pretrained.digest,
        "failed": checked.broken,
        "data_docs": checked.page,
        "seconds": round(time.monotonic() - begun, 1),
    }
    erasure.require_none_since_window(settings, as_of_date)
    return ledger.finish_step(settings, "train", as_of_date, receipt)


def _looked_at(slices: Dataset, samples: "Samples") -> tuple[DatasetSummary, DatasetProfile]:
    """Look at all rows once; the samples are those that the baselines learn from."""
    found = DatasetProfile({name: len(days) for name, days in slices.split.items()})

    def seen(part: str, rows: Rows) -> None:
        samples.add(part, rows)
        found.add(part, rows, slices.vocabulary)

    return slices.summarize(seen), found


def _check(settings: Settings, as_of_date: date, found: DatasetProfile) -> contract.Result:
    """Check the training data before training; see `expectations/dataset_profile.py`."""
    limits = contract.in_force(settings)["training_set"]
    result = contract.judge(settings, as_of_date, profile.of_training(found, limits))
    contract.refuse(
        settings,
        f"The training set of {as_of_date} breaks the contract",
        [result],
        "Nothing was learned from it, and the version that serves stays.",
    )
    return result


def window_of(settings: Settings, as_of_date: date) -> Receipt:
    """Return the receipt of the window of a day.

    Raises:
        BadInput: there is none.
    """
    window = ledger.receipt_of(settings, "window", as_of_date)
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

    folder, as_of_date = (
        pretrained_folder(settings, window),
        date.fromisoformat(window["as_of_date"]),
    )
    noted = ledger.receipt_of(settings, "pretrain", as_of_date)
    path = str(folder.relative_to(settings.home))
    if noted is None or noted["path"] != path or not folder.exists():
        noted = pretrain.run(settings, as_of_date)
    found = load(folder)
    if found.digest != noted["digest"]:
        raise Refused(
            f"The weights in {folder} are not those that `intent pretrain` wrote. "
            "Delete that folder and run this again."
        )
    return found


def digest_of(folder: Path) -> str:
    """Return one digest of all files that training wrote."""
    return digest_of_files([*(folder / MODEL).iterdir(), folder / TEST])


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return one digest of files: of their names and of what is in them."""
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def slices_of(settings: Settings, window: Receipt, allowed: consent.Learnable) -> Dataset:
    """Return the slices of a window, which read what may be learned from bucket by bucket."""
    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))

    def read(bucket: int) -> pa.Table:
        known = snapshots.read(settings.home, settings.definition, last, [bucket], first)
        return allowed.of(known)

    split = {name: [date.fromisoformat(day) for day in window["split"][name]] for name in SPLITS}
    return Dataset(read, settings.bucket_count, split, settings.definition, settings.seed)


def _train(
    settings: Settings,
    slices: Dataset,
    survey: DatasetSummary,
    known: "Baselines",
    folder: Path,
    pretrained: "Pretrained | None",
) -> list[dict[str, float]]:
    from intent_tasks.models import fit_models, model_io, training
    from intent_tasks.models.network import Architecture, Network
    from intent_tasks.models.sizes import size_of

    size = size_of(settings.model_size, settings.model_encoder)
    sizes = vocabulary_sizes(slices.vocabulary)
    architecture = Architecture(settings.model_encoder, size, sizes, settings.mixed_precision)

    def initialize(fresh: Network) -> None:
        if pretrained is not None:
            pretrained.give(fresh, architecture, slices.vocabulary, slices.split["calibrate"][0])

    fitted = fit_models.fit_network(
        architecture,
        known,
        {part: slices.source(part) for part in SPLITS},
        training.Plan(survey.rows["train"], settings.seed, exactly=settings.deterministic_training),
        folder=folder / CHECKPOINT,
        log=log.info,
        initialize=initialize,
    )
    mix, validation = fitted.blend if settings.blend else None, fitted.validation
    said = validation.probabilities(mix)
    purchased = [validation.first_purchase <= n for n in range(len(HORIZONS_DAYS))]
    model = model_io.Model(
        architecture,
        slices.vocabulary,
        fitted.network,
        {str(h): float(y.mean()) for h, y in zip(HORIZONS_DAYS, purchased, strict=True)},
        {str(h): best_threshold(said[:, n], purchased[n]) for n, h in enumerate(HORIZONS_DAYS)},
        mix,
    )
    model_io.save(folder / MODEL, model)
    tested = [_tested(rows, model, known) for rows in slices.source("test")(0, 0)]
    pq.write_table(pa.concat_tables(tested), folder / TEST)
    (folder / LOSSES).write_text(json.dumps(fitted.curve))
    return fitted.curve


def _tested(rows: Rows, model: "Model", known: "Baselines") -> pa.Table:
    """Return labels and all predictions of rows to test on, for the gate and the evidence."""
    from intent_tasks.models.hazards import probabilities
    from intent_tasks.models.training import predict_logits

    logits = predict_logits(model.network, rows.encoded)
    alone, served = probabilities(logits), model.probabilities(logits, rows.encoded)
    keys = rows.encoded.events.keys[rows.encoded.customers]
    columns: dict[str, Any] = {"customer_key": pa.array(keys, pa.string())}
    for n, h in enumerate(HORIZONS_DAYS):
        columns[f"purchased_{h}d"] = rows.purchased_within(h)
        columns[f"served_{h}d"], columns[f"network_{h}d"] = served[:, n], alone[:, n]
    for name, values in cohorts_of(rows, model.vocabulary).items():
        columns[f"{SLICE}{name}"] = values
    for name, values in known.probabilities(rows.encoded.features).items():
        columns[f"{name}_{MAIN_HORIZON_DAYS}d"] = values
    return pa.table(columns)
