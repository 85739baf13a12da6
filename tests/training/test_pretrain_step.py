"""`intent pretrain` reads snapshots bucket by bucket, and no later events."""

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.models import network
from intent_tasks.models.pretraining import weights
from intent_tasks.settings import Settings
from intent_tasks.simulator import Config
from intent_tasks.steps import pretrain
from intent_tasks.stores import snapshots
from intent_tasks.stores.privacy.consent import Learnable
from tools.testbed.shops import simulated

SHOP = Config(customers=120, days=64, products=100, leaves=5, last_day=date(2026, 6, 30))
EVERYBODY = Learnable(None)
UNTIL = SHOP.last_day - timedelta(days=14)


def settings_of(home):
    url = SecretStr("postgresql://nowhere/shop")
    names = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "identity_key")
    given = dict.fromkeys(names, url) | {"manifest_key": url, "home": home, "mlflow_url": "x"}
    return Settings(**given, bucket_count=2, _env_file=None)


def fill(home, shop=SHOP):
    events = simulated(shop)
    arrived = events["ingested_at"].cast(pa.date32())
    for n in range(shop.days):
        day = shop.first_day + timedelta(days=n)
        snapshots.write_day(home, day, events.filter(pc.equal(arrived, pa.scalar(day))), 2, 0)
    return events.filter(pc.less(arrived, pa.scalar(UNTIL)))


def test_a_window_is_pretrained_from_its_snapshots(tmp_path):
    known, folder = fill(tmp_path), tmp_path / "kept"
    folder.mkdir()
    settings = settings_of(tmp_path)
    receipt = pretrain._learn(settings, EVERYBODY, SHOP.first_day, UNTIL, folder)
    assert receipt["rows"] > 100
    assert 0 < receipt["products"] <= 100
    loaded = weights.load(folder)
    assert loaded.learned_until == UNTIL
    seen = set(pc.unique(known["category_path"].drop_null()).to_pylist())
    assert set(loaded.vocabulary["category_path"]) <= seen
    assert loaded.architecture.vocabulary_sizes == vocabulary_sizes(loaded.vocabulary)
    built = network.build(loaded.architecture)
    loaded.initialize(built, loaded.architecture, loaded.vocabulary, SHOP.last_day)
    assert (built.embed.get_weights()[0] == loaded.embed[0]).all()
