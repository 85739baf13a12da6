"""The files of `intent step train`, and their evaluation, without the database."""

import json
from datetime import date, timedelta

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from intent_tasks.core.dataset import SPLITS
from intent_tasks.core.evidence import NAMES
from intent_tasks.core.metrics import resample_weights
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models import fit_models, hazards, model_io, training
from intent_tasks.simulator import Config
from intent_tasks.steps import evaluate, train
from intent_tasks.stores import training_window
from intent_tasks.stores.training_files import CHECKPOINT, LOSSES, MODEL, TEST
from tests.training.test_pretrain_step import EVERYBODY, fill, settings_of

SHOP = Config(customers=120, days=64, products=100, leaves=5, last_day=date(2026, 6, 30))


@pytest.fixture(scope="module", params=[True, False], ids=["blend", "network alone"])
def trained_folder(request, tmp_path_factory):
    """Settings and folder of a window that was trained, with its slices and baselines."""
    home = tmp_path_factory.mktemp("trained")
    fill(home)
    settings = settings_of(home).model_copy(update={"blend": request.param})
    days = {"train": (28, 32), "calibrate": (40,), "test": (46, 49)}
    split = {p: [str(SHOP.first_day + timedelta(days=n)) for n in days[p]] for p in SPLITS}
    window = {"first_day": str(SHOP.first_day), "last_day": str(SHOP.last_day), "split": split}
    slices = training_window.open_dataset(settings, window, EVERYBODY)
    slices.learn_vocabulary()
    samples = fit_models.Samples()
    survey = slices.summarize(samples.add)
    known = fit_models.fit_baselines(samples, settings.seed)
    (home / MODEL).mkdir()
    (home / CHECKPOINT).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "MIN_STEPS", 4)
        curve = train._train(settings, slices, survey, known, home, None)
    return settings, slices, known, curve


def test_the_test_predictions_are_those_of_the_saved_model(trained_folder):
    settings, slices, known, _ = trained_folder
    model = model_io.load(settings.home / MODEL)
    table = pq.read_table(settings.home / TEST)
    parts = list(slices.source("test")(0, 0))
    logits = [training.predict_logits(model.network, rows.encoded) for rows in parts]
    served = np.concatenate(
        [model.probabilities(z, r.encoded) for z, r in zip(logits, parts, strict=True)]
    )
    alone = np.concatenate([hazards.probabilities(z) for z in logits])
    for n, h in enumerate(HORIZONS_DAYS):
        np.testing.assert_array_equal(table[f"served_{h}d"].to_numpy(), served[:, n])
        np.testing.assert_array_equal(table[f"network_{h}d"].to_numpy(), alone[:, n])
        came = np.concatenate([rows.purchased_within(h) for rows in parts])
        np.testing.assert_array_equal(table[f"purchased_{h}d"].to_numpy(), came)
    trees = np.concatenate([known.lightgbm(rows.encoded.features) for rows in parts])
    np.testing.assert_array_equal(table["lightgbm_7d"].to_numpy(), trees)
    assert (model.blend is not None) == settings.blend


def test_the_gate_judges_the_served_predictions_and_all_models_are_measured(trained_folder):
    settings, _, _, curve = trained_folder
    test = pq.read_table(settings.home / TEST)
    config = json.loads((settings.home / MODEL / model_io.CONFIG).read_text())
    who = np.unique(test["customer_key"].to_numpy(), return_inverse=True)[1]
    weights = resample_weights(int(who.max()) + 1, 1, 50)
    table = dict(evaluate._metrics_by_model(test, config, weights, who))
    assert {f"{name}_7d" for name in NAMES} <= set(table)
    worst = test.set_column(
        test.column_names.index("served_7d"),
        "served_7d",
        pc.if_else(test["purchased_7d"], 0.001, 0.999),
    )
    for rows, verdict in ((test, True), (worst, False)):
        checks = {c.name: c for c in evaluate._judge(rows, config, table, weights, who)}
        assert checks["finite"].passed
        assert checks["not worse than LightGBM"].passed is verdict
    assert json.loads((settings.home / LOSSES).read_text()) == curve
