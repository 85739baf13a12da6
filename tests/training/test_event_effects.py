"""What single events do to a score, checked by leaving them out."""

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


def test_reasons_come_with_the_same_scores(trained):
    found = attribution.explain(trained.model.network, trained.train.encoded)
    expected = training.predict_logits(trained.model.network, trained.train.encoded)
    assert np.abs(found.logits - expected).max() <= 1e-5


def test_the_encoder_moves_each_event_by_its_gradient_times_its_vector(trained):
    """Of each customer alone: so no event of a batch is given the effect of another."""
    encoded, built = trained.train.encoded, trained.model.network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "event_effects", lambda past, slopes: 0)
        found = attribution.explain(built, encoded)
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
        known = encoded.place[encoded.event_end[one] : encoded.event_end[one + 1]]
        expected = dict(zip(encoded.events.row[known], effects, strict=True))
        got = dict(zip(found.rows[one], found.effects[one], strict=True))
        assert len(set(effects.round(5))) > 1, "all the same: nothing would be seen"
        for row, effect in expected.items():
            assert got.get(row, 0) == pytest.approx(effect, abs=1e-5)


def test_taking_named_events_away_moves_a_score_more_than_taking_others(trained):
    encoded = trained.train.encoded
    named = attribution.explain(trained.model.network, encoded).rows[:, 0]
    drawn = np.random.default_rng(SEED).integers(encoded.event_count)
    random = encoded.events.row[encoded.place[encoded.event_end[:-1] + drawn]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "event_effects", lambda past, slopes: 0)
        encoder = attribution.explain(trained.model.network, encoded).rows[:, 0]
    several = encoded.event_count > 3
    far, near, said = (_distance(trained, several, rows) for rows in (named, random, encoder))
    assert far > 2 * near, f"named events move the log-odds by {far:.2f}, random ones {near:.2f}"
    assert far > said, f"those that the encoder alone names move it by {said:.2f}, not {far:.2f}"


def test_the_effect_of_an_event_is_what_leaving_it_out_does(trained):
    encoded = trained.train.encoded
    found = attribution.explain(trained.model.network, encoded)
    left = encode(encoded.events.drop_rows(found.rows[:, 0]), DEFINITION, ANCHOR)
    kept = np.isin(encoded.customers, left.customers)
    before = logit(scores(trained.model, trained.train)[kept, MAIN])
    after = hazards.probabilities(training.predict_logits(trained.model.network, left))[:, MAIN]
    moved, said = before - logit(after), found.effects[kept, 0]
    assert np.corrcoef(moved, said)[0, 1] > 0.9
    assert (np.sign(moved) == np.sign(said)).mean() > 0.9


def test_carts_raise_a_score(trained):
    encoded = trained.train.encoded
    found = attribution.explain(trained.model.network, encoded)
    there = found.rows >= 0
    assert not found.effects[~there].any(), "padding is no reason"
    types = encoded.events.codes_by_column["event_type"][np.where(there, found.rows, 0)]
    cart = there & (types == event_code("cart"))
    assert cart.sum() > 100
    assert (found.effects[cart] > 0).mean() > 0.9


def _distance(trained, several, rows):
    """Return by how much the log-odds move on average when some events are not known."""
    encoded = trained.train.encoded
    everyone = scores(trained.model, trained.train)[:, MAIN]
    left = encode(encoded.events.drop_rows(rows), DEFINITION, ANCHOR)
    kept = np.isin(left.customers, encoded.customers[several])
    without = hazards.probabilities(training.predict_logits(trained.model.network, left))[
        kept, MAIN
    ]
    return np.abs(logit(everyone[several]) - logit(without)).mean()
