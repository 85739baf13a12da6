"""A day is published whole, once, and for those who may be predicted."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from intent_tasks.core.identity import customer_keys
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import publish
from intent_tasks.stores import postgres, score_files
from intent_tasks.tables import erasures
from tests.database.conftest import CUSTOMERS, DAY, pin, score

pytestmark = pytest.mark.database


def _rows(settings, query="SELECT * FROM intent.predictions ORDER BY customer_id"):
    with postgres.reading(settings.analyst_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_all_scores_of_all_buckets_are_published_under_the_ids_of_the_shop(scored_shop):
    receipt = publish.run(scored_shop, DAY)
    assert receipt["rows"] == receipt["scored"] == len(CUSTOMERS)
    columns = "customer_id, probability_7d, band, stage, reasons->0->>'product_id', reason"
    columns += ", model_version"
    rows = _rows(scored_shop, f"SELECT {columns} FROM intent.latest_predictions ORDER BY 1")
    assert [row[0] for row in rows] == CUSTOMERS
    assert {row[1:] for row in rows} == {
        (0.25, "cold", "leaving", "p1", 'Said "yes", and more.', 1)
    }


def test_the_same_scores_again_change_no_byte(scored_shop):
    first = publish.run(scored_shop, DAY)
    before = _rows(scored_shop)
    assert publish.run(scored_shop, DAY) == first
    assert _rows(scored_shop) == before, "scored_at included"


def test_another_version_replaces_the_day_and_is_noted_as_a_promotion(scored_shop):
    publish.run(scored_shop, DAY)
    pin(scored_shop, DAY, version=2)
    score(scored_shop, DAY, lambda _: 0.75, version=2)
    assert publish.run(scored_shop, DAY)["model_version"] == 2
    assert {row[0] for row in _rows(scored_shop, "SELECT probability_7d FROM intent.predictions")
            } == {0.75}  # fmt: skip
    noted = "SELECT from_version, model_version FROM intent.promotions ORDER BY promotion_id"
    assert _rows(scored_shop, noted) == [(None, 1), (1, 2)]


def test_an_erased_customer_is_left_out_also_when_the_day_is_published_again(scored_shop):
    publish.run(scored_shop, DAY)
    key = customer_keys(CUSTOMERS[:1], scored_shop.identity_key.get_secret_value().encode())[0]
    with postgres.changing(scored_shop.pipeline_url, "erase") as connection:
        connection.execute(
            sa.insert(erasures).values(
                customer_key=str(key), key_id="k1", erased_at=datetime.now(UTC)
            )
        )
    receipt = publish.run(scored_shop, DAY)
    assert (receipt["scored"], receipt["rows"], receipt["erased"]) == (24, 23, 1)
    assert CUSTOMERS[0] not in str(_rows(scored_shop))


def test_a_day_without_a_pin_is_refused(small_shop):
    with pytest.raises(BadInput, match="No model version is pinned for 2026-06-10"):
        publish.run(small_shop, DAY)


def test_scores_of_another_version_than_the_pinned_are_refused(scored_shop):
    pin(scored_shop, DAY, version=2)
    with pytest.raises(BadInput, match="not scored with version 2"):
        publish.run(scored_shop, DAY)
    assert _rows(scored_shop) == [], "nothing is half-published"


def test_a_score_file_that_was_changed_is_refused_and_nothing_is_written(scored_shop):
    other = score_files.read(scored_shop.home, DAY, 0).slice(1)
    score_files.write(scored_shop.home, DAY, 0, other)
    with pytest.raises(BadInput, match="not those in the ledger"):
        publish.run(scored_shop, DAY)
    assert _rows(scored_shop) == []


def test_customers_that_cannot_be_named_stop_the_day(scored_shop):
    with postgres.changing(scored_shop.pipeline_url, "break") as connection:
        connection.execute(sa.text("DELETE FROM intent.customer_keys WHERE customer_id LIKE '%00'"))
    with pytest.raises(BadInput, match=r"24 customers were scored .* but 23 can be written"):
        publish.run(scored_shop, DAY)
    assert _rows(scored_shop) == []


def test_predictions_that_break_the_contract_are_not_published_and_those_before_stay(scored_shop):
    publish.run(scored_shop, DAY)
    before = _rows(scored_shop)
    score(scored_shop, DAY, lambda customer: 0.001)
    with pytest.raises(Refused, match=r"predictions\.mean_of_base_rate .* is 0\.004, allowed 0\.1"):
        publish.run(scored_shop, DAY)
    assert _rows(scored_shop) == before
