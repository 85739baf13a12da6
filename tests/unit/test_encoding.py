"""What the model reads at an anchor: all that was known then, and nothing of later."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.anchors import NEVER, first_purchases, split_days
from intent_tasks.core.encoding import NO_STEP, NUMERIC, STEP, encode, join, of_every
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.image_codes import compress_embeddings
from intent_tasks.core.vocabulary import (
    CODE_COLUMNS,
    COLUMNS,
    FIRST_CODE,
    UNKNOWN,
    codes_of,
    event_code,
    learn_vocabulary,
)
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
DEFINITION = Definition(time_zone="Europe/Berlin")
END = DEFINITION.day_end(ANCHOR)
LENGTH, STEPS = 4, 3


def event(customer="a", hours_before=1.0, **changes):
    at = END - timedelta(hours=hours_before)
    row = {"customer_key": customer, "event_type": "view", "product_id": "p1", "price": 10.0}
    row |= {"category_path": "shoes", "channel": "ads", "occurred_at": at, "ingested_at": at}
    return row | changes


def table(rows):
    numbered = [{"event_id": f"e{n}"} | row for n, row in enumerate(rows)]
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(numbered, SCHEMA).sort_by(order)


VOCABULARY = learn_vocabulary([table([event()] * 5 + [event(product_id="rare", channel="rare")])])
PAST = [event(hours_before=h) for h in (1, 5, 30)] + [
    event("b", 2, event_type="cart", product_id="rare", price=None, category_path=None)
]


def read(rows):
    known = event_arrays(table(rows), VOCABULARY, DEFINITION.time_zone)
    return known, encode(known, DEFINITION, ANCHOR)


def arrays(rows, customer="a"):
    known, encoded = read(rows)
    (row,) = np.flatnonzero(known.keys[encoded.customers] == customer)
    batch = encoded.batch(np.array([row]), LENGTH, STEPS)
    return batch | {name: batch[name][0] for name in ("steps", "features")}


def codes(rows, column, customer="a"):
    return list(arrays(rows, customer)["codes"][:, CODE_COLUMNS.index(column)])


def numbers(rows, name):
    got = arrays(rows)
    return list(
        got["steps"][:, STEP.index(name)]
        if name in STEP
        else got["numeric"][:, NUMERIC.index(name)]
    )


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize(
    "future",
    [
        event(hours_before=-0.001, event_type="purchase"),
        event(hours_before=-100, event_type="purchase"),
        event(hours_before=3, event_type="purchase", ingested_at=END),
        event(hours_before=3, event_type="purchase", ingested_at=END + timedelta(days=30)),
    ],
    ids=["a moment after", "days after", "arrived at the anchor", "arrived a month later"],
)
def test_nothing_of_the_future_is_read(future):
    assert_same(arrays([*PAST, future]), arrays(PAST))


def test_the_last_moment_before_the_anchor_is_read():
    last = event(hours_before=1e-3, event_type="purchase")
    assert codes([*PAST, last], "event_type")[-1] == event_code("purchase")


def test_a_customer_is_encoded_the_same_alone_and_with_others():
    others = [event(f"c{n}", n + 1) for n in range(9)]
    assert_same(arrays(PAST), arrays([*PAST, *others]))


def test_the_latest_events_are_read_the_newest_last():
    two = [event(hours_before=h, event_type=k) for h, k in ((9, "view"), (1, "cart"))]
    assert codes(two, "event_type") == [event_code("view"), event_code("cart")]
    assert list(arrays(two)["place"]) == [STEPS - 1, STEPS - 1]
    many = [event(hours_before=h, event_type="view") for h in range(2, 9)]
    newest = event(hours_before=1, event_type="search")
    read_of_many = codes([*many, newest], "event_type")
    assert len(read_of_many) == LENGTH
    assert read_of_many[-1] == event_code("search")


def test_events_of_several_customers_come_one_after_the_other_and_then_nothing():
    _, encoded = read(PAST)
    both = encoded.batch(np.arange(2), LENGTH, STEPS, room=lambda count: count + 3)
    alone = [encoded.batch(np.array([n]), LENGTH, STEPS) for n in range(2)]
    assert {place // STEPS for place in both["place"][:-3]} == {0, 1}
    for name in ("codes", "numeric"):
        np.testing.assert_array_equal(
            both[name],
            np.concatenate([*(each[name] for each in alone), np.zeros_like(both[name][:3])]),
        )
    places = [each["place"] + n * STEPS for n, each in enumerate(alone)]
    np.testing.assert_array_equal(both["place"], np.concatenate([*places, [NO_STEP] * 3]))


def test_a_share_of_a_batch_is_a_batch_of_these_rows():
    rows = [event(f"c{n}", n + 1 + 24 * back) for n in range(7) for back in range(n % 3 + 1)]
    _, encoded = read(rows)
    everybody = np.arange(len(encoded.customers))
    whole = encoded.batch(everybody, LENGTH, STEPS, room=lambda count: count + 2)
    for first in range(3):
        assert_same(of_every(whole, first, 3), encoded.batch(everybody[first::3], LENGTH, STEPS))


def test_events_of_a_day_are_one_step_and_days_without_events_are_gaps():
    rows = [event(hours_before=h) for h in (1, 2, 24 * 3 + 1, 24 * 8 + 1)]
    assert list(arrays(rows)["place"]) == [0, 1, 2, 2]
    assert numbers(rows, "present") == [1, 1, 1]
    gaps = np.exp(4 * np.array(numbers(rows, "days_to_next_log")))
    np.testing.assert_allclose(gaps, [5, 3, 1], rtol=1e-5)
    gaps = np.exp(4 * np.array(numbers(rows, "days_to_previous_log")))
    np.testing.assert_allclose(gaps[1:], [5, 3], rtol=1e-5)


def test_events_of_steps_that_are_not_read_are_left_out():
    rows = [event(hours_before=24 * n + 1) for n in range(4)]
    assert list(arrays(rows)["place"]) == [0, 1, 2]


def test_a_day_is_a_day_of_the_shop():
    before, after = (event(hours_before=24 - h) for h in (-0.5, 0.5))
    assert list(arrays([before, after])["place"])[-2:] == [1, 2]
    assert list(arrays([after, event()])["place"])[-2:] == [2, 2]


def test_a_view_of_the_product_viewed_just_before_is_marked():
    rows = [event(hours_before=4), event(hours_before=3), event(hours_before=2, product_id="x")]
    rows += [event(hours_before=1, event_type="cart", product_id="x")]
    assert numbers(rows, "repeat_view") == [0, 1, 0, 0]


def test_rare_missing_and_unseen_values_share_codes():
    assert codes(PAST, "product_id", "b")[-1] >= FIRST_CODE + len(VOCABULARY["product_id"])
    assert codes(PAST, "category_path", "b")[-1] == UNKNOWN, "null"
    assert codes([event(channel="rare")], "channel")[-1] == UNKNOWN, "seen once, and not hashed"
    assert codes([event(device=None)], "device")[-1] == UNKNOWN, "absent"
    unseen = codes([event(product_id="never seen")], "product_id")[-1]
    own = FIRST_CODE + len(VOCABULARY["product_id"])
    assert own <= unseen < own + COLUMNS["product_id"].hashes
    assert codes(PAST, "event_type", "b")[-1] == event_code("cart")


def test_words_are_hashed_in_any_case_and_no_text_has_no_code():
    word_codes = arrays([event(query_text="Red shoes")])["codes"][
        -1, CODE_COLUMNS.index("word_0") :
    ]
    second = arrays([event(review_text="RED SHOES")])["codes"][-1, CODE_COLUMNS.index("word_0") :]
    assert list(word_codes) == list(second)
    assert (word_codes[:2] >= FIRST_CODE).all()
    assert not word_codes[2:].any()
    assert not arrays([event()])["codes"][-1, CODE_COLUMNS.index("word_0") :].any()


def words(**changes):
    return list(arrays([event(**changes)])["codes"][-1, CODE_COLUMNS.index("word_0") :])


def test_an_event_without_text_of_its_own_says_the_title_of_its_product():
    title = words(title="Red shoes")
    assert title == words(query_text="red shoes")
    assert words(title="Red shoes", review_text="too small") == words(review_text="too small")
    assert not any(words(title="Red shoes", event_type="search")), "what was searched is not known"


def pictured(*embeddings):
    compressed = compress_embeddings(pa.table({"image_embedding": pa.array(embeddings, LISTS)}))
    return compressed["picture"].to_pylist()


LISTS = pa.list_(pa.float64())


def picture_codes(learned, queried):
    """Return the codes of pictures when others were learned from."""
    known = learn_vocabulary([table([event(picture=p) for p in learned])])
    events = table([event(hours_before=99 - n, picture=p) for n, p in enumerate(queried)])
    return list(event_arrays(events, known, "UTC").codes_by_column["picture"])


def near(rng, centre):
    return list(centre + rng.normal(scale=0.1, size=len(centre)))


def test_pictures_that_look_alike_have_one_code_and_no_picture_is_unknown():
    rng = np.random.default_rng(1)
    looks = 5 * rng.normal(size=(COLUMNS["picture"].most, 200))
    learned, new = (pictured(*(near(rng, c) for c in looks)) for _ in range(2))
    codes = picture_codes(learned * 2, [*learned, *new, None])
    count = len(looks)
    assert len(set(codes[:count])) > 0.95 * count
    assert codes[count:-1] == codes[:count], "a picture that was never seen has a neighbour"
    assert codes[-1] == UNKNOWN
    assert min(codes[:-1]) >= FIRST_CODE
    assert max(codes) < FIRST_CODE + count


def test_a_picture_of_another_length_or_of_no_use_is_unknown():
    six, eight = pictured([1.0] * 6, [1.0] * 8)
    assert picture_codes([six, six, eight], [six, eight]) == [FIRST_CODE, UNKNOWN]
    assert picture_codes([None], [six]) == [UNKNOWN], "none was learned from"
    assert pictured([], [0.0, 0.0], [1.0, None], [float("inf"), 1.0], None) == [None] * 5


def test_a_long_embedding_keeps_its_angles():
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 1000))
    alike = pictured(one, one + 0.1 * other, 7 * one, other)
    assert alike[0] == alike[2], "the length of a vector tells nothing"
    assert picture_codes([alike[0], alike[3]], alike) == picture_codes(alike[::3], alike)
    first, close, _, far = picture_codes([alike[0], alike[3]], alike)
    assert (first == close, first == far) == (True, False)


def test_the_vocabulary_of_pictures_is_the_same_each_time_and_as_json():
    rng = np.random.default_rng(3)
    events = table([event(picture=p) for p in pictured(*rng.normal(size=(300, 64)))])
    known = learn_vocabulary([events])
    assert learn_vocabulary([events]) == known
    second = json.loads(json.dumps(known, sort_keys=True))
    assert (codes_of(events, second) == codes_of(events, known)).all()


def test_anchors_joined_are_read_as_they_are_alone():
    known = event_arrays(table(PAST), VOCABULARY, DEFINITION.time_zone)
    one, two = (encode(known, DEFINITION, ANCHOR - timedelta(days=n)) for n in (0, 1))
    both = join([one, two])
    assert len(two.customers) > 0
    chosen = np.arange(len(two.customers))
    assert_same(
        both.batch(chosen + len(one.customers), LENGTH, STEPS), two.batch(chosen, LENGTH, STEPS)
    )


def test_the_population_is_all_customers_with_a_recent_event():
    long_ago = event("old", 24 * 31)
    known, encoded = read([*PAST, long_ago])
    assert list(known.keys[encoded.customers]) == ["a", "b"]


def test_nobody_is_no_error():
    _, encoded = read([event("old", 24 * 31)])
    assert len(encoded.customers) == 0
    assert encoded.features.shape[0] == 0


def bought_in(*days_after):
    """Return in which horizon a customer purchases first, who buys at these days after."""
    rows = [event(), *(event(hours_before=-24 * d, event_type="purchase") for d in days_after)]
    known, encoded = read(rows)
    return int(first_purchases(known, encoded.customers, ANCHOR, DEFINITION)[0])


def test_a_label_is_the_first_horizon_with_a_purchase():
    assert bought_in(0.5) == HORIZONS_DAYS.index(1)
    assert bought_in(2.9, 0.9) == HORIZONS_DAYS.index(1)
    assert bought_in(1.0) == HORIZONS_DAYS.index(3), "the end of a day belongs to the next"
    assert bought_in(6.9) == HORIZONS_DAYS.index(7)
    assert bought_in(13.9) == HORIZONS_DAYS.index(14)
    assert bought_in(14.0) == NEVER
    assert bought_in() == NEVER


def test_a_purchase_just_before_the_anchor_is_history_and_no_label():
    known, encoded = read([event(hours_before=0.01, event_type="purchase")])
    assert first_purchases(known, encoded.customers, ANCHOR, DEFINITION)[0] == NEVER


def test_a_day_with_25_hours_ends_when_the_shop_says():
    day = date(2026, 10, 25)
    assert DEFINITION.day_end(day) - DEFINITION.day_start(day) == timedelta(hours=25)
    assert DEFINITION.day_end(day) == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_parts_are_in_the_order_of_time_with_a_gap_of_the_longest_horizon():
    parts = split_days(date(2026, 1, 1), date(2026, 3, 1))
    gap = timedelta(days=max(HORIZONS_DAYS))
    assert parts.calibrate[0] - parts.train[-1] > gap
    assert parts.test[0] - parts.calibrate[-1] > gap
    assert parts.train[0] == date(2026, 1, 1)
    assert parts.test[-1] == date(2026, 3, 1)


def test_too_few_days_cannot_be_split():
    assert split_days(date(2026, 1, 1), date(2026, 1, 30)) is None
