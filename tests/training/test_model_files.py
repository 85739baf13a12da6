"""A model as files: loaded it predicts the same, and files of several models are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.definition import MAIN_HORIZON_DAYS
from intent_tasks.errors import BadInput
from intent_tasks.models import (
    baselines,
    blend,
    checkpoint,
    model_io,
    network,
    training,
)
from intent_tasks.models.sizes import Size
from tests.training.shop import (
    SEED,
    architecture_of,
    scores,
)


def test_a_loaded_model_predicts_the_same(trained, tmp_path):
    model_io.save(tmp_path, trained.model)
    expected = scores(trained.model, trained.train)
    loaded = [scores(model_io.load(tmp_path), trained.train) for _ in range(2)]
    assert np.abs(loaded[0] - expected).max() <= 1e-6
    assert loaded[0].tobytes() == loaded[1].tobytes()
    model = model_io.load(tmp_path)
    assert model.vocabulary == trained.model.vocabulary
    assert model.base_rates == trained.model.base_rates


def test_a_loaded_blend_predicts_the_same(trained, tmp_path):
    rows = trained.later
    labelled = baselines.LabeledFeatures(
        rows.encoded.features, rows.purchased_within(MAIN_HORIZON_DAYS)
    )
    trees = baselines.boosted_trees(labelled, labelled, SEED)
    blended = replace(trained.model, blend=blend.Blend(0.4, trees))
    model_io.save(tmp_path, blended)
    logits = training.predict_logits(trained.model.network, rows.encoded)
    predicted = model_io.load(tmp_path).probabilities(logits, rows.encoded)
    np.testing.assert_array_equal(predicted, blended.probabilities(logits, rows.encoded))
    assert np.abs(predicted - trained.model.probabilities(logits, rows.encoded)).max() > 0.01
    few = labelled._replace(features=labelled.features[:, :5])
    foreign = baselines.boosted_trees(few, few, SEED).boosters[0]
    foreign.save_model(tmp_path / model_io.BOOSTER.format(1))
    with pytest.raises(BadInput, match="read 5 features, this release computes"):
        model_io.load(tmp_path)


def test_files_of_different_models_are_refused(trained, tmp_path):
    model_io.save(tmp_path, trained.model)
    vocabulary = tmp_path / model_io.VOCABULARY
    original = vocabulary.read_text()
    vocabulary.write_text(original.replace('"p7":', '"p7x": 99, "p7":'))
    with pytest.raises(BadInput, match="belongs to another data set"):
        model_io.load(tmp_path)
    vocabulary.write_text(original)
    config = tmp_path / model_io.CONFIG
    config.write_text(config.read_text().replace('"width": 16', '"width": 24'))
    with pytest.raises(BadInput, match="another architecture"):
        model_io.load(tmp_path)
    config.write_text(config.read_text().replace('"encoder"', '"decoder"'))
    with pytest.raises(BadInput, match="another release"):
        model_io.load(tmp_path)


def test_a_model_with_the_features_of_another_release_is_refused(trained, tmp_path):
    model_io.save(tmp_path, trained.model)
    config = tmp_path / model_io.CONFIG
    config.write_text(config.read_text().replace(f'"{INPUT_VERSION}"', '"0-earlier"'))
    with pytest.raises(BadInput, match=r"input version 0-earlier.*Train again"):
        model_io.load(tmp_path)


def test_a_model_without_image_codes_is_refused(trained, tmp_path):
    model_io.save(tmp_path, trained.model)
    for name in (model_io.CONFIG, model_io.VOCABULARY):
        content = json.loads((tmp_path / name).read_text())
        holder = (
            content if name == model_io.VOCABULARY else content["architecture"]["vocabulary_sizes"]
        )
        del holder["picture"]
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"another release: .*without picture"):
        model_io.load(tmp_path)


def test_a_checkpoint_of_another_architecture_is_refused(trained, tmp_path):
    variables = trained.model.network.whole.variables
    checkpoint.save(tmp_path, variables, [], {})
    other = network.build(architecture_of(trained.vocabulary, size=Size(16, 8, 24, 1)))
    with pytest.raises(BadInput, match="another architecture"):
        checkpoint.load(tmp_path, other.whole.variables)
