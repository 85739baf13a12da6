"""A small network on a shop where carts tell purchases: trained, kept, loaded, explained."""

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logit

from intent_tasks.core import without
from intent_tasks.core.anchors import NEVER, first_purchases
from intent_tasks.core.encoding import encode
from intent_tasks.core.features import FEATURES, STATICS
from intent_tasks.core.history import history
from intent_tasks.core.slices import PARTS, Rows
from intent_tasks.core.vocabulary import event_code, learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.errors import BadInput, Refused
from intent_tasks.models import (
    baselines,
    blend,
    checkpoint,
    files,
    fitting,
    network,
    reasons,
    start,
    training,
    tuning,
)
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.sizes import SIZES, Size, size_of
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
DEFINITION = Definition()
END = DEFINITION.day_end(ANCHOR)
CUSTOMERS, SEED = 2500, 7
SIZE = Size(16, 8, 16, 1)
MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)


def simulated(customers=CUSTOMERS) -> pa.Table:
    """Return views of everybody; of 30 % also a cart in the last days, and 60 % of them buy."""
    rng, rows = np.random.default_rng(SEED), []
    for n in range(customers):
        wants = rng.random() < 0.3
        past = [("view", -d) for d in rng.uniform(0, 20, rng.integers(2, 9))]
        past += [("cart", -rng.uniform(0, 4))] if wants else []
        buys = rng.random() < (0.6 if wants else 0.05)
        for kind, day in [*past, *([("purchase", rng.uniform(0, 13))] if buys else [])]:
            at = END + timedelta(days=float(day))
            product = f"p{rng.integers(30)}"
            rows.append({"customer_key": f"c{n:05d}", "event_id": f"e{len(rows)}"})
            rows[-1] |= {"event_type": kind, "product_id": product, "price": 10.0}
            rows[-1] |= {"occurred_at": at, "ingested_at": at}
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


def rows_of(events, vocabulary):
    everything = history(events, vocabulary, "UTC")
    encoded = encode(everything, DEFINITION, ANCHOR)
    return Rows(encoded, first_purchases(everything, encoded.customers, ANCHOR, DEFINITION))


def architecture_of(vocabulary, statics, encoder="gru", size=SIZE):
    means, deviations = statics.mean(axis=0), statics.std(axis=0) + 1e-3
    sizes = vocabulary_sizes(vocabulary)
    return network.Architecture(encoder, size, sizes, means.tolist(), deviations.tolist())


@pytest.fixture(scope="module")
def trained():
    """A model with all that it was trained from; the first half trains, the second calibrates."""
    network.deterministic(SEED)
    events = simulated()
    vocabulary = learn_vocabulary([events])
    early = pa.array([key < f"c{CUSTOMERS // 2:05d}" for key in events["customer_key"].to_pylist()])
    train = rows_of(events.filter(early), vocabulary)
    later = rows_of(events.filter(pa.compute.invert(early)), vocabulary)
    architecture = architecture_of(vocabulary, train.encoded.statics)
    built = network.build(architecture)
    start.begin_with(built, line_of(train), counted(train))
    plan = training.Plan(len(train.first), SEED, learning_rate=1e-2, batch=50)
    curve = training.fit(built, source(train), source(later), plan)
    raw = training.logits_of(built, later.encoded)
    training.calibrate(built, raw, later.first)
    rates = {str(h): float((later.first <= n).mean()) for n, h in enumerate(HORIZONS_DAYS)}
    model = files.Model(architecture, vocabulary, built, rates, rates)
    return SimpleNamespace(
        model=model, train=train, later=later, events=events, curve=curve, vocabulary=vocabulary
    )


def counted(rows):
    return np.bincount(rows.first, minlength=NEVER + 1)


def line_of(rows):
    purchased = rows.first <= MAIN
    return baselines.logistic(baselines.Labelled(rows.encoded.features, purchased))


def source(*parts):
    return lambda epoch, skipped: iter(parts[skipped:])


def scores(model, rows):
    return network.probabilities(training.logits_of(model.network, rows.encoded))


def test_a_network_begins_with_what_a_line_knows(trained):
    line, rows = line_of(trained.train), trained.later
    built = network.build(trained.model.architecture)
    start.begin_with(built, line, counted(trained.train))
    within = network.probabilities(training.logits_of(built, rows.encoded))
    said = within[:, MAIN]
    assert np.corrcoef(logit(said), logit(line(rows.encoded.features)))[0, 1] > 0.95
    rates = [(trained.train.first <= n).mean() for n in range(len(HORIZONS_DAYS))]
    np.testing.assert_allclose(within.mean(axis=0), rates, rtol=0.35)


