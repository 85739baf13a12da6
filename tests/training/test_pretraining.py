"""Pretraining on a shop where the last viewed products predict the next one."""

import json
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import keras
import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.item_embeddings import ItemEmbeddings, interaction_matrix, svd_vectors
from intent_tasks.core.next_event_targets import (
    NO_PRODUCT,
    RECENT_PRODUCTS,
    frequent_products,
    next_event_targets,
    product_categories,
    product_numbers,
)
from intent_tasks.core.vocabulary import PAD, event_code, learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.errors import BadInput, Refused
from intent_tasks.models import network
from intent_tasks.models.pretraining import heads, weights
from intent_tasks.models.pretraining import losses as learner
from intent_tasks.models.pretraining import train as pretraining
from intent_tasks.models.sizes import Size
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR, SEED = date(2026, 6, 10), 5
DEFINITION = Definition()
END = DEFINITION.day_end(ANCHOR)
KINDS, PRODUCTS_OF_KIND, CUSTOMERS = 4, 5, 300
RATE = 1e-2
"""High, because a pass over this shop is two steps."""
NEVER = len(HORIZONS_DAYS)


def table_of(rows):
    """Return events from (customer, type, days from the anchor, product, category)."""
    named = [
        {
            "customer_key": customer,
            "event_id": f"e{n}",
            "event_type": kind,
            "product_id": product,
            "category_path": category,
            "occurred_at": END + timedelta(days=day),
            "ingested_at": END + timedelta(days=day),
        }
        for n, (customer, kind, day, product, category) in enumerate(rows)
    ]
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(named, SCHEMA).sort_by(order)


def examples_of(events, products=None, vocabulary=None):
    products = frequent_products([events]) if products is None else products
    everything = event_arrays(events, vocabulary or learn_vocabulary([events]), "UTC")
    return next_event_targets(everything, product_numbers(events, products), DEFINITION, [ANCHOR])


def shop(first, last):
    """Return customers who view two products of one kind, and later a third of that kind."""
    rng, rows = np.random.default_rng(first), []
    for n in range(first, last):
        kind = n % KINDS
        three = rng.permutation(PRODUCTS_OF_KIND)[:3]
        for day, product in zip((-1.2, -1.1, 1.5), three, strict=True):
            row = (f"c{n:05d}", "view", day, f"p{kind}{product}", f"root/{kind}")
            rows.append(row)
    return table_of(rows)


@pytest.fixture(scope="module")
def learned():
    network.deterministic(SEED)
    events, later = shop(0, CUSTOMERS), shop(CUSTOMERS, CUSTOMERS + 100)
    vocabulary, products = learn_vocabulary([events]), frequent_products([events])
    train = examples_of(events, products, vocabulary)
    validation = examples_of(later, products, vocabulary)
    architecture = network.Architecture(
        "gru",
        Size(16, 8, 16, 1),
        vocabulary_sizes(vocabulary),
    )
    start = start_of(events, products, architecture)
    whole = fitted(architecture, start, (train, validation), vocabulary, products)
    return SimpleNamespace(
        **vars(whole), whole=whole, start=start, validation=validation, train=train
    )


def fitted(architecture, start, samples, vocabulary, products):
    network.deterministic(SEED)
    learns, ranks = (learner.Learner.of(architecture, start) for _ in range(2))
    epochs = pretraining.fit(learns, *([each] for each in samples), SEED, learning_rate=RATE)
    epochs.restore(ranks, "product")
    what = (learns, ranks, architecture, vocabulary, products, epochs.curve, CUSTOMERS)
    return pretraining.Learned(*what)


def start_of(events, products, architecture):
    everything = event_arrays(events, learn_vocabulary([events]), "UTC")
    numbers = product_numbers(events, products)
    holders = interaction_matrix(everything.customer, numbers, len(products))
    kinds = product_categories(everything, numbers, len(products))
    return heads.item_embeddings(holders, kinds, architecture, SEED)


def test_targets_are_the_next_event_and_the_first_new_product():
    events = table_of(
        [
            ("a", "view", -2, "old", "root/x"),
            ("a", "cart", 2.5, "old", "root/x"),
            ("a", "view", 2.6, "new", "root/x"),
            ("a", "view", 2.7, "newer", "root/x"),
            ("b", "view", -1, "old", "root/x"),
            ("b", "view", 15, "new", "root/x"),
        ]
    )
    products = ["new", "newer", "old"]
    _, targets = examples_of(events, products)
    assert targets.gap.tolist() == [1, NEVER], "within 3 days; not within 14"
    assert targets.event_type.tolist() == [event_code("cart"), PAD]
    assert targets.product.tolist() == [products.index("new"), NO_PRODUCT]
    assert targets.has_product.tolist() == [True, False]


def test_a_next_product_that_is_not_ranked_has_no_number():
    events = table_of([("a", "view", -2, "old", None), ("a", "view", 2, "new", None)])
    _, targets = examples_of(events, ["old"])
    assert targets.product.tolist() == [NO_PRODUCT]
    assert targets.has_product.tolist() == [True]


