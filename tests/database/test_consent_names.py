"""Consent of a view under another name is never taken for a yes."""

from datetime import UTC, datetime

import pytest

from intent_tasks.commands import check_source
from intent_tasks.errors import Refused
from intent_tasks.steps import validate
from intent_tasks.stores.privacy import consent
from tests.database.test_consent import change_shop
from tests.database.test_shop_types import DAY, run

pytestmark = pytest.mark.database

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)

EVENTS = (
    "CREATE VIEW shop.events AS SELECT 'e' || n AS event_id, 'c' || n AS customer_id, "
    "'view' AS event_type, timestamptz '2026-06-30 12:00Z' AS occurred_at "
    "FROM generate_series(1, 40) n"
)

BOTH = "true AS consent_personalisation, true AS consent_marketing"
"""Columns of ours that say yes."""


@pytest.fixture
def settings(settings):
    """Settings that read two days of history, for speed."""
    return settings.model_copy(update={"history_days": 2, "last_day": None})


def view(settings, columns):
    run(
        settings, EVENTS,
        f"CREATE VIEW shop.customers AS SELECT 'c' || n AS customer_id, {columns} "
        "FROM generate_series(1, 40) n",
    )  # fmt: skip


REFUSED = {
    "is_suppressed": f"{BOTH}, true AS is_suppressed",
    "unsubscribed": f"{BOTH}, true AS unsubscribed",
    "do_not_contact": f"{BOTH}, true AS do_not_contact",
    "opted_out": f"{BOTH}, true AS opted_out",
    "emailOptOut": f'{BOTH}, true AS "emailOptOut"',
    "blocked": f"{BOTH}, true AS blocked",
    "Suppressed": 'true AS consent_personalisation, true AS "Suppressed"',
    "gesperrt": f"{BOTH}, 'ja' AS gesperrt",
    "Widerspruch": f'{BOTH}, now() AS "Widerspruch"',
    "unsubscribed_at": f"{BOTH}, now() AS unsubscribed_at",
    "newsletter": "false AS newsletter",
    "einwilligung": "'nein' AS einwilligung",
    "accepts_marketing": "true AS accepts_marketing",
    "tracking_allowed": "false AS tracking_allowed",
    "ja_ich_will": "false AS ja_ich_will",
    "is_vip": "true AS is_vip",
}
"""Column that is named in the message → columns of the view."""


@pytest.mark.parametrize("name", REFUSED)
def test_consent_of_a_view_under_another_name_is_refused(settings, name):
    view(settings, REFUSED[name])
    refusal = rf"shop\.customers\.{name} .*INTENT_NO_CONSENT_COLUMNS"
    with pytest.raises(Refused, match=refusal):
        validate.run(settings, DAY)
    with pytest.raises(Refused, match=refusal):
        consent.keys(settings)
    lines = check_source.check(settings, NOW).lines
    assert any(line.startswith("PROBLEM") and f"shop.customers.{name} " in line for line in lines)


@pytest.mark.parametrize(
    ("columns", "accepted"),
    [
        ("true AS is_vip, 'x' AS segment", ["is_vip"]),
        ("true AS newsletter_popup_seen, true AS is_vip", ["newsletter_popup_seen", "is_vip"]),
        (f"{BOTH}, false AS blocked", ["blocked"]),
    ],
)
def test_one_line_of_configuration_accepts_what_is_no_consent(settings, columns, accepted):
    view(settings, columns)
    with pytest.raises(Refused, match=accepted[0]):
        validate.run(settings, DAY)
    validate.run(settings.model_copy(update={"no_consent_columns": accepted}), DAY)


@pytest.mark.parametrize(
    "columns",
    [
        "'SE' AS country, now() AS created_at, 7 AS order_count, 'gold' AS tier",
        f"{BOTH}, false AS suppressed, true AS is_vip, true AS newsletter_popup_seen, 1 AS blocks",
        f"{BOTH}, true AS is_vip, true AS newsletter, true AS consent_analytics",
        "true AS consent_marketing, true AS newsletter_popup_seen, true AS is_vip",
    ],
)
def test_columns_beside_ours_are_no_false_alarm(settings, columns):
    view(settings, columns)
    validate.run(settings, DAY)


def test_a_shop_that_confirms_that_it_records_no_consent_is_believed(settings):
    view(settings, "true AS is_vip")
    confirmed = settings.model_copy(update={"consent_not_recorded": True})
    assert validate.run(confirmed, DAY)["consent"] is None
    change_shop(settings, "DROP VIEW shop.customers")
    assert validate.run(settings, DAY)["consent"] is None
