"""A small shop whose days are pinned and scored by hand, so that every figure can be redone."""

import json
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pytest

from intent_tasks.core.identity import buckets_of, customer_keys
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.formats import files
from intent_tasks.steps import extract
from intent_tasks.stores import ledger, postgres, score_files, simulated_shop

DAY = date(2026, 6, 10)
"""First day that is predicted."""

CUSTOMERS = [f"customer {n:02d}" for n in range(24)]


def event(number, customer, on, kind="view", **more):
    """Return an event at noon of a day."""
    at = datetime.combine(on, time(12), UTC)
    row = {"event_id": f"e{number}", "customer_id": customer, "event_type": kind,
           "occurred_at": at, "ingested_at": at}  # fmt: skip
    return row | more


def add(settings, rows):
    """Append events to the shop."""
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        postgres.copy_in(connection, "shop.events", pa.Table.from_pylist(rows, files.SCHEMA))


def pin(settings, day, version=1):
    """Pin a version for a day, as the step of that name does."""
    receipt = {
        "as_of_date": str(day),
        "model_version": version,
        "run_id": f"run {version}",
        "buckets": list(range(settings.bucket_count)),
        "base_rates": {str(h): 0.25 for h in HORIZONS_DAYS},
        "thresholds": {str(h): 0.5 for h in HORIZONS_DAYS},
    }
    ledger.finish_step(settings, "pin", day, receipt)


def score(settings, day, probability_of=lambda customer: 0.25, version=1):
    """Score every customer, as the step of that name does."""
    keys = customer_keys(CUSTOMERS, settings.identity_key.get_secret_value().encode())
    for bucket in range(settings.bucket_count):
        rows = [
            _score(key, probability_of(customer))
            for key, customer, of in zip(
                keys, CUSTOMERS, buckets_of(keys, settings.bucket_count), strict=True
            )
            if of == bucket
        ]
        scores = pa.Table.from_pylist(rows, score_files.SCHEMA)
        digest = score_files.write(settings.home, day, bucket, scores)
        counts = {"population": len(rows), "scored": len(rows), "skipped_without_consent": 0}
        receipt = {"digest": digest, "model_version": version, **counts}
        with ledger.transaction(settings, "score", day, bucket) as connection:
            ledger.record(connection, "score", day, receipt, bucket)


def _score(key, probability):
    reasons = [{"event_type": "view", "product_id": "p1", "occurred_on": str(DAY), "effect": 0.1}]
    return {
        "customer_key": str(key),
        "role": "champion",
        **{f"probability_{h}d": probability for h in HORIZONS_DAYS},
        "band": "hot" if probability > 0.5 else "cold",
        "stage": "ready" if probability > 0.5 else "leaving",
        "reasons": json.dumps(reasons),
        "reason": 'Said "yes", and more.',
        "fallback_level": "model",
        "channel": None,
    }


def make_small_shop(settings):
    """Return settings of a shop in which 24 customers view something on DAY and the days after.

    All of them allow personalisation; the shop does not record consent to marketing.
    """
    settings = settings.model_copy(update={"history_days": 4})
    rows = [
        event(f"{customer}/{n}", customer, DAY + timedelta(days=n))
        for customer in CUSTOMERS
        for n in range(20)
    ]
    consent = {"customer_id": CUSTOMERS, "consent_personalisation": [True] * len(CUSTOMERS)}
    batches = [pa.Table.from_pylist(rows, files.SCHEMA)]
    simulated_shop.load(settings, "a shop", "digest", batches, customers_known=pa.table(consent))
    return settings


def make_scored_shop(settings):
    """Return settings of the same shop with DAY extracted, pinned and scored."""
    settings = make_small_shop(settings)
    extract.run(settings, DAY)
    pin(settings, DAY)
    score(settings, DAY)
    return settings


@pytest.fixture
def small_shop(settings):
    """See `make_small_shop`."""
    return make_small_shop(settings)


@pytest.fixture
def scored_shop(settings):
    """See `make_scored_shop`."""
    return make_scored_shop(settings)