def test_recent_products_are_distinct_and_newest_first():
    looks = [*range(RECENT_PRODUCTS + 5), 7]
    rows = [("a", "view", -5 + n / 10, f"p{p:02d}", None) for n, p in enumerate(looks)]
    rows += [("b", "view", -1, "p03", None)]
    _, targets = examples_of(table_of(rows), [f"p{n:02d}" for n in range(RECENT_PRODUCTS + 5)])
    newest = [7, *(n for n in range(RECENT_PRODUCTS + 4, -1, -1) if n != 7)][:RECENT_PRODUCTS]
    assert targets.recent_products.tolist() == [newest, [3] + [NO_PRODUCT] * (RECENT_PRODUCTS - 1)]


def test_initial_vectors_of_products_with_the_same_customers_are_near():
    events = shop(0, 80)
    products = frequent_products([events])
    numbers = product_numbers(events, products)
    everything = event_arrays(events, learn_vocabulary([events]), "UTC")
    vectors = svd_vectors(
        interaction_matrix(everything.customer, numbers, len(products)), KINDS, SEED
    )
    kind = np.array([name[1] for name in products])
    near, same = vectors @ vectors.T, kind[:, None] == kind
    assert near[same].min() > near[~same].max()


def test_customers_with_too_many_products_are_left_out():
    customers, numbers = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, -1, 0, 1, 2, 2], np.int32)
    assert interaction_matrix(customers, numbers, 3).toarray().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert interaction_matrix(customers, numbers, 3, most=2).toarray().tolist() == [
        [1, 1, 0],
        [0, 0, 0],
    ]


def test_pretraining_lowers_the_loss_of_every_head(learned):
    first, best = learned.curve[0], learned.whole.best
    assert set(learner.LOSSES) < set(first)
    for name in learner.LOSSES.keys() - {"product"}:
        assert best[name] < first[name], name
    # The initial product vectors already predict this shop; training must not lose that.
    assert best["product"] < first["product"] + 0.01 < np.log(len(learned.products)) - 1


def test_wrong_initial_product_vectors_are_corrected(learned):
    other = np.random.default_rng(SEED).permutation(len(learned.products))
    wrong = learned.start._replace(
        product_vectors=learned.start.product_vectors[other], category=learned.start.category[other]
    )
    samples = (learned.train, learned.validation)
    second = fitted(learned.architecture, wrong, samples, learned.vocabulary, learned.products)
    losses = [seen["product"] for seen in second.curve]
    assert min(losses) < losses[0] - 0.2


def test_the_next_product_is_ranked_near_the_top(learned):
    encoded, targets = learned.validation
    vectors = learner.customer_vectors(learned.ranker, encoded, targets)
    scores = vectors @ learned.ranker.heads.products.table().T
    np.put_along_axis(scores, targets.recent_products[:, :2].astype(int), -np.inf, axis=1)
    place = (scores > scores[np.arange(len(scores)), targets.product][:, None]).sum(axis=1)
    assert np.mean(place < PRODUCTS_OF_KIND - 2) > 0.9, "it is one of three that are left"


def test_the_sampled_loss_equals_the_full_softmax_if_all_products_are_drawn():
    products = heads.ProductRanking(30, 4)
    products.build((None, 6))
    width = products.width + 1
    vectors = np.random.default_rng(SEED).normal(size=(5, width)).astype(np.float32)
    seen = np.full((5, RECENT_PRODUCTS), NO_PRODUCT, np.int32)
    target = np.array([0, 3, 29, 7, NO_PRODUCT], np.int32)
    nothing = np.zeros(30, np.float32)
    args = (vectors, seen, target, np.arange(30, dtype=np.int32), nothing)
    got = np.asarray(heads.product_loss(products, *args))
    logits = vectors @ products.table().T
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got[:4], -np.log(chance[np.arange(4), target[:4]]), rtol=1e-4)
    assert got[4] == 0


def test_each_purpose_has_the_weights_of_its_best_epoch():
    epochs = pretraining.Epochs([], {})
    for total, product in ((3.0, 2.0), (2.0, 1.0), (1.5, 1.2), (1.6, 1.3)):
        epochs.add({"total": total, "product": product}, [np.array(total)])
    assert [epochs.best(name) for name in pretraining.PURPOSES] == [2, 1]
    assert epochs.weights == {"total": [1.5], "product": [2.0]}


def test_negatives_are_drawn_as_often_as_expected():
    rng, count = np.random.default_rng(SEED), 2000
    drawn, log_expected = (
        np.concatenate(e)
        for e in zip(*(heads.sample_negatives(rng, count) for _ in range(400)), strict=True)
    )
    often, expected = np.bincount(drawn, minlength=count), np.zeros(count)
    expected[drawn] = 400 * np.exp(log_expected)
    alike = np.arange(0, count, 50)
    together = [np.add.reduceat(values, alike) for values in (often, expected)]
    np.testing.assert_allclose(*together, rtol=0.1)


