"""Train the network and the baselines on a window, and save their predictions of the test days."""

import json
import logging
import shutil
import time
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
from intent_tasks.stores import ledger, training_files, training_window
from intent_tasks.stores.contracts import checks
from intent_tasks.stores.privacy import consent, erasure
from intent_tasks.stores.training_files import (
    CHECKPOINT,
    LOSSES,
    MODEL,
    SLICE,
    TEST,
    digest_of,
    folder_of,
)

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from intent_tasks.models.fit_models import Baselines, Samples
    from intent_tasks.models.model_io import Model
    from intent_tasks.models.pretraining.weights import Pretrained


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Train on the window of `as_of_date`; after a kill, continue from the last checkpoint.

    Raises:
        BadInput: there is no window, or it lacks the pretrained weights that the settings ask for;
            or the settings name an unknown encoder or size.
        Refused: the training data break the contract, the loss is not finite, or a customer of the
            window was erased meanwhile.
    """
    window = training_window.read_window(settings, as_of_date)
    started = time.monotonic()
    from intent_tasks.models import distribution, fit_models
    from intent_tasks.models.sizes import size_of

    size_of(settings.model_size, settings.model_encoder)  # refuse unknown names before any work
    allowed = consent.learnable(settings)
    worker = distribution.rank()
    dataset = training_window.open_dataset(settings, window, allowed)
    pretrained = _load_pretrained(settings, window)
    if pretrained is None:
        dataset.learn_vocabulary()
    else:
        dataset.vocabulary = pretrained.vocabulary
    samples = fit_models.Samples()
    summary, profile = _summarize(dataset, samples)
    checked = checks.check_training_set(settings, as_of_date, profile)
    summary.require_buyers()
    baselines = fit_models.fit_baselines(samples, settings.seed, settings.deterministic_training)
    del samples  # frees memory: the network reads the rows bucket by bucket
    temporary = folder_of(settings, as_of_date).with_suffix(f".part{worker or ''}")
    shutil.rmtree(temporary / MODEL, ignore_errors=True)
    (temporary / MODEL).mkdir(parents=True)
    (temporary / CHECKPOINT).mkdir(exist_ok=True)
    curve = _train(settings, dataset, summary, baselines, temporary, pretrained)
    shutil.rmtree(temporary / CHECKPOINT)
    if worker > 0:  # all workers have the same weights; worker 0 saves them
        shutil.rmtree(temporary)
        return {"as_of_date": str(as_of_date), "worker": worker, "steps": curve[-1]["step"]}
    target = folder_of(settings, as_of_date)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    receipt = {
        "as_of_date": str(as_of_date),
        "path": str(target.relative_to(settings.home)),
        "digest": digest_of(target),
        "rows": summary.rows,
        "buyers": summary.buyers,
        "customers_without_consent": allowed.left_out,
        "steps": curve[-1]["step"],
        "pretrained": pretrained and pretrained.digest,
        "failed": checked.broken,
        "data_docs": checked.page,
        "seconds": round(time.monotonic() - started, 1),
    }
    erasure.require_none_since_window(settings, as_of_date)
    return ledger.finish_step(settings, "train", as_of_date, receipt)


def _summarize(dataset: Dataset, samples: "Samples") -> tuple[DatasetSummary, DatasetProfile]:
    """Read all rows once: count and profile them, and add them to the samples of the baselines."""
    profile = DatasetProfile({split: len(days) for split, days in dataset.split.items()})

    def on_rows(split: str, rows: Rows) -> None:
        samples.add(split, rows)
        profile.add(split, rows, dataset.vocabulary)

    return dataset.summarize(on_rows), profile


def _load_pretrained(settings: Settings, window: Receipt) -> "Pretrained | None":
    """Return the pretrained weights of a window; None if the settings do not ask for them.

    Raises:
        BadInput: the window was not pretrained.
        Refused: the files are not those that pretraining wrote.
    """
    if not settings.pretrained:
        return None
    from intent_tasks.models.pretraining.weights import load

    as_of_date = date.fromisoformat(window["as_of_date"])
    folder = training_files.pretrained_folder(settings, window)
    receipt = ledger.receipt_of(settings, "pretrain", as_of_date)
    path = str(folder.relative_to(settings.home))
    if receipt is None or receipt["path"] != path or not folder.exists():
        raise BadInput(
            f"INTENT_PRETRAINED is set, but there are no pretrained weights of this window. "
            f"Run `intent pretrain --as-of-date {as_of_date}` first."
        )
    weights = load(folder)
    if weights.digest != receipt["digest"]:
        raise Refused(
            f"The weights in {folder} are not those that `intent pretrain` wrote. "
            f"Run `intent pretrain --as-of-date {as_of_date}` again."
        )
    return weights


def _train(
    settings: Settings,
    dataset: Dataset,
    summary: DatasetSummary,
    baselines: "Baselines",
    folder: Path,
    pretrained: "Pretrained | None",
) -> list[dict[str, float]]:
    """Train the network, write its files and the test predictions, and return the loss curve."""
    from intent_tasks.models import fit_models, model_io, training
    from intent_tasks.models.network import Architecture, Network
    from intent_tasks.models.sizes import size_of

    size = size_of(settings.model_size, settings.model_encoder)
    sizes = vocabulary_sizes(dataset.vocabulary)
    architecture = Architecture(settings.model_encoder, size, sizes, settings.mixed_precision)

    def initialize(network: Network) -> None:
        if pretrained is not None:
            first_unseen = dataset.split["calibrate"][0]
            pretrained.initialize(network, architecture, dataset.vocabulary, first_unseen)

    rows = summary.rows["train"]
    fitted = fit_models.fit_network(
        architecture,
        baselines,
        {split: dataset.source(split) for split in SPLITS},
        training.Plan(rows, settings.seed, exactly=settings.deterministic_training),
        folder=folder / CHECKPOINT,
        log=log.info,
        initialize=initialize,
    )
    blend, validation = fitted.blend if settings.blend else None, fitted.validation
    predicted = validation.probabilities(blend)
    purchased = [validation.first_purchase <= n for n in range(len(HORIZONS_DAYS))]
    base_rates = {str(h): float(purchased[n].mean()) for n, h in enumerate(HORIZONS_DAYS)}
    thresholds = {
        str(h): best_threshold(predicted[:, n], purchased[n]) for n, h in enumerate(HORIZONS_DAYS)
    }
    model = model_io.Model(
        architecture, dataset.vocabulary, fitted.network, base_rates, thresholds, blend
    )
    model_io.save(folder / MODEL, model)
    tables = [_test_predictions(rows, model, baselines) for rows in dataset.source("test")(0, 0)]
    pq.write_table(pa.concat_tables(tables), folder / TEST)
    (folder / LOSSES).write_text(json.dumps(fitted.curve))
    return fitted.curve


def _test_predictions(rows: Rows, model: "Model", baselines: "Baselines") -> pa.Table:
    """Return labels, cohorts and the predictions of all models for test rows."""
    from intent_tasks.models.hazards import probabilities
    from intent_tasks.models.training import predict_logits

    logits = predict_logits(model.network, rows.encoded)
    network, served = probabilities(logits), model.probabilities(logits, rows.encoded)
    keys = rows.encoded.events.keys[rows.encoded.customers]
    columns: dict[str, Any] = {"customer_key": pa.array(keys, pa.string())}
    for n, h in enumerate(HORIZONS_DAYS):
        columns[f"purchased_{h}d"] = rows.purchased_within(h)
        columns[f"served_{h}d"], columns[f"network_{h}d"] = served[:, n], network[:, n]
    for name, values in cohorts_of(rows, model.vocabulary).items():
        columns[f"{SLICE}{name}"] = values
    for name, values in baselines.probabilities(rows.encoded.features).items():
        columns[f"{name}_{MAIN_HORIZON_DAYS}d"] = values
    return pa.table(columns)
