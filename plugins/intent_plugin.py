"""The Airflow plugin: timetables, pages below `/intent`, and their menu entry.

Every Airflow process loads this module, so it imports no package that only the API server needs.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import conf
from intent_days import ShopDays, ShopTimes
from intent_links import PREFIX, page

from intent_tasks.own_address import OwnAddressOnly

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def pages(scope: "Scope", receive: "Receive", send: "Send") -> None:
    """Serve the pages; FastAPI and its security are imported with the first request."""
    from intent_pages import app

    await app(scope, receive, send)


def hosts() -> list[str]:
    """Return the host names of Airflow's API server, empty if none is configured.

    Users use `[api] base_url`, tasks `[core] execution_api_server_url`, health checks loopback.
    """
    if not (base := conf.get("api", "base_url", fallback="")):
        return []
    task_address = conf.get("core", "execution_api_server_url", fallback="")
    named = {urlsplit(address).netloc for address in (base, task_address)} - {""}
    port = conf.get("api", "port", fallback="8080")
    return sorted(named | {f"{name}:{port}" for name in ("127.0.0.1", "localhost")})


def middlewares() -> list[dict[str, Any]]:
    """Return the middleware that refuses other hosts and origins, if hosts are configured."""
    names = hosts()
    guard = {"name": "own address only", "middleware": OwnAddressOnly, "kwargs": {"hosts": names}}
    return [guard] if names else []


class IntentPlugin(AirflowPlugin):
    """Register timetables, pages and middleware with Airflow."""

    name = "intent"
    timetables: list[Any] = [ShopDays, ShopTimes]
    fastapi_apps: list[Any] = [{"app": pages, "url_prefix": PREFIX, "name": "Intent"}]
    fastapi_root_middlewares: list[Any] = middlewares()
    external_views: list[Any] = [
        {
            "name": "Data Docs",
            "href": page("data_docs/index.html"),
            "destination": "nav",
            "category": "browse",
            "url_route": "intent_data_docs",
        }
    ]
