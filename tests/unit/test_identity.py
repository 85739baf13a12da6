"""The identity outside Postgres: stable, keyed, and spread evenly over buckets."""

import hmac

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.identity import (
    buckets_of,
    customer_keys,
    heads_of,
    ids_without_addresses,
    without_addresses,
)

IDS = [f"customer {n}" for n in range(4000)]


def test_a_key_depends_on_the_customer_and_on_the_secret_alone():
    keys = customer_keys(IDS[:3], b"secret")
    assert list(keys) == list(customer_keys(IDS[:3], b"secret"))
    assert not set(keys) & set(customer_keys(IDS[:3], b"another secret"))
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_a_key_is_the_hmac_of_the_id(length):
    secret, ids = bytes(range(length)), ["", "c", "ünï", "x" * 200]
    expected = [hmac.digest(secret, name.encode(), "sha256").hex()[:32] for name in ids]
    assert customer_keys(ids, secret).tolist() == expected


def test_the_bucket_comes_from_the_first_32_bits_of_the_key():
    keys = [*customer_keys(IDS, b"secret").tolist(), "0" * 32, "f" * 32]
    heads = [int(key[:8], 16) for key in keys]
    assert heads_of(keys).tolist() == heads
    assert heads_of(pa.array(keys)).tolist() == heads
    assert buckets_of(keys, 7).tolist() == [head % 7 for head in heads]


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


FORMS = {
    "plain": "jo.doe@mail.example",
    "upper case": "JO.DOE@MAIL.EXAMPLE",
    "plus": "jo.doe+shoes@mail.example",
    "quoted": '"jo. doe"@mail.example',
    "apostrophe": "jo.d'oe@mail.example",
    "subdomains": "jo.doe@a.b.mail.example",
    "no dot": "jo.doe@localhost",
    "unicode": "jö.doe@mäil.example",
    "puny": "jo.doe@xn--mil-ula.example",
    "numbers": "jo.doe@[192.0.2.1]",
    "ipv6": "jo.doe@[IPv6:2001:db8::1]",
    "angles": "<jo.doe@mail.example>",
    "mailto": "mailto:jo.doe@mail.example?subject=x",
    "full stop": "jo.doe@mail.example.",
    "in a query": "https://shop.example/?to=jo.doe%40mail.example&x=1",
    "twice encoded": "jo.doe%2540mail.example",
    "entity": "jo.doe&#64;mail.example",
    "hexadecimal entity": "jo.doe&#x40;mail.example",
    "two signs": "jo.doe@@mail.example",
    "entity in an entity": "jo.doe&amp;#64;mail.example",
    "quoted printable": "jo.doe=40mail.example",
    "named entity": "jo.doe&commat;mail.example",
    "json": "jo.doe\\u0040mail.example",
    "full width": "jo.doe\uff20mail.example",
    "small form": "jo.doe\ufe6bmail\uff0eexample",
    "zero width": "jo.doe\u200b@\u200bma\u200bil.example",
    "soft hyphen": "jo.\u00addoe@mail.ex\u00adample",
    "spaces": "jo.doe @ mail.example",
    "no-break spaces": "jo.doe\u00a0@\u00a0mail.example",
    "new line": "jo.doe@\nmail.example",
    "round": "jo.doe (at) mail.example",
    "square": "jo.doe[at]mail.example",
    "curly": "jo.doe {AT} mail.example",
    "angled": "jo.doe <at> mail.example",
    "spaced": "jo.doe ( at ) mail ( dot ) example",
    "bracketed": "jo.doe(at)mail(dot)example",
    "bracketed @": "jo.doe [@] mail [.] example",
    "words": "jo.doe at mail dot com",
    "some words": "jo.doe at my.mail dot com",
    "several": "jo.doe@mail.example,jo.doe@mail.example;jo.doe@mail.example",
    "in brackets": "(jo.doe@mail.example)",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_address_is_hidden(form):
    text = f"please write to {FORMS[form]} soon"
    (hidden,) = without_addresses(pa.array([text])).to_pylist()
    visible = hidden.lower().replace("\u200b", "").replace("\u00ad", "")
    left = [
        part for part in ("doe", "mail", "m\u00e4il", "xn--", "192.0", "2001") if part in visible
    ]
    assert left in ([], ["mail"] if form == "mailto" else []), hidden
    assert hidden.startswith("please write to")
    assert hidden.endswith("soon")


INNOCENT = (
    "red shoes at 50% off", "5 @ 3 \u20ac", "2 @ 3.50", "size 42 (at) most",
    "meet at polka dot dress",
    "look at this. Nice", "A & B", "100 %", "a;b&c", "at", "&#38; more", "\uff21\uff22", "",
)  # fmt: skip


def test_a_text_without_an_address_stays_as_it_is():
    texts = pa.array([*INNOCENT, None])
    assert without_addresses(texts).to_pylist() == [*INNOCENT, None]
    assert without_addresses(pa.chunked_array([texts.slice(3, 4)])).to_pylist() == [*INNOCENT[3:7]]


def test_hiding_takes_time_that_grows_with_the_text_alone():
    long = ["@" * 100_000, "a@" * 50_000, "(at" * 40_000, "a at b dot " * 20_000, '"' * 100_000]
    assert len(without_addresses(pa.array(long))) == len(long)


def test_an_id_that_is_an_address_becomes_a_key_and_equal_ids_stay_equal():
    ids = pa.array(["p1", "jo@mail.example", None, "jo@mail.example", "al@mail.example"])
    key = lambda names: pa.array(customer_keys(names, b"secret").tolist())  # noqa: E731
    hidden = ids_without_addresses(ids, key).to_pylist()
    assert hidden[:1] + hidden[2:3] == ["p1", None]
    assert hidden[1] == hidden[3] != hidden[4]
    assert not [name for name in hidden if name and "@" in name]
    assert ids_without_addresses(ids.slice(2, 1), key).to_pylist() == [None]
