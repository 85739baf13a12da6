"""The identity outside Postgres: stable, keyed, and spread evenly over buckets."""

import numpy as np
import pyarrow as pa

from intent_tasks.core.identity import buckets_of, customer_keys, without_addresses

IDS = [f"customer {n}" for n in range(4000)]


def test_a_key_depends_on_the_customer_and_on_the_secret_alone():
    keys = customer_keys(IDS[:3], b"secret")
    assert list(keys) == list(customer_keys(IDS[:3], b"secret"))
    assert not set(keys) & set(customer_keys(IDS[:3], b"another secret"))
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_two_customers_never_share_a_key():
    assert len(set(customer_keys(IDS, b"secret"))) == len(IDS)


def test_buckets_are_about_equal():
    sizes = np.bincount(buckets_of(customer_keys(IDS, b"secret"), 4), minlength=4)
    assert sizes.sum() == len(IDS)
    assert sizes.min() > 900, sizes


def test_an_address_in_a_free_text_does_not_leave_the_warehouse():
    texts = ["red shoes", None, "mail me at jo.doe+x@shop.example, please", "<a@b.c>", "5 @ 3 €"]
    assert without_addresses(pa.array(texts)).to_pylist() == [
        "red shoes", None, "mail me at @, please", "<@>", "5 @ 3 €",
    ]  # fmt: skip
