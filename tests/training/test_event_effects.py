"""Effects of events on predictions, compared with predictions without the events."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logit

from intent_tasks.core import ablation
from intent_tasks.core.encoding import encode
from intent_tasks.core.vocabulary import event_code
from intent_tasks.models import (
    attribution,
    hazards,
    training,
)
from tests.training.shop import (
    ANCHOR,
    DEFINITION,
    MAIN,
    SEED,
    SIZE,
    scores,
)


def test_attribution_returns_the_same_logits(trained):
    attributed = attribution.explain(trained.model.network, trained.train.encoded)
    expected = training.predict_logits(trained.model.network, trained.train.encoded)
    assert np.abs(attributed.logits - expected).max() <= 1e-5


def test_the_effect_through_the_encoder_is_gradient_times_vector(trained):
    """Each customer is computed alone, so effects cannot be mixed up within a batch."""
    encoded, built = trained.train.encoded, trained.model.network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "event_effects", lambda past, slopes: 0)
        attributed = attribution.explain(built, encoded)
    few = (encoded.event_count > 2) & (encoded.event_count <= attribution.MAX_EVENTS)
    for one in np.flatnonzero(few)[::40]:
        inputs = encoded.batch(np.array([one]), SIZE.events, SIZE.steps)
        inputs = {name: tf.constant(values) for name, values in inputs.items()}
        vectors = built.embed(inputs)
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            state = built.read([vectors, inputs["place"], inputs["steps"]])
            logits = built.hazard_head([state, inputs["features"]])[0, : MAIN + 1]
            none = tf.reduce_prod(1 - tf.sigmoid(logits))
            log_odds = tf.math.log((1 - none) / none)
        effects = np.sum(tape.gradient(log_odds, vectors) * vectors, axis=1)
        places = encoded.place[encoded.event_end[one] : encoded.event_end[one + 1]]
        expected = dict(zip(encoded.events.row[places], effects, strict=True))
        got = dict(zip(attributed.rows[one], attributed.effects[one], strict=True))
        assert len(set(effects.round(5))) > 1, "all effects are equal, so the test would be empty"
        for row, effect in expected.items():
            assert got.get(row, 0) == pytest.approx(effect, abs=1e-5)


def test_removing_the_strongest_events_changes_predictions_more_than_others(trained):
    encoded = trained.train.encoded
    named = attribution.explain(trained.model.network, encoded).rows[:, 0]
    drawn = np.random.default_rng(SEED).integers(encoded.event_count)
    random = encoded.events.row[encoded.place[encoded.event_end[:-1] + drawn]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "event_effects", lambda past, slopes: 0)
        encoder = attribution.explain(trained.model.network, encoded).rows[:, 0]
    several = encoded.event_count > 3
    strongest, other, by_encoder = (
        _distance(trained, several, rows) for rows in (named, random, encoder)
    )
    assert strongest > 2 * other, f"strongest {strongest:.2f}, random {other:.2f}"
    assert strongest > by_encoder, f"{strongest:.2f}, by the encoder alone {by_encoder:.2f}"


def test_the_effect_of_an_event_is_near_the_change_without_it(trained):
    encoded = trained.train.encoded
    attributed = attribution.explain(trained.model.network, encoded)
    left = encode(encoded.events.drop_rows(attributed.rows[:, 0]), DEFINITION, ANCHOR)
    chosen = np.isin(encoded.customers, left.customers)
    before = logit(scores(trained.model, trained.train)[chosen, MAIN])
    after = hazards.probabilities(training.predict_logits(trained.model.network, left))[:, MAIN]
    change, effect = before - logit(after), attributed.effects[chosen, 0]
    assert np.corrcoef(change, effect)[0, 1] > 0.9
    assert (np.sign(change) == np.sign(effect)).mean() > 0.9


def test_carts_raise_predictions(trained):
    encoded = trained.train.encoded
    attributed = attribution.explain(trained.model.network, encoded)
    present = attributed.rows >= 0
    assert not attributed.effects[~present].any(), "padding is no reason"
    types = encoded.events.codes_by_column["event_type"][np.where(present, attributed.rows, 0)]
    cart = present & (types == event_code("cart"))
    assert cart.sum() > 100
    assert (attributed.effects[cart] > 0).mean() > 0.9


def _distance(trained, several, rows):
    """Return the mean absolute change of the log-odds without some events."""
    encoded = trained.train.encoded
    everyone = scores(trained.model, trained.train)[:, MAIN]
    left = encode(encoded.events.drop_rows(rows), DEFINITION, ANCHOR)
    chosen = np.isin(left.customers, encoded.customers[several])
    without = hazards.probabilities(training.predict_logits(trained.model.network, left))[
        chosen, MAIN
    ]
    return np.abs(logit(everyone[several]) - logit(without)).mean()
