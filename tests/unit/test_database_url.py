"""A URL of the usual form is read without SQLAlchemy, and means the same as there."""

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from intent_tasks.database_url import is_of_postgres
from intent_tasks.errors import BadInput
from intent_tasks.stores.addresses import CONNECT_ARGUMENTS, connect_arguments

URLS = [
    "postgresql://intent_analyst:secret@127.0.0.1:5432/shop",
    "postgresql+psycopg2://role:a%40b%2Fc%25@db.example.com:05432/shop",
    "postgres://role:a+b=c~d-e.f@host:1/shop",
    "postgresql://role:%zz%@host:5432/shop",
    "postgresql://role@host/shop",
    "postgresql://role:@host:5432/shop",
    "postgresql://role:p:a/s?s#w@host:5432/shop",
    "postgresql://role:word@[::1]:5432/shop",
    "postgresql://role:word@host:5432/shop?sslmode=require&connect_timeout=3",
    "postgresql://role:word@/shop?host=a:1&host=b:2",
    "postgresql://rôle:wörd@höst:5432/shöp",
    "postgresql://role:word@host:5432/shop%20floor",
    "postgresql:///shop",
]


@pytest.mark.parametrize("url", URLS)
def test_the_driver_gets_the_arguments_that_sqlalchemy_gives_it(url):
    assert is_of_postgres(url)
    _, expected = PGDialect_psycopg2().create_connect_args(make_url(url))
    assert connect_arguments(SecretStr(url)) == {**CONNECT_ARGUMENTS, **expected}


@pytest.mark.parametrize(
    "url", ["", "shop", "mysql://role:word@host:5432/shop", "postgresql://role:word@host:x/shop"]
)
def test_other_texts_are_no_url_of_postgres(url):
    assert not is_of_postgres(url)


def test_a_text_that_is_no_url_is_refused():
    with pytest.raises(BadInput, match="no address of a database"):
        connect_arguments(SecretStr("shop"))
