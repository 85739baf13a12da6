"""No figure shown to people is about fewer than ten customers, nor can one be worked out."""

from datetime import timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.definition import LEAST_GROUP
from intent_tasks.steps import extract, mature, measure, publish
from intent_tasks.stores import postgres
from tests.database.conftest import CUSTOMERS, DAY, score

LATER = DAY + timedelta(days=2)


def shown(settings):
    """Return slice → customers, as the analyst sees them."""
    query = sa.text("SELECT DISTINCT slice, customer_count FROM intent.model_scorecard")
    with postgres.reading(settings.analyst_url) as connection:
        return dict(connection.execute(query).all())


@pytest.mark.database
@pytest.mark.parametrize(
    ("hot", "bands"), [(LEAST_GROUP, {"band=hot": 10, "band=cold": 14}), (LEAST_GROUP - 1, {})]
)
def test_a_band_of_fewer_than_ten_is_not_shown_nor_can_it_be_computed(scored_shop, hot, bands):
    likely = CUSTOMERS[:hot]
    score(scored_shop, DAY, lambda customer: 0.75 if customer in likely else 0.25)
    publish.run(scored_shop, DAY)
    extract.run(scored_shop, LATER)
    mature.run(scored_shop, LATER)
    measure.run(scored_shop, LATER)
    found = shown(scored_shop)
    assert found == {"all": 24} | bands
    assert min(found.values()) >= LEAST_GROUP


@pytest.mark.parametrize(
    ("levels", "slices"),
    [(["model"] * 20, []), (["model"] * 10 + ["recent"] * 10, ["model", "recent"])],
)
def test_the_fallback_level_makes_slices_where_there_are_several(levels, slices):
    rows = pa.table({"band": levels, "fallback_level": levels, "channel": levels})
    names = [name for name, _ in measure._slices(rows) if name.startswith("fallback_level=")]
    assert names == [f"fallback_level={level}" for level in slices]


@pytest.mark.database
def test_the_table_of_metrics_can_hold_no_small_group(settings):
    insert = sa.text(
        "INSERT INTO intent.feedback_metrics (as_of_date, role, horizon_days, slice, metric, "
        "restatement, customer_count, buyer_count, model_version, known_until) "
        "VALUES ('2026-06-10', 'champion', 1, 'all', 'auc', 0, :n, 1, 1, '2026-06-11')"
    )
    with (
        pytest.raises(sa.exc.IntegrityError, match="customer_count_is_no_small_group"),
        postgres.changing(settings.pipeline_url, "test") as connection,
    ):
        connection.execute(insert, {"n": LEAST_GROUP - 1})
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(insert, {"n": LEAST_GROUP})


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        ({"ads": 10, "mail": 10, "direct": 20}, ["ads", "direct", "mail"]),
        ({"ads": 9, "mail": 12, "direct": 20}, ["direct"]),
        ({"ads": 9, "app": 1, "direct": 20}, ["direct"]),
        ({"ads": 4, "direct": 20}, []),
        ({None: 4, "mail": 12, "direct": 20}, ["direct"]),
    ],
)
def test_hidden_groups_cannot_be_computed_by_subtraction(channels, names):
    values = [name for name, size in channels.items() for _ in range(size)]
    rows = pa.table({"band": values, "fallback_level": values, "channel": values})
    found = [name for name, _ in measure._slices(rows) if name.startswith("channel=")]
    assert found == [f"channel={name}" for name in names]
