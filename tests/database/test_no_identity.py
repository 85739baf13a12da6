"""Ids of customers stay in Postgres: none in snapshots, scores, Data Docs, receipts or logs."""

import hashlib
import hmac
import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from intent_tasks.core.vocabulary import learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.formats import files as formats
from intent_tasks.steps import extract, publish, score, validate
from intent_tasks.stores import identity_keys, ledger, manifest, postgres, simulated_shop, snapshots
from intent_tasks.stores.extracting import day_builder, snapshot_rows
from tests.database.conftest import DAY, event
from tests.database.test_consent import say

pytestmark = pytest.mark.database

IDS = [f"a.person.{n:03d}@mail.example" for n in range(300)]


@pytest.fixture
def shop_of_addresses(settings):
    """A shop whose ids are e-mail addresses, which its customers also type into the search."""
    rows = [event(n, who, DAY, product_id="p1", price=5.0) for n, who in enumerate(IDS)]
    rows += [event(f"q{n}", who, DAY, "search", query_text=f"order of {who}")
             for n, who in enumerate(IDS)]  # fmt: skip
    # The columns of some rows are swapped.
    rows += [event(f"s{n}", "view", DAY, kind=who) for n, who in enumerate(IDS[:10])]
    known = pa.table({"customer_id": IDS, "consent_personalisation": [True] * len(IDS)})
    batches = [pa.Table.from_pylist(rows, formats.SCHEMA)]
    simulated_shop.load(settings, "a shop", "digest", batches, customers_known=known)
    return settings.model_copy(update={"history_days": 2})


def content_of(path):
    """Return the unpacked content of a file."""
    if path.suffix == ".parquet":
        return json.dumps(pq.read_table(path).to_pylist(), default=str)
    return path.read_bytes().decode("utf-8", "replace")


def hits(settings, *texts):
    """Return how often an id is in the files of the state folder and in other texts."""
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    output = "\n".join([*map(content_of, files), *map(str, texts)])
    return sum(output.count(who) for who in IDS)


def receipts(settings):
    with postgres.reading(settings.pipeline_url) as connection:
        return list(connection.scalars(sa.text("SELECT receipt::text FROM intent.runs")))


def pin_untrained(settings):
    """Pin a network that learned nothing, signed like any other."""
    from intent_tasks.models import model_io, network, sizes

    network.deterministic(1)
    events = snapshots.read(settings.home, settings.definition, DAY, range(2))
    vocabulary = learn_vocabulary([events])
    size, codes = sizes.size_of("nano", "mlp"), vocabulary_sizes(vocabulary)
    architecture = network.Architecture("mlp", size, codes)
    rates = {str(h): 0.25 for h in HORIZONS_DAYS}
    folder = settings.home / "models" / "1"
    folder.mkdir(parents=True)
    built = network.build(architecture)
    model_io.save(folder, model_io.Model(architecture, vocabulary, built, rates, rates))
    key = settings.manifest_key.get_secret_value().encode()
    subject = manifest.Subject(settings.model_name, 1, "run")
    digest = manifest.sign(folder, subject, {"gate": "passed"}, key)
    receipt = {"model_version": 1, "run_id": "run", "buckets": [0, 1], "base_rates": rates}
    receipt |= {"thresholds": rates, "model_path": "models/1", "manifest_digest": digest}
    ledger.finish_step(settings, "pin", DAY, receipt)


