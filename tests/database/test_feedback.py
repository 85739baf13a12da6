"""What came true: outcomes as they mature, late ones included, and metrics with restatements."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.core import metrics
from intent_tasks.errors import BadInput, NothingToDo
from intent_tasks.steps import extract, mature, measure, publish, run_step
from intent_tasks.stores import postgres
from tests.database.conftest import CUSTOMERS, DAY, add, event, score

pytestmark = pytest.mark.database

BUYERS = CUSTOMERS[:6]

ALL_METRICS = (
    "SELECT horizon_days, slice, metric, value, restatement FROM intent.feedback_metrics "
    "ORDER BY 1, 2, 3, 5"
)


def _after(days):
    return DAY + timedelta(days=days)


def _ask(settings, query):
    with postgres.reading(settings.analyst_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def _buyers(settings):
    query = "SELECT horizon_days, customer_id FROM intent.outcomes WHERE purchased ORDER BY 1, 2"
    found = {}
    for horizon, customer in _ask(settings, query):
        found.setdefault(horizon, []).append(customer)
    return found


def _metric(settings, metric, horizon=1, part="all"):
    query = (
        "SELECT value, baseline, restatement FROM intent.feedback_metrics WHERE "
        f"metric = '{metric}' AND horizon_days = {horizon} AND slice = '{part}' ORDER BY 3"
    )
    return _ask(settings, query)


@pytest.fixture
def published(scored_shop):
    """Of six likely customers three buy on the first day after, one on the second and the third."""
    score(scored_shop, DAY, lambda customer: 0.75 if customer in BUYERS else 0.125)
    publish.run(scored_shop, DAY)
    bought = [*((c, 1) for c in BUYERS[:3]), (BUYERS[3], 2), (BUYERS[4], 3)]
    add(scored_shop, [event(f"b{c}", c, _after(d), "purchase") for c, d in bought])
    return scored_shop.model_copy(update={"history_days": 20})


def _feed_back(settings, days):
    extract.run(settings, _after(days))
    mature.run(settings, _after(days))
    return measure.run(settings, _after(days))


def test_nothing_is_known_before_the_shortest_horizon_and_the_lag_are_over(published):
    extract.run(published, _after(1))
    with pytest.raises(NothingToDo, match="No outcome is known by the end of 2026-06-11"):
        mature.run(published, _after(1))
    with pytest.raises(NothingToDo):
        measure.run(published, _after(1))


def test_each_horizon_matures_on_its_day(published):
    _feed_back(published, 2)
    assert _buyers(published) == {1: BUYERS[:3]}
    _feed_back(published, 4)
    assert _buyers(published) == {1: BUYERS[:3], 3: BUYERS[:5]}
    _feed_back(published, 15)
    assert set(_buyers(published)) == {1, 3, 7, 14}


def test_metrics_are_what_can_be_counted_by_hand(published):
    _feed_back(published, 2)
    assert _metric(published, "precision")[0][0] == pytest.approx(3 / 6)
    assert _metric(published, "recall")[0][0] == pytest.approx(3 / 3)
    assert _metric(published, "accuracy")[0][0] == pytest.approx(21 / 24)
    assert _metric(published, "base_rate")[0][0] == pytest.approx(3 / 24)
    # Predicting the base rate of 0.25 for everybody: (21 × 0.25² + 3 × 0.75²) / 24
    assert _metric(published, "brier")[0][1] == pytest.approx((21 * 0.0625 + 3 * 0.5625) / 24)
    assert _metric(published, "precision", part="band=hot") == [], "6 customers are too few to show"
    assert _metric(published, "recall", part="band=cold") == [], "it would tell of the other 6"


def test_the_same_day_again_writes_nothing(published):
    _feed_back(published, 2)
    before = _ask(published, "SELECT * FROM intent.feedback_metrics ORDER BY 1, 2, 3, 4, 5")
    assert _feed_back(published, 2)["rows"] == 0
    assert before == _ask(published, "SELECT * FROM intent.feedback_metrics ORDER BY 1, 2, 3, 4, 5")


def test_a_metric_that_is_added_reaches_the_days_of_the_past(published, monkeypatch):
    names = [name for name in metrics.METRICS if name != "brier"]
    with monkeypatch.context() as before:
        before.setattr(metrics, "METRICS", names)
        before.setattr(measure, "METRICS", names)
        _feed_back(published, 2)
        assert _metric(published, "brier") == []
        older = _ask(published, ALL_METRICS)
    added = measure.run(published, _after(2))
    assert [restatement for *_, restatement in _metric(published, "brier")] == [0]
    assert added["rows"] > 0
    assert added["restated"] == 0
    assert [row for row in _ask(published, ALL_METRICS) if row[2] != "brier"] == older
    assert measure.run(published, _after(2))["rows"] == 0


def test_the_log_of_a_step_ends_with_what_it_counted(published, caplog):
    caplog.set_level("INFO", "intent_tasks")
    _feed_back(published, 2)
    receipt = run_step(published, "measure", _after(2), {})
    assert (receipt["days"], receipt["rows"]) == (1, 0)
    assert "measuring 0 of 1 days with outcomes" in caplog.messages
    assert caplog.messages[-1].startswith("measure of 2026-06-12 ended after ")
    assert caplog.messages[-1].endswith(" s: days 1, days_changed 0, rows 0, restated 0")


def test_a_metric_that_is_added_reaches_days_whose_outcomes_no_longer_change(
    published, monkeypatch
):
    with monkeypatch.context() as before:
        before.setattr(measure, "METRICS", metrics.METRICS[:-1])
        before.setattr(metrics, "METRICS", metrics.METRICS[:-1])
        _feed_back(published, 2)
    assert _metric(published, metrics.METRICS[-1]) == []
    years_later = _after(1000)
    assert measure.run(published, years_later)["days_changed"] == 1
    assert len(_metric(published, metrics.METRICS[-1])) == 1
    assert measure.run(published, years_later)["days_changed"] == 0


def test_a_metric_that_is_computed_in_another_way_restates_the_days_of_the_past(
    published, monkeypatch
):
    _feed_back(published, 2)
    computed = measure.metrics

    def doubled(*arguments):
        found = computed(*arguments)
        return found | {"brier": found["brier"]._replace(value=2 * found["brier"].value)}

    monkeypatch.setattr(measure, "metrics", doubled)
    assert measure.run(published, _after(2))["rows"] == 0, "nothing says that it has changed"
    monkeypatch.setattr(measure, "METRICS_VERSION", measure.METRICS_VERSION + 1)
    restated = measure.run(published, _after(2))
    first, second = _metric(published, "brier")
    assert (second[0], second[2]) == (2 * first[0], 1)
    assert restated["rows"] == restated["restated"] > 0


def test_a_purchase_that_arrives_late_restates_the_metrics_and_keeps_the_old(published):
    _feed_back(published, 2)
    late = event("late", BUYERS[5], _after(1), "purchase")
    late["ingested_at"] += timedelta(days=4)
    add(published, [late])
    receipt = _feed_back(published, 5)
    assert receipt["restated"] > 0
    recall = _metric(published, "base_rate")
    assert [(value, restated) for value, _, restated in recall] == [(3 / 24, 0), (4 / 24, 1)]
    known = "SELECT known_until FROM intent.outcomes WHERE horizon_days = 1 AND customer_id = "
    assert _ask(published, known + f"'{BUYERS[5]}'") == [(_after(5),)]
    assert _ask(published, known + f"'{BUYERS[0]}'") == [(_after(2),)]


def test_the_order_of_days_does_not_matter(published):
    everything = "SELECT * FROM intent.outcomes ORDER BY 1, 2, 3"
    for days in (2, 4, 15):
        _feed_back(published, days)
    forward = _ask(published, everything)
    with postgres.changing(published.pipeline_url, "forget") as connection:
        connection.execute(sa.text("DELETE FROM intent.outcomes"))
        connection.execute(sa.text("DELETE FROM intent.runs WHERE step IN ('outcomes', 'mature')"))
    for days in (15, 4, 2):
        mature.run(published, _after(days))
    assert _ask(published, everything) == forward


def test_a_purchase_after_the_horizon_or_before_the_anchor_does_not_count(published):
    add(published, [event("early", CUSTOMERS[10], DAY, "purchase"),
                    event("far", CUSTOMERS[11], _after(15), "purchase")])  # fmt: skip
    _feed_back(published, 15)
    assert not {*CUSTOMERS[10:12]} & {c for found in _buyers(published).values() for c in found}


def test_missing_snapshots_are_named(published):
    with pytest.raises(BadInput, match="days have no snapshot"):
        mature.run(published, _after(4))
