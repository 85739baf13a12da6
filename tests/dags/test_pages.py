"""The pages of the plugin answer whatever is asked of them, and to their own address only."""

import asyncio
import json
from urllib.parse import quote

import httpx
import pytest
from airflow.sdk import conf
from intent_pages import app
from intent_plugin import IntentPlugin, hosts, middlewares

from intent_tasks.own_address import OwnAddressOnly

LONG = "x" * 5_000
HALF_A_LETTER = "\ud800".encode("utf-8", "surrogatepass")
ODD = ("\0", "a\0b", LONG, f"{LONG}/{LONG}", "../intent.env", "..%2fintent.env", HALF_A_LETTER, "é",
       "%", "a/b/../../../x", ".", "~", "C:\\x", "\n", " ")  # fmt: skip


class Client:
    """Asks an app of this process, whose errors are answers of status 500."""

    def __init__(self, app, base_url="http://127.0.0.1"):
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._base_url = base_url

    def send(self, method, path, headers=None):
        async def answer():
            transport, base_url = self._transport, self._base_url
            async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(answer())

    def get(self, path):
        return self.send("GET", path)


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """A client of somebody who may see the tasks."""
    monkeypatch.setenv("INTENT_HOME", str(tmp_path))
    (tmp_path / "data_docs").mkdir()
    (tmp_path / "data_docs" / "index.html").write_text("all is well")
    (tmp_path / "intent.env").write_text("secret")
    (guard,) = app.router.dependencies
    app.dependency_overrides[guard.dependency] = lambda: None
    yield Client(app)
    app.dependency_overrides.clear()


def test_no_name_and_no_parameter_ends_in_an_error_of_the_server(pages):
    assert pages.get("/data_docs/index.html").text == "all is well"
    assert pages.get("/rows/publish/2026-06-30").status_code == 200
    for odd in map(quote, ODD):
        for path in (
            f"/data_docs/{odd}",
            f"/data_docs/index.html/{odd}",
            f"/rows/{odd}/2026-06-30",
            f"/rows/publish/{odd}",
            f"/rows/publish/2026-06-30?x={odd}",
            f"/{odd}",
        ):
            answer = pages.get(path)
            assert answer.status_code in (200, 307, 404, 422), path[:60]
            assert "secret" not in answer.text


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1e999", "99999999999", "-1", "NaN"])
def test_a_day_at_the_end_of_the_calendar_is_shown_or_refused(pages, day):
    assert pages.get(f"/rows/publish/{day}").status_code in (200, 422)


async def served(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


ANSWERS = (
    ({}, 200),
    ({"origin": "http://shop.example:8080"}, 200),
    ({"host": "SHOP.example:8080"}, 200),
    ({"host": "evil.example"}, 403),
    ({"host": "shop.example"}, 403),
    ({"host": "shop.example:8080.evil.example"}, 403),
    ({"host": ""}, 403),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "http://127.0.0.1:9999"}, 403),
    ({"origin": "http://localhost"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://["}, 403),
    ({"origin": "http://shop.example:8080@evil.example"}, 403),
)


@pytest.mark.parametrize(("headers", "status"), ANSWERS)
def test_a_server_answers_to_its_own_address_and_to_pages_of_it(headers, status):
    guarded = OwnAddressOnly(served, ["shop.example:8080", "airflow-api:8080"])
    client = Client(guarded, "http://shop.example:8080")
    for method in ("GET", "POST", "OPTIONS"):
        answer = client.send(method, "/api", headers)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_airflow_is_reached_by_the_addresses_that_are_configured(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.shop.example/a")
    monkeypatch.setenv("AIRFLOW__API__PORT", "8081")
    monkeypatch.setenv(
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://airflow-api:8080/execution/"
    )
    assert conf.get("api", "port") == "8081"
    assert hosts() == ["127.0.0.1:8081", "airflow-api:8080", "airflow.shop.example",
                       "localhost:8081"]  # fmt: skip
    (guard,) = middlewares()
    assert guard["middleware"] is OwnAddressOnly
    json.dumps(guard["kwargs"])


def test_an_airflow_that_does_not_know_its_address_answers_as_before(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert middlewares() == []
    assert isinstance(IntentPlugin.fastapi_root_middlewares, list)