def test_no_id_leaves_postgres_from_extract_to_publication(shop_of_addresses, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    settings = shop_of_addresses
    for who in IDS[:3]:
        say(settings, who, False)
    extract.run(settings, DAY)
    with pytest.raises(Refused, match=r"events\.event_type_unknown") as refused:
        validate.run(settings, DAY)
    pin_untrained(settings)
    scored = [score.run(settings, DAY, bucket) for bucket in (0, 1)]
    assert sum(r["population"] for r in scored) == 300
    assert sum(r["scored"] for r in scored) == 297
    assert sum(r["skipped_without_consent"] for r in scored) == 3
    assert publish.run(settings, DAY)["rows"] == 297
    kinds = {path.relative_to(settings.home).parts[0] for path in settings.home.rglob("*.*")}
    assert kinds >= {"snapshots", "scores", "data_docs", "validation_results", "models"}
    output = capfd.readouterr()
    assert (
        hits(settings, *receipts(settings), caplog.text, output.out, output.err, refused.value) == 0
    )
    with postgres.reading(settings.analyst_url) as connection:
        published = connection.scalars(sa.text("SELECT customer_id FROM intent.predictions"))
        assert set(published) == set(IDS[3:]), "in Postgres they are who they are"


def test_the_control_without_the_protections_the_same_search_finds_ids(
    shop_of_addresses, monkeypatch
):
    monkeypatch.setattr(
        identity_keys, "keys", lambda settings, ids, key_id=None: pa.array(list(ids))
    )
    monkeypatch.setattr(day_builder, "buckets_of", lambda keys, n: np.zeros(len(keys), int))
    monkeypatch.setattr(snapshot_rows, "without_addresses", lambda texts: texts)
    extract.run(shop_of_addresses, DAY)
    assert hits(shop_of_addresses) == 3 * len(IDS), "each as a key twice, and once in a search"


MORE = [pa.field(name, pa.string()) for name in ("session_id", "channel", "device")
        if name not in formats.SCHEMA.names]  # fmt: skip
COLUMNS = ("product_id", "session_id", "channel", "device", "query_text", "review_text")


@pytest.fixture
def addresses_everywhere(settings):
    """A shop with an address in every column of events and products that holds a text."""
    rows = [event(f"{who}/{n}", f"c{n}", DAY, **dict.fromkeys(COLUMNS, who))
            for n, who in enumerate(IDS)]  # fmt: skip
    products = [{"product_id": who, "brand": who, "title": f"made by {who}", "category_path": "a.b"}
                for who in IDS]  # fmt: skip
    expected_table = pa.Table.from_pylist(rows, pa.schema([*formats.SCHEMA, *MORE]))
    simulated_shop.load(
        settings, "a shop", "digest", [expected_table], pa.Table.from_pylist(products)
    )
    return settings.model_copy(update={"history_days": 2})


def test_no_address_leaves_postgres_in_whatever_column_it_is(addresses_everywhere):
    settings = addresses_everywhere
    extract.run(settings, DAY)
    assert hits(settings) == 0
    copied = snapshots.read(settings.home, settings.definition, DAY, [0, 1])
    assert copied["category_path"].unique().to_pylist() == ["a.b"], "products are still found"
    for name in ("product_id", "session_id", "event_id"):
        assert len(set(copied[name].to_pylist())) == len(IDS), "others stay others"


def test_the_control_without_the_masks_every_column_shows_it(addresses_everywhere, monkeypatch):
    monkeypatch.setattr(snapshot_rows, "without_addresses", lambda texts: texts)
    monkeypatch.setattr(snapshot_rows, "ids_without_addresses", lambda ids, keys_of: ids)
    extract.run(addresses_everywhere, DAY)
    assert hits(addresses_everywhere) == len(IDS) * (
        len(COLUMNS) + len(("event", "brand", "title"))
    )


GUESSED_SECRETS = (b"", b"secret", b"k1", b"identity", b"intent", b"purchase_intent", b"password")


def guesses(ids):
    """Return what an attacker without the secret makes of a list of all ids."""
    for who in ids:
        for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
            yield hashlib.new(name, who.encode()).hexdigest()[:32]
            for secret in GUESSED_SECRETS:
                yield hmac.digest(secret, who.encode(), name).hex()[:32]


def test_a_dictionary_of_all_ids_matches_no_key_without_the_secret(shop_of_addresses):
    settings = shop_of_addresses
    extract.run(settings, DAY)
    keys = set(snapshots.read(settings.home, settings.definition, DAY, [0, 1])["customer_key"]
               .to_pylist())  # fmt: skip
    assert len(keys) == len(IDS)
    assert keys & set(guesses(IDS)) == set()
    secret = settings.identity_key.get_secret_value().encode()
    known = {hmac.digest(secret, who.encode(), "sha256").hex()[:32] for who in IDS}
    assert keys == known, "the control: with the secret every one is found"
