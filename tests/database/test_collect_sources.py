"""Files of web servers and stores: no secret is kept, and a server that is down is retried."""

import base64
import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from intent_tasks.errors import BadInput, IntentError, Refused, TemporaryFailure
from tests.database import collecting

pytestmark = pytest.mark.database

PASSWORD = "hunter2pw"
NOBODY = "127.0.0.1:9"
"""A port where nobody listens."""


@dataclass
class Site:
    """A web server: its address, its files, and how it answers.

    Args:
        files: path → content.
        status: of every answer that is not 200.
        cut_at: bytes after which each answer ends.
        log_in: that it asks for.
    """

    files: dict = field(default_factory=dict)
    status: int = 200
    cut_at: int | None = None
    log_in: str | None = None
    host: str = ""

    def address(self, path="", log_in=""):
        return f"http://{log_in}{self.host}/{path}"


@pytest.fixture
def site():
    """A web server that lists folders."""
    found = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.split("?")[0].lstrip("/")
            below = [name for name in found.files if name.startswith(path) and name != path]
            links = "".join(f'<a href="/{name}">{name}</a>' for name in below)
            body = found.files.get(path, links).encode()
            status = found.status if body else 404
            if found.log_in and self.headers["Authorization"] != basic(found.log_in):
                status = 401
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/csv" if path in found.files else "text/html")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: found.cut_at] if path in found.files else body)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.host = f"127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def basic(log_in):
    return f"Basic {base64.b64encode(log_in.encode()).decode()}"


@contextmanager
def store_answering(status, code):
    """Yield the options of an S3 store that gives every request this answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield amazon(f"127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def amazon(host):
    once = {"retries": {"total_max_attempts": 1}}
    return {
        "key": "KEY", "secret": PASSWORD, "config_kwargs": once,
        "client_kwargs": {"endpoint_url": f"http://{host}", "region_name": "eu-north-1"},
    }  # fmt: skip


def with_options(settings, options):
    return settings.model_copy(update={"collect_options": SecretStr(json.dumps(options))})


FILES = {
    "day/a.csv": collecting.HEADER + collecting.lines(0, 5),
    "day/bad.csv": collecting.HEADER + "x\n" * 30,
}


def test_a_log_in_is_neither_stored_nor_printed_and_does_not_name_the_file(settings, site):
    site.files = FILES
    site.log_in = f"bob:{PASSWORD}"
    with pytest.raises(BadInput) as refused:
        collecting.collected(settings, site.address("day/", f"bob:{PASSWORD}@"))
    site.files = {"day/a.csv": FILES["day/a.csv"]}
    site.log_in = f"ada:{PASSWORD}2"
    again = collecting.collected(settings, site.address("day/", f"ada:{PASSWORD}2@"))
    assert again["known"] == 1
    stored = collecting.ask(settings, "SELECT path, source FROM intent.collected_files ORDER BY 1")
    assert (site.address("day/a.csv"), site.address("day/")) in stored
    assert PASSWORD not in f"{refused.value} {again} {stored} {collecting.quarantined(settings)}"


@pytest.mark.parametrize("address", [
    "http://bob:{0}@{1}/day", "ftp://bob:{0}@{1}/day", "s3://KEY:{0}@bucket/day",
    "http://{1}/day?sig={0}", "nofs://bob:{0}@{1}/day",
])  # fmt: skip
def test_an_address_that_cannot_be_used_is_named_without_its_secret(settings, address):
    with pytest.raises(IntentError) as failed:
        collecting.collected(with_options(settings, {}), address.format(PASSWORD, NOBODY))
    assert PASSWORD not in str(failed.value)
    assert address.split("://")[0] in str(failed.value)


def test_a_signed_address_names_one_file(settings, site):
    site.files = {"a.csv": FILES["day/a.csv"]}
    first = collecting.collected(settings, site.address(f"a.csv?sig={PASSWORD}"))
    again = collecting.collected(settings, site.address("a.csv?sig=another"))
    assert (first["loaded"], again["known"]) == (5, 1)
    stored = collecting.ask(settings, "SELECT path, source FROM intent.collected_files")
    assert stored == [(site.address("a.csv"), site.address("a.csv"))]


def test_one_file_of_a_web_server_is_collected(settings, site):
    site.files = FILES
    assert collecting.collected(settings, site.address("day/a.csv"))["loaded"] == 5


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_web_server_that_may_answer_later_is_asked_again(settings, site, status):
    site.files, site.status = FILES, status
    for path in ("day/", "day/a.csv"):
        with pytest.raises(TemporaryFailure, match=f"{site.host}/day/"):
            collecting.collected(settings, site.address(path))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_web_server_that_refuses_is_not_asked_again(settings, site, status):
    site.files, site.status = FILES, status
    for path in ("day/", "day/a.csv"):
        with pytest.raises(Refused, match=f"{site.host}/day/"):
            collecting.collected(settings, site.address(path))


def test_an_answer_that_is_cut_is_asked_for_again_and_the_rest_is_loaded(settings, site):
    site.files = {"day/a.csv": collecting.HEADER + collecting.lines(0, 4000)}
    site.cut_at = 90_000
    with pytest.raises(TemporaryFailure, match=r"day/a\.csv"):
        collecting.collected(settings, site.address("day/"))
    site.cut_at = None
    assert collecting.collected(settings, site.address("day/"))["loaded"] == 4000


@pytest.mark.parametrize(
    "address", [f"http://{NOBODY}/a.csv", f"http://{NOBODY}/", f"ftp://{NOBODY}/"]
)
def test_a_server_where_nobody_listens_is_asked_again(settings, address):
    with pytest.raises(TemporaryFailure, match=address):
        collecting.collected(settings, address)


def test_a_store_where_nobody_listens_is_asked_again(settings):
    with pytest.raises(TemporaryFailure, match="s3://bucket/events") as failed:
        collecting.collected(with_options(settings, amazon(NOBODY)), "s3://bucket/events")
    assert PASSWORD not in str(failed.value)


@pytest.mark.parametrize(("status", "code", "failure"), [
    (503, "SlowDown", TemporaryFailure), (500, "Odd", TemporaryFailure), (403, "Odd", Refused),
    (403, "AccessDenied", Refused),
])  # fmt: skip
def test_the_answer_of_a_store_decides(settings, status, code, failure):
    with store_answering(status, code) as options, pytest.raises(IntentError) as failed:
        collecting.collected(with_options(settings, options), "s3://bucket/events")
    assert type(failed.value) is failure


def test_an_option_that_a_store_does_not_take_is_named_with_its_setting(settings):
    options = {"kex": "x", "client_kwargs": {"region_name": "eu-north-1"}}
    with pytest.raises(BadInput, match=r"INTENT_COLLECT_OPTIONS.*kex"):
        collecting.collected(with_options(settings, options), "s3://bucket/events")
