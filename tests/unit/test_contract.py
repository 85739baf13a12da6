"""Thresholds: how they are read, refused, fitted and judged."""

import math
from pathlib import Path

import pytest

from expectations import catalogue, events, thresholds
from expectations.rule_factories import rule
from expectations.rules import Scale, Severity
from expectations.threshold_fitting import bound, bounds
from expectations.thresholds import Bound
from intent_tasks.errors import BadInput


def _file(tmp_path, text):
    (tmp_path / thresholds.FILE).write_text(text, encoding="utf-8")
    return tmp_path


def _rule(name="price_p50", **more):
    return rule(name, Severity.STOP, "a number", "", lambda t: None, **more)


def test_those_that_are_shipped_hold_without_a_file_and_name_only_rules_that_exist(tmp_path):
    limits = thresholds.read(tmp_path)
    assert limits["events"].rules["rows"] == Bound(Severity.STOP, low=1)
    for suite, found in limits.items():
        assert found.rules.keys() <= catalogue.meanings(suite).keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[events.rules\n", "cannot be read"),
        ("[event.rules]\n", "wrong at event: suites are events"),
        ("[events.rule]\n", "wrong at events: it holds the tables rules"),
        ("[events.rules]\nrows = 1\n", r"events\.rules\.rows: write \{ severity"),
        ('[events.rules]\nrows = { severity = "hard", low = 1 }', r"rows\.severity: it is one of"),
        ('[events.rules]\nrows = { severity = "stop" }', "give low, high or both"),
        ('[events.rules]\nrows = { severity = "stop", low = 2, high = 1 }', "low not above high"),
        ('[events.rules]\nrows = { severity = "stop", low = nan }', r"rows\.low: it is a number"),
        ('[events.rules]\nrows = { severity = "stop", low = "1" }', r"rows\.low: it is a number"),
        ("[events.shares.channel]\ndirect = true", r"channel\.direct: it is a number"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_place(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        thresholds.read(_file(tmp_path, text))


def test_bounds_on_a_rule_that_does_not_exist_are_refused(tmp_path):
    text = '[events.rules]\nprize_p50 = { severity = "stop", low = 1 }'
    limits = thresholds.read(_file(tmp_path, text))["events"]
    with pytest.raises(BadInput, match=r"events\.prize_p50, which is no rule"):
        catalogue.applying("events", limits, events.RULES, [])


def test_a_suite_of_which_a_file_names_no_rule_keeps_the_shipped_ones(tmp_path):
    shipped = thresholds.read(tmp_path)
    text = (
        '[events.rules]\nrows = { severity = "stop", low = 7 }\n'
        '[customers.rules]\nconsent_coverage = { severity = "stop", low = 0.01 }'
    )
    limits = thresholds.read(_file(tmp_path, text))
    assert limits["events"].rules == {"rows": Bound(Severity.STOP, low=7)}
    lower = {"consent_coverage": Bound(Severity.STOP, low=0.01)}
    assert limits["customers"].rules == shipped["customers"].rules | lower
    assert limits["products"] == shipped["products"]


def test_what_is_written_is_read_back(tmp_path):
    limits = thresholds.read(tmp_path)
    text = thresholds.text("A header.\n\nMore.", limits, {s: catalogue.meanings(s) for s in limits})
    assert thresholds.read(_file(tmp_path, text)) == limits


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -0.001, 1.001, math.nan, math.inf, None])
def test_great_expectations_judges_as_the_bound_says(tmp_path, value):
    from datetime import UTC, datetime

    from expectations.suite import suite
    from intent_tasks.stores.contracts import data_docs

    held = Bound(Severity.STOP, 0.0, 1.0)
    at = datetime(2026, 6, 11, tzinfo=UTC)
    judged = data_docs.judge(tmp_path, suite("s", {"r": held}, {}), {"r": value}, "d", at)
    assert judged.kept == {"r": held.allows(value)}
    assert "0 to 1" in (tmp_path / Path(judged.page)).read_text()


def test_the_index_lists_the_newest_days_only_and_every_day_keeps_its_page(tmp_path, monkeypatch):
    from datetime import UTC, datetime

    from expectations.suite import suite
    from intent_tasks.stores.contracts import data_docs

    monkeypatch.setattr(data_docs, "MOST_LISTED", 2)
    made, held = suite("s", {"r": Bound(Severity.STOP, 0.0, 1.0)}, {}), {"r": 0.5}
    pages = [
        data_docs.judge(tmp_path, made, held, f"day {n}", datetime(2026, 6, n, tzinfo=UTC)).page
        for n in (1, 2, 3)
    ]
    index = (tmp_path / "data_docs" / "index.html").read_text()
    assert [f"day {n}" in index for n in (1, 2, 3)] == [False, True, True]
    assert all((tmp_path / page).exists() for page in pages)


def test_a_bound_lies_outside_all_clean_days_and_one_odd_day_does_not_move_it_far():
    days = [100.0 + n % 5 for n in range(40)]
    fitted = bound(_rule(scale=Scale.RATIO, slack=0.01), days)
    assert all(fitted.allows(day) for day in days)
    assert not fitted.allows(115.0)
    assert not bound(_rule(scale=Scale.RATIO, slack=0.01), [*days, 1000.0]).allows(115.0)


def test_the_low_bound_of_an_amount_is_above_nothing_however_much_it_varies():
    fitted = bound(_rule(scale=Scale.RATIO), [1.0, 10.0, 100.0])
    assert fitted.low is not None
    assert fitted.low > 0


def test_a_rule_that_cannot_be_measured_on_most_days_gets_no_bound():
    days = [{"price_p50": None}] * 5 + [{"price_p50": 1.0}] * 5
    assert bounds([_rule()], days) == {}
