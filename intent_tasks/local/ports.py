"""Free TCP ports on this machine."""

import contextlib
import socket
from collections.abc import Iterable

from intent_tasks.errors import Refused


def is_free(port: int) -> bool:
    """Return whether no program listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return this many different free ports."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Check that the ports of settings are free.

    Raises:
        Refused: a port is taken; the message names the setting.
    """
    for setting, port in ports:
        if not is_free(port):
            raise Refused(
                f"{setting}={port}: another program listens on port {port} of 127.0.0.1. "
                f"Stop it, choose another port, or unset {setting} to get a free one."
            )
