"""Every failure of MLflow, or on the way to it, is an exit code and names what to check."""

import http.server
import json
import re
import socket
import threading
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from intent_tasks.errors import BadInput, Refused, TemporaryFailure
from intent_tasks.local.champion import read_champion
from intent_tasks.settings import read
from intent_tasks.steps import pin
from intent_tasks.stores import registry
from tests.registry.conftest import DAY
from tools.testbed.settings import settings_for

pytestmark = pytest.mark.database


@pytest.fixture
def anywhere(postgres_server, tmp_path, monkeypatch):
    """Settings of an installation whose MLflow is asked once and not retried."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return settings_for(postgres_server, "shop", tmp_path)


@contextmanager
def answering(status, body=b"", length=None):
    """Serve HTTP on a free port and answer everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "body", "failure", "named"), [
    (401, b"You are not authenticated.", Refused, "INTENT_MLFLOW_PASSWORD"),
    (403, b'{"error_code": "PERMISSION_DENIED"}', Refused, "INTENT_MLFLOW_USERNAME"),
    (404, b"<html>", Refused, "INTENT_MLFLOW_URL"),
    (400, b'{"error_code": "BAD_REQUEST", "message": "odd"}', Refused, "odd"),
    (429, b"{}", TemporaryFailure, "does not answer"),
    (500, b"<html>", TemporaryFailure, "does not answer"),
    (503, b"", TemporaryFailure, "does not answer"),
    (200, b"<html>", TemporaryFailure, "does not answer"),
])  # fmt: skip
def test_an_answer_is_one_of_the_exit_codes(anywhere, status, body, failure, named):
    with answering(status, body) as url:
        settings = anywhere.model_copy(update={"mlflow_url": url})
        with pytest.raises(failure, match=named) as ended:
            registry.by_alias(settings)
    assert type(ended.value) is failure


def test_an_answer_that_ends_in_the_middle_is_temporary(anywhere):
    with answering(200, b'{"a', length=999) as url:
        settings = anywhere.model_copy(update={"mlflow_url": url})
        with pytest.raises(TemporaryFailure, match="does not answer"):
            registry.by_alias(settings)


def test_nobody_listening_is_temporary(anywhere):
    with pytest.raises(TemporaryFailure, match=r"does not answer: nobody listens.*intent status"):
        registry.champion(anywhere)


@pytest.mark.parametrize("ask", [registry.champion, read_champion])
def test_a_log_in_in_the_address_is_refused_and_not_shown(anywhere, ask):
    url = anywhere.mlflow_url.replace("//", "//admin:s3cretpw@")
    with pytest.raises(BadInput, match="INTENT_MLFLOW_USERNAME") as refused:
        ask(anywhere.model_copy(update={"mlflow_url": url}))
    assert "s3cretpw" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://admin:s3cretpw@mlflow:5000", "http//admin:s3cretpw@mlflow"]
)
def test_a_log_in_in_the_address_is_refused_when_it_is_read(anywhere, url, tmp_path):
    with pytest.raises(BadInput, match="INTENT_MLFLOW_URL") as refused:
        read(type(anywhere), tmp_path / "none", **anywhere.model_dump() | {"mlflow_url": url})
    assert "s3cretpw" not in str(refused.value)


def test_a_long_answer_is_cut_between_words(anywhere):
    body = json.dumps({"error_code": "BAD_REQUEST", "message": "word " * 100}).encode()
    with answering(400, body) as url, pytest.raises(Refused, match=r"word …\. Check"):
        registry.by_alias(anywhere.model_copy(update={"mlflow_url": url}))


@pytest.mark.parametrize("url", [
    "x", "mlflow:5000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port", "http://[::1",
    "http://127.0.0.1:99999", "http://a b", "http://127.0.0.1:5000\n", "file:///tmp", "sqlite:///x",
])  # fmt: skip
def test_an_address_that_is_none_is_named(anywhere, url):
    with pytest.raises(BadInput, match="INTENT_MLFLOW_URL"):
        registry.by_alias(anywhere.model_copy(update={"mlflow_url": url}))


def test_a_log_in_that_is_no_text_is_named(anywhere):
    named = {"mlflow_username": "admin", "mlflow_password": SecretStr("\udcff")}
    with pytest.raises(BadInput, match="INTENT_MLFLOW_PASSWORD"):
        registry.by_alias(anywhere.model_copy(update=named))


@pytest.mark.parametrize("name", [
    "shop/intent", "a:b", "x" * 257, "", " ", ".", "..", "..a", "a\nb", "a\x00", "\ud800"
])  # fmt: skip
def test_a_name_that_mlflow_does_not_take_is_refused_when_it_is_read(anywhere, name, tmp_path):
    given = anywhere.model_dump() | {"model_name": name}
    with pytest.raises(BadInput, match="INTENT_MODEL_NAME"):
        read(type(anywhere), tmp_path / "none", **given)


@pytest.mark.parametrize("name", ["Bob's model", 'a "b"', "Käufe", "a.b", "x" * 256, "1"])
def test_a_name_that_mlflow_takes_is_read(anywhere, name, tmp_path):
    given = anywhere.model_dump() | {"model_name": name}
    assert read(type(anywhere), tmp_path / "none", **given).model_name == name


def whole_request(asking):
    """Return head and body of a request; they may come apart."""
    request = b""
    while b"\r\n\r\n" not in request and (part := asking.recv(65536)):
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        part = asking.recv(65536)
        request, body = request + part, body + part
    return request


@contextmanager
def relay(url, cut_at):
    """Pass everything on to a server, and end each answer that is a file after some bytes."""
    host, port = url.removeprefix("http://").split(":")
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def pass_on(asking):
        with asking, socket.create_connection((host, int(port))) as server:
            request = whole_request(asking)
            server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            is_file = b" /api/2.0/mlflow-artifacts/artifacts/" in request
            left = cut_at if is_file else 2**30
            while left and (answer := server.recv(min(left, 65536))):
                asking.sendall(answer)
                left -= len(answer)

    def accept():
        while True:
            try:
                asking, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=pass_on, args=(asking,)))
            threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("cut_at", [0, 40, 300])
def test_mlflow_dying_during_a_download_is_temporary(installed, served, cut_at):
    temporary = pytest.raises(TemporaryFailure, match="does not answer")
    with relay(installed.mlflow_url, cut_at) as url, temporary:
        pin.run(installed.model_copy(update={"mlflow_url": url}), DAY)
    assert not list((installed.home / "models").iterdir())
    with relay(installed.mlflow_url, 2**30) as url:
        whole = pin.run(installed.model_copy(update={"mlflow_url": url}), DAY)
    assert whole["model_version"] == 1, "the control: the relay itself passes everything on"
