"""Which machines a family of processes talks to, seen by looking again and again."""

import ipaddress
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

SECONDS_BETWEEN = 0.5


class Connections(threading.Thread):
    """Remember every remote address to which one of some processes was connected.

    Args:
        processes: returns those to look at now; children are looked at as well.
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._stopped = threading.Event()
        self.looks = 0
        self.outside: set[str] = set()

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopped.wait(SECONDS_BETWEEN):
            self.look()

    def look(self) -> None:
        """Look once."""
        for process in self._processes():
            for one in [process, *_children(process)]:
                self.outside |= set(_outside(one))
        self.looks += 1

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        self.join()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _outside(process: psutil.Process) -> Iterator[str]:
    try:
        found = process.net_connections("inet")
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return
    for connection in found:
        if connection.raddr and not ipaddress.ip_address(connection.raddr.ip).is_loopback:
            yield f"{process.name()} to {connection.raddr.ip}:{connection.raddr.port}"


@contextmanager
def watched(processes: Callable[[], list[psutil.Process]]) -> Iterator[Connections]:
    """Watch processes while the block runs."""
    connections = Connections(processes)
    connections.start()
    try:
        yield connections
    finally:
        connections.stop()
