"""A web server that answers to its own addresses only, for Airflow and for MLflow.

A page of another address can make a browser send requests to a server on this machine. The browser
then adds the name it used (`Host`) and the address of the page (`Origin`): both must be its own.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_REFUSAL = b"This server answers to its own addresses only."


class OwnAddressOnly:
    """ASGI middleware that refuses foreign hosts and pages with 403.

    Args:
        app: the server.
        hosts: names that it is reached by, with the port where it is not the usual one.
    """

    def __init__(self, app: App, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.strip().lower() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or hand on to the server."""
        if scope["type"] == "lifespan" or self._is_own(scope["headers"]):
            await self._app(scope, receive, send)
        else:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    def _is_own(self, headers: Collection[tuple[bytes, bytes]]) -> bool:
        names = [value.decode("latin-1") for name, value in headers if name == b"host"]
        pages = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        used = [name.lower() for name in names] + [_host_of(page) for page in pages]
        return bool(names) and self._hosts.issuperset(used)


def _host_of(origin: str) -> str:
    """Return the host of a page's address, with its port; empty where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
