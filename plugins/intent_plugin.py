"""What the product adds to Airflow: timetables, pages below `/intent`, and an entry for them.

Every Airflow process loads this module, so it imports nothing that only the API server needs.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from intent_days import ShopDays, ShopTimes
from intent_links import PREFIX, page

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def pages(scope: "Scope", receive: "Receive", send: "Send") -> None:
    """Serve the pages; FastAPI and its security are imported with the first request."""
    from intent_pages import app

    await app(scope, receive, send)


class IntentPlugin(AirflowPlugin):
    """Registers the parts with Airflow."""

    name = "intent"
    timetables: ClassVar[list[Any]] = [ShopDays, ShopTimes]
    fastapi_apps: ClassVar[list[Any]] = [{"app": pages, "url_prefix": PREFIX, "name": "Intent"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Data Docs",
            "href": page("data_docs/index.html"),
            "destination": "nav",
            "category": "browse",
            "url_route": "intent_data_docs",
        }
    ]
