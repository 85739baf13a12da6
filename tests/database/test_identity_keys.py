"""A key that is not that of the data is noticed before it does harm; tombstones outlive keys."""

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from intent_tasks.errors import Refused
from intent_tasks.steps import extract, publish
from intent_tasks.stores import identity, postgres, snapshots
from tests.database.conftest import CUSTOMERS, DAY

pytestmark = pytest.mark.database


def with_key(settings, name, secret="another key", **previous):
    """Return settings with another identity key."""
    return settings.model_copy(
        update={
            "identity_key": SecretStr(secret),
            "identity_key_id": name,
            "previous_identity_keys": {k: SecretStr(v) for k, v in previous.items()},
        }
    )


def bury(settings, customer, key_id="k1"):
    """Leave a tombstone."""
    insert = sa.text("INSERT INTO intent.erasures VALUES (:key, now(), :key_id)")
    key = identity.keys(settings, [customer], key_id)[0].as_py()
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(insert, {"key": key, "key_id": key_id})


@pytest.mark.parametrize(
    ("name", "said"), [("k2", "keyed with 'k1'"), ("k1", "is not the key 'k1'")]
)
def test_a_changed_key_is_refused_before_anything_is_written(scored_shop, name, said):
    changed = with_key(scored_shop, name)
    before = snapshots.manifest(scored_shop.home, DAY)
    for run in (extract.run, publish.run):
        with pytest.raises(Refused, match=said):
            run(changed, DAY)
    assert snapshots.manifest(scored_shop.home, DAY) == before


def test_an_erased_customer_is_known_under_the_key_of_the_tombstone(small_shop):
    bury(small_shop, CUSTOMERS[0])
    changed = with_key(small_shop, "k2", k1="identity key of the tests")
    receipt = extract.run(changed, DAY)
    assert (receipt["rows_in_snapshot"], receipt["rows_erased"]) == (23, 1)


def test_tombstones_of_a_key_nobody_has_stop_the_extract(small_shop):
    bury(small_shop, CUSTOMERS[0])
    with pytest.raises(Refused, match="tombstones of the key k1"):
        extract.run(with_key(small_shop, "k2"), DAY)
    assert snapshots.days(small_shop.home) == []
