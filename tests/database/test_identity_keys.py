"""A key that is not that of the data is noticed before it does harm; tombstones outlive keys."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from intent_tasks.errors import Refused
from intent_tasks.steps import extract, publish
from intent_tasks.stores import identity_keys, postgres, snapshots
from intent_tasks.stores.privacy import rotation
from tests.database.conftest import CUSTOMERS, DAY, add, event, score

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
    key = identity_keys.keys(settings, [customer], key_id)[0].as_py()
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(insert, {"key": key, "key_id": key_id})


@pytest.mark.parametrize(
    ("name", "message"), [("k2", "keyed with 'k1'"), ("k1", "is not the key 'k1'")]
)
def test_a_changed_key_is_refused_before_anything_is_written(scored_shop, name, message):
    changed = with_key(scored_shop, name)
    before = snapshots.manifest(scored_shop.home, DAY)
    for run in (extract.run, publish.run):
        with pytest.raises(Refused, match=message):
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


OLD = "identity key of the tests"


def known(settings, day=DAY):
    """Return customer_key and event_id of everything that is read for a day."""
    buckets = range(settings.bucket_count)
    rows = snapshots.read(settings.home, settings.definition, day, buckets)
    return {row["event_id"]: row["customer_key"] for row in rows.to_pylist()}


def test_a_rotation_changes_every_key_and_no_step_sees_a_difference(scored_shop):
    publish.run(scored_shop, DAY)
    bury(scored_shop, "somebody erased")
    folder = scored_shop.home / "training" / "2026-06-01"
    folder.mkdir(parents=True)
    old = identity_keys.keys(scored_shop, CUSTOMERS)
    pq.write_table(pa.table({"customer_key": old}), folder / "test.parquet")
    before = known(scored_shop)
    changed = with_key(scored_shop, "k2", k1=OLD)
    done = rotation.rotate(changed)
    assert done == {"customers": 24, "days": scored_shop.history_days, "files": 1}
    new = dict(
        zip(old.to_pylist(), identity_keys.keys(changed, CUSTOMERS).to_pylist(), strict=True)
    )
    assert known(changed) == {event: new[key] for event, key in before.items()}
    assert set(pq.read_table(folder / "test.parquet")["customer_key"].to_pylist()) == set(
        new.values()
    )
    receipt = extract.run(changed, DAY)
    assert (receipt["days_written"], receipt["days_repaired"]) == (0, 0)
    score(changed, DAY)
    assert publish.run(changed, DAY)["rows"] == 24
    add(changed, [event("back", "somebody erased", DAY)])
    assert extract.run(changed, DAY)["rows_erased"] == 1, "the tombstone keeps its key"
    assert rotation.rotate(changed) == {"customers": 0, "days": 0, "files": 1}
    for text in files_of(scored_shop):
        assert not any(key in text for key in old.to_pylist())


def files_of(settings):
    """Return what all Parquet files say."""
    return [str(pq.read_table(path).to_pylist()) for path in settings.home.rglob("*.parquet")]


def test_a_rotation_that_was_killed_goes_on_and_meanwhile_every_step_refuses(
    scored_shop, monkeypatch
):
    changed = with_key(scored_shop, "k2", k1=OLD)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "_rewrite_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            rotation.rotate(changed)
    with pytest.raises(Refused, match="keyed with 'k1'"):
        extract.run(changed, DAY)
    assert rotation.rotate(changed) == {"customers": 24, "days": 0, "files": 0}
    assert extract.run(changed, DAY)["days_written"] == 0


def test_a_rotation_that_was_begun_and_taken_back_is_mended_by_the_extract(scored_shop):
    before = known(scored_shop)
    rotation._rewrite_day(
        with_key(scored_shop, "k2"),
        DAY,
        rotation._pairs(with_key(scored_shop, "k2", k1=OLD)),
        len,
    )
    assert known(scored_shop) != before
    assert extract.run(scored_shop, DAY)["days_written"] == 1
    assert known(scored_shop) == before


@pytest.mark.parametrize(
    ("previous", "message"),
    [({}, "keyed with k1, which is not in"), ({"k1": "wrong"}, "is not the one")],
)
def test_a_rotation_without_the_right_old_key_is_refused(scored_shop, previous, message):
    before = known(scored_shop)
    with pytest.raises(Refused, match=message):
        rotation.rotate(with_key(scored_shop, "k2", **previous))
    assert known(scored_shop) == before
