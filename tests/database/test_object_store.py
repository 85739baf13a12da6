"""Files of an object store, over its real protocol."""

import json
from contextlib import contextmanager

import fsspec
import moto.server
import pytest
from pydantic import SecretStr

from intent_tasks.errors import Refused
from intent_tasks.steps import collect
from intent_tasks.stores import postgres

pytestmark = pytest.mark.database

HEADER = b"event_id,customer_id,event_type,occurred_at\n"
LINE = b"e%d,c1,view,2026-06-30T12:00:00Z\n"


@contextmanager
def amazon():
    """Yield the options of an S3 server."""
    running = moto.server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    running.stop()


@contextmanager
def google():
    """Yield the options of a Cloud Storage server."""
    from gcp_storage_emulator.server import create_server  # half a second, and only needed here

    running = create_server("127.0.0.1", 0, in_memory=True)
    running.start()
    address = f"http://127.0.0.1:{running._api._httpd.server_port}"
    yield {"endpoint_url": address, "token": "anon", "project": "p"}
    running.stop()


@pytest.fixture(params=[("s3", amazon), ("gs", google)], ids=["s3", "gs"])
def store(request, settings, monkeypatch):
    """Settings that name a bucket, and the bucket's file system."""
    # Else gcsfs asks for the layout of a bucket over gRPC, which the emulator does not speak.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    protocol, started = request.param
    with started() as options:
        system = fsspec.filesystem(protocol, **options, skip_instance_cache=True)
        if not system.exists("logs"):
            system.mkdir("logs")
        changes = {
            "collect_url": f"{protocol}://logs/shop",
            "collect_format": "native",
            "collect_options": SecretStr(json.dumps(options)),
        }
        yield settings.model_copy(update=changes), system


def collected(settings):
    """Collect, and return files and rows that were loaded, and files that were known."""
    url, layout = settings.collect_url, settings.collect_format
    totals = collect.collect(settings, url, layout, lambda _: None)
    return totals.files["loaded"], totals.rows["loaded"], totals.files["known"]


def test_a_bucket_is_collected_each_object_once_and_a_changed_one_for_what_is_new(store):
    settings, system = store
    system.pipe("logs/shop/dt=1/a.csv", HEADER + b"".join(LINE % n for n in range(5)))
    system.pipe("logs/shop/_SUCCESS", b"")
    assert collected(settings) == (1, 5, 0)
    system.pipe("logs/shop/dt=2/b.csv", HEADER + b"".join(LINE % n for n in range(5, 8)))
    assert collected(settings) == (1, 3, 1)
    system.pipe("logs/shop/dt=1/a.csv", HEADER + LINE % 99)
    assert collected(settings) == (1, 1, 1)
    with postgres.reading(settings.shop_owner_url) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shop.events").scalar() == 9


def test_a_bucket_that_is_not_there_is_named(store):
    settings, _ = store
    absent = settings.collect_url.replace("logs", "nowhere")
    settings = settings.model_copy(update={"collect_url": absent})
    with pytest.raises(Refused, match=absent):
        collected(settings)