def test_all_products_are_negatives_if_there_are_few():
    drawn, often = heads.sample_negatives(np.random.default_rng(SEED), 50)
    assert (drawn.tolist(), often.tolist()) == (list(range(50)), [0] * 50)


def test_more_products_have_wider_vectors():
    widths = [heads.product_width(n) for n in (0, 1_000, 5_000, 20_000, 50_000)]
    assert widths == [64, 64, 128, 256, 256]
    assert heads.ProductRanking(20_000, 4).width == 256 + heads.CATEGORY_WIDTH


def test_a_product_without_customers_is_ranked_by_its_category():
    who, numbers = np.repeat(np.arange(20), 2), np.tile(np.array([0, 1, 2, 3], np.int32), 10)
    kind = np.array([2, 2, 3, 3, 2, 3], np.int32)
    start = ItemEmbeddings.of(
        interaction_matrix(who, numbers, 6),
        kind,
        4,
        (heads.product_width(6), heads.CATEGORY_WIDTH),
        SEED,
    )
    products = heads.ProductRanking(6, 4)
    products.build((None, 6))
    products.initialize(start)
    seen = np.full((2, RECENT_PRODUCTS), NO_PRODUCT, np.int32)
    seen[:, 0] = 0, 2
    scores = np.asarray(products(np.zeros((2, 6), np.float32), seen)) @ products.table().T
    assert scores[0, 4] > scores[0, 5] + 0.5, "of the category of product 0, and of the other"
    assert scores[1, 5] > scores[1, 4] + 0.5


def test_more_recent_products_give_a_longer_customer_vector():
    products = heads.ProductRanking(30, 4)
    products.build((None, 6))
    seen = np.full((2, RECENT_PRODUCTS), NO_PRODUCT, np.int32)
    seen[0, 0], seen[1] = 3, 3
    once, often = np.asarray(products(np.zeros((2, 6), np.float32), seen))[:, :-1]
    more = np.linalg.norm(often) / np.linalg.norm(once)
    assert 2 < more < 5, "longer than a mean, shorter than a sum"


@pytest.fixture(scope="module")
def saved(learned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    weights.save(folder, learned.whole, ANCHOR)
    return folder


def give(saved, architecture, vocabulary, before=ANCHOR + timedelta(days=1)):
    network.deterministic(SEED)
    built = network.build(architecture)
    weights.load(saved).initialize(built, architecture, vocabulary, before)
    return built


def test_training_starts_from_the_saved_weights(learned, saved):
    built = give(saved, learned.architecture, learned.vocabulary)
    inputs = learned.validation[0].batch(np.arange(8), 16, 8)
    inputs = {name: keras.ops.convert_to_tensor(values) for name, values in inputs.items()}
    expected = np.asarray(learned.learner.state(inputs))
    got = np.asarray(learner.Learner(built, learned.learner.heads).state(inputs))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_weights_of_another_network_are_refused_by_name(learned, saved, tmp_path):
    arguments, vocabulary = learned.architecture, learned.vocabulary
    with pytest.raises(BadInput, match=r"another encoder .*gru, not mlp"):
        give(saved, replace(arguments, encoder="mlp"), vocabulary)
    with pytest.raises(BadInput, match="another size"):
        give(saved, replace(arguments, size=Size(16, 8, 32, 1)), vocabulary)
    with pytest.raises(BadInput, match="another vocabulary"):
        give(saved, arguments, vocabulary | {"brand": {"x": 2}})
    with pytest.raises(BadInput, match="learned from events until 2026-06-10"):
        give(saved, arguments, vocabulary, ANCHOR)
    with pytest.raises(BadInput, match="does not hold what `intent pretrain`"):
        weights.load(tmp_path)


def test_the_same_seed_gives_the_same_files(learned, saved, tmp_path):
    arguments = learned.architecture, learned.start, (learned.train, learned.validation)
    second = fitted(*arguments, learned.vocabulary, learned.products)
    weights.save(tmp_path, second, ANCHOR)
    assert weights.digest(tmp_path) == weights.digest(saved)
    assert json.loads((tmp_path / "products.json").read_text()) == learned.products


def test_too_few_rows_or_days_are_refused(learned):
    few = examples_of(shop(0, 20), learned.products, learned.vocabulary)
    with pytest.raises(Refused, match="Only 20 training rows have a next event"):
        pretraining.fit(learned.learner, [few], [learned.validation], SEED)
    with pytest.raises(Refused, match="too few days to pretrain"):
        pretraining.days_of(ANCHOR - timedelta(days=41), ANCHOR)


def test_validation_days_follow_the_training_days_after_a_gap():
    train, later = pretraining.days_of(ANCHOR - timedelta(days=80), ANCHOR)
    assert later[-1] == ANCHOR - timedelta(days=14), "its outcomes are over by the last day"
    assert train[-1] + timedelta(days=14) <= later[0]
