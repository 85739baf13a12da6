"""End a step whose caller is gone.

A caller that is killed with SIGKILL can stop nothing any more. It holds the writing end of the
step's stdin; the operating system closes that end when the caller dies, however it dies.
"""

import os
import signal
import sys
import threading
from typing import BinaryIO


def end_when_closed(stream: BinaryIO | None = None) -> None:
    """Watch a stream (stdin) from a thread; send this process SIGTERM when it is closed."""
    watched = stream or sys.stdin.buffer

    def watch() -> None:
        watched.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