def test_what_is_taught_costs_least_where_it_is_said():
    logits = np.linspace(-4, 1, 41)[:, None] * np.ones(len(HORIZONS_DAYS), np.float32)
    said = network.probabilities(logits)[:, MAIN]
    for place in (5, 20, 30):
        taught = np.full(len(said), said[place], np.float32)
        losses = np.asarray(network.taught_loss(taught, logits.astype(np.float32)))
        assert losses.argmin() == place


def test_a_teacher_is_followed_where_outcomes_say_nothing(trained):
    rows = trained.train
    chance = Rows(rows.encoded, np.random.default_rng(1).permutation(rows.first))
    column = FEATURES.index("days_since_first_log")
    high = np.median(rows.encoded.features[:, column])

    def teacher(features):
        return np.where(features[:, column] > high, 0.4, 0.05)

    built = network.build(trained.model.architecture)
    plan = training.Plan(len(rows.first), SEED, learning_rate=1e-2, batch=50)
    training.fit(built, source(chance), source(chance), plan, teacher=teacher)
    said = network.probabilities(training.logits_of(built, rows.encoded))[:, 2]
    told = teacher(rows.encoded.features) > 0.1
    assert said[told].mean() > said[~told].mean() + 0.1


def test_training_lowers_the_loss(trained):
    assert trained.curve[-1]["loss"] < trained.curve[0]["loss"]


def test_probabilities_rise_with_the_horizon(trained):
    got = scores(trained.model, trained.train)
    assert (np.diff(got, axis=1) >= 0).all()
    assert (got > 0).all()
    assert (got < 1).all()


def test_the_network_finds_who_wants_something(trained):
    got = scores(trained.model, trained.later)[:, MAIN]
    bought = trained.later.first <= MAIN
    assert got[bought].mean() > 2 * got[~bought].mean()


def test_calibration_brings_the_mean_to_what_came_true(trained):
    shifted = trained.model.network.calibration.get_weights()[1]
    assert np.abs(shifted).max() > 0, "calibration changed nothing"
    got = scores(trained.model, trained.later).mean(axis=0)
    rates = [(trained.later.first <= n).mean() for n in range(len(HORIZONS_DAYS))]
    np.testing.assert_allclose(got, rates, atol=0.01)


def test_a_kept_model_scores_the_same(trained, tmp_path):
    files.save(tmp_path, trained.model)
    expected = scores(trained.model, trained.train)
    loaded = [scores(files.load(tmp_path), trained.train) for _ in range(2)]
    assert np.abs(loaded[0] - expected).max() <= 1e-6
    assert loaded[0].tobytes() == loaded[1].tobytes()
    kept = files.load(tmp_path)
    assert kept.vocabulary == trained.model.vocabulary
    assert kept.base_rates == trained.model.base_rates


def test_nobody_gets_no_score(trained):
    nobody = rows_of(trained.events.slice(0, 0), trained.vocabulary)
    assert scores(trained.model, nobody).shape == (0, len(HORIZONS_DAYS))
    assert reasons.explain(trained.model.network, nobody.encoded).rows.shape == (0, reasons.MOST)


def test_a_row_scores_the_same_in_any_batch(trained):
    many = training.logits_of(trained.model.network, trained.train.encoded)
    some = trained.train.encoded.batch(np.array([3]), SIZE.events, SIZE.steps)
    alone = np.asarray(trained.model.network.whole(some))
    assert np.abs(alone - many[3]).max() <= 1e-5


def test_reasons_come_with_the_same_scores(trained):
    found = reasons.explain(trained.model.network, trained.train.encoded)
    expected = training.logits_of(trained.model.network, trained.train.encoded)
    assert np.abs(found.logits - expected).max() <= 1e-5


