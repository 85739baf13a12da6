"""Remote addresses of processes, by polling their connections."""

import ipaddress
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

POLL_SECONDS = 0.5


class Connections(threading.Thread):
    """Record every remote address to which one of some processes is connected.

    Args:
        processes: returns the processes to poll; their children are polled as well.
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._stopped = threading.Event()
        self.polls = 0
        self.remote: set[str] = set()

    def run(self) -> None:
        """Poll until stopped."""
        while not self._stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Poll once."""
        for process in self._processes():
            for each in [process, *_children(process)]:
                self.remote |= set(_remote_addresses(each))
        self.polls += 1

    def stop(self) -> None:
        """Stop polling and wait for the thread."""
        self._stopped.set()
        self.join()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _remote_addresses(process: psutil.Process) -> Iterator[str]:
    try:
        connections = process.net_connections("inet")
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return
    for connection in connections:
        if connection.raddr and not ipaddress.ip_address(connection.raddr.ip).is_loopback:
            yield f"{process.name()} to {connection.raddr.ip}:{connection.raddr.port}"


@contextmanager
def watch_connections(processes: Callable[[], list[psutil.Process]]) -> Iterator[Connections]:
    """Poll the connections of processes while the block runs."""
    connections = Connections(processes)
    connections.start()
    try:
        yield connections
    finally:
        connections.stop()
