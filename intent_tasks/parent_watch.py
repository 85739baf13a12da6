"""End a step whose caller is gone.

A caller that is killed with SIGKILL can stop nothing any more. It holds the writing end of the
step's stdin; the operating system closes that end when the caller dies, however it dies.
"""

import os
import signal
import threading

STDIN = 0


def end_when_closed(descriptor: int = STDIN) -> None:
    """Watch a file descriptor from a thread; send this process SIGTERM when it is closed."""

    def watch() -> None:
        # Not through a buffered stream, whose lock would abort the interpreter at its end.
        while os.read(descriptor, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent_watch", daemon=True).start()