def test_taking_named_events_away_moves_a_score_more_than_taking_others(trained):
    encoded = trained.train.encoded
    named = reasons.explain(trained.model.network, encoded).rows[:, 0]
    drawn = np.random.default_rng(SEED).integers(encoded.event_count)
    random = encoded.events.row[encoded.place[encoded.event_end[:-1] + drawn]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(without, "effects", lambda past, slopes: 0)
        encoder = reasons.explain(trained.model.network, encoded).rows[:, 0]
    several = encoded.event_count > 3
    far, near, said = (_distance(trained, several, rows) for rows in (named, random, encoder))
    assert far > 2 * near, f"named events move the log-odds by {far:.2f}, random ones {near:.2f}"
    assert far > said, f"those that the encoder alone names move it by {said:.2f}, not {far:.2f}"


def test_the_effect_of_an_event_is_what_leaving_it_out_does(trained):
    encoded = trained.train.encoded
    found = reasons.explain(trained.model.network, encoded)
    left = encode(encoded.events.without(found.rows[:, 0]), DEFINITION, ANCHOR)
    kept = np.isin(encoded.customers, left.customers)
    before = logit(scores(trained.model, trained.train)[kept, MAIN])
    after = network.probabilities(training.logits_of(trained.model.network, left))[:, MAIN]
    moved, said = before - logit(after), found.effects[kept, 0]
    assert np.corrcoef(moved, said)[0, 1] > 0.9
    assert (np.sign(moved) == np.sign(said)).mean() > 0.9


def test_carts_raise_a_score(trained):
    encoded = trained.train.encoded
    found = reasons.explain(trained.model.network, encoded)
    there = found.rows >= 0
    assert not found.effects[~there].any(), "padding is no reason"
    types = encoded.events.codes["event_type"][np.where(there, found.rows, 0)]
    cart = there & (types == event_code("cart"))
    assert cart.sum() > 100
    assert (found.effects[cart] > 0).mean() > 0.9


def _distance(trained, several, rows):
    """Return by how much the log-odds move on average when some events are not known."""
    encoded = trained.train.encoded
    everyone = scores(trained.model, trained.train)[:, MAIN]
    left = encode(encoded.events.without(rows), DEFINITION, ANCHOR)
    kept = np.isin(left.customers, encoded.customers[several])
    without = network.probabilities(training.logits_of(trained.model.network, left))[kept, MAIN]
    return np.abs(logit(everyone[several]) - logit(without)).mean()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_reads_no_padding_and_costs_what_the_table_says(trained, encoder):
    size = Size(16, 8, 32, 2)
    statics = trained.train.encoded.statics
    built = network.build(architecture_of(trained.vocabulary, statics, encoder, size))
    chosen = np.flatnonzero(trained.train.encoded.event_count <= 4)[:8]
    short = trained.train.encoded.batch(chosen, 4, 4)
    long = trained.train.encoded.batch(chosen, 16, 8)
    np.testing.assert_allclose(built.whole(short), built.whole(long), atol=1e-5)
    mlp = network.build(architecture_of(trained.vocabulary, statics, "mlp", size))
    more = built.whole.count_params() - mlp.whole.count_params()
    assert more == size.encoder_parameters(encoder) - size.encoder_parameters("mlp")


def test_what_cannot_be_built_is_refused_by_name():
    with pytest.raises(BadInput, match="INTENT_MODEL_ENCODER=lstm; allowed: mlp"):
        size_of("nano", "lstm")
    with pytest.raises(BadInput, match="INTENT_MODEL_SIZE=huge; allowed: nano"):
        size_of("huge", "gru")
    assert SIZES["xl"].encoder_parameters("gru") > 1e9
    assert SIZES["xl"].encoder_parameters("transformer") > 1e9


def test_a_killed_training_goes_on_to_the_same_weights(trained, tmp_path):
    """Four parts in two passes; the first try dies in the second pass."""
    rows = rows_of(trained.events.slice(0, 1500), trained.vocabulary)

    def fitted(folder, source_):
        network.deterministic(SEED)
        built = network.build(architecture_of(trained.vocabulary, rows.encoded.statics))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "EPOCHS", 2)
            patch.setattr(training, "STEPS", 1)
            patch.setattr(training, "ROUND_STEPS", 1)
            plan = training.Plan(2 * len(rows.first), 1, batch=64)
            training.fit(built, source_, source(rows), plan, folder)
        return built.whole.get_weights()

    def dying(epoch, skipped):
        yield from [rows] * (2 - skipped) if epoch == 0 else [rows]
        if epoch == 1:
            raise KeyboardInterrupt

    whole = fitted(None, source(rows, rows))
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, dying)
    assert (tmp_path / checkpoint.FILE).exists()
    gone_on = fitted(tmp_path, source(rows, rows))
    for left, right in zip(whole, gone_on, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_checkpoint_of_another_architecture_is_refused(trained, tmp_path):
    statics = trained.train.encoded.statics
    variables = trained.model.network.whole.variables
    checkpoint.save(tmp_path, variables, [], {})
    other = network.build(architecture_of(trained.vocabulary, statics, size=Size(16, 8, 24, 1)))
    with pytest.raises(BadInput, match="another architecture"):
        checkpoint.load(tmp_path, other.whole.variables)


def test_a_blend_is_kept_and_says_the_same_when_loaded(trained, tmp_path):
    rows = trained.later
    labelled = baselines.Labelled(rows.encoded.features, rows.purchased_within(MAIN_HORIZON_DAYS))
    trees = baselines.boosted_trees(labelled, labelled, SEED)
    mixed = replace(trained.model, blend=blend.Blend(0.4, trees))
    files.save(tmp_path, mixed)
    logits = training.logits_of(trained.model.network, rows.encoded)
    said = files.load(tmp_path).probabilities(logits, rows.encoded)
    np.testing.assert_array_equal(said, mixed.probabilities(logits, rows.encoded))
    assert np.abs(said - trained.model.probabilities(logits, rows.encoded)).max() > 0.01
    few = labelled._replace(features=labelled.features[:, :5])
    foreign = baselines.boosted_trees(few, few, SEED).boosters[0]
    foreign.save_model(tmp_path / files.BOOSTER.format(1))
    with pytest.raises(BadInput, match="read other features"):
        files.load(tmp_path)


def test_files_that_do_not_belong_together_are_refused(trained, tmp_path):
    files.save(tmp_path, trained.model)
    vocabulary = tmp_path / files.VOCABULARY
    kept = vocabulary.read_text()
    vocabulary.write_text(kept.replace('"p7":', '"p7x": 99, "p7":'))
    with pytest.raises(BadInput, match="is of another data set"):
        files.load(tmp_path)
    vocabulary.write_text(kept)
    config = tmp_path / files.CONFIG
    config.write_text(config.read_text().replace('"width": 16', '"width": 24'))
    with pytest.raises(BadInput, match="another architecture"):
        files.load(tmp_path)
    config.write_text(config.read_text().replace('"encoder"', '"decoder"'))
    with pytest.raises(BadInput, match="another release"):
        files.load(tmp_path)


def test_a_loss_that_is_no_number_ends_training(trained):
    rows = trained.train
    built = network.build(architecture_of(trained.vocabulary, rows.encoded.statics))
    broken = rows.encoded.statics.copy()
    broken[5] = np.nan
    bad = Rows(replace(rows.encoded, statics=broken), rows.first)
    plan = training.Plan(len(rows.first), 1)
    with pytest.raises(Refused, match="loss of the network became nan"):
        training.fit(built, source(bad), source(rows), plan)


def search_of(trained):
    rows = rows_of(trained.events.slice(0, 300), trained.vocabulary)
    sources = dict.fromkeys(PARTS, source(rows))
    survey, samples = fitting.surveyed(sources)
    known = fitting.fit_baselines(samples, SEED)
    return tuning.Search(Size(8, 4, 8, 1), trained.vocabulary, sources, survey, known, SEED)


def test_a_search_tries_the_present_settings_first_and_returns_the_best(trained):
    said, found = [], search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "STEPS", 1)
        best = tuning.search(found, 60, said.append, most_trials=2)
    assert len(said) == best["trials"] == 2
    assert f"'learning_rate': {training.LEARNING_RATE}" in said[0]
    assert best["later_loss"] == pytest.approx(
        min(float(line.split("loss ")[1].split()[0]) for line in said), abs=1e-4
    )


def test_a_search_ends_when_its_time_is_over(trained):
    found = search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "STEPS", 1)
        assert tuning.search(found, 1e-3, lambda _: None)["trials"] == 1


def test_a_feature_far_from_what_was_learned_says_no_more_than_a_bound():
    zeros = np.zeros((1, len(STATICS)), np.float32)
    sizes = vocabulary_sizes(learn_vocabulary([simulated(3)]))
    built = network.build(
        network.Architecture(
            "mlp", Size(8, 4, 8, 1), sizes, zeros[0].tolist(), (zeros[0] + 1).tolist()
        )
    )
    state = np.zeros((1, 8), np.float32)
    far, farther = (
        np.asarray(built.decide([state, zeros + value])) for value in (network.FAR, 1e6)
    )
    near = np.asarray(built.decide([state, zeros + 1]))
    np.testing.assert_allclose(far, farther)
    assert np.abs(far - near).max() > 0
