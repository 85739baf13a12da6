"""Time and memory of `make demo` from a clean checkout, compared with the promised limits.

Command: `python -m benchmarks.demo [EVENTS FORMAT]` (about 10 minutes on two cores)

Run `make demo` once before, so that the package cache is warm. Everything else starts from nothing,
in a folder of its own that is removed at the end. Memory is the sum of the proportional set sizes
(PSS: shared pages counted once) of all processes, sampled every two seconds.
"""

import json
import sys
import threading
from pathlib import Path

import psutil

from benchmarks.support.arguments import arguments_of
from benchmarks.support.checkout import clone_checkout, make

LIMITS = {
    "first predictions, s": 180,
    "all of it, s": 360,
    "run again, s": 180,
    "run again after make stop, s": 180,
    "memory at its peak, GiB": 6,
}


def main() -> int:
    """Print the figures; fail when one is over its limit."""
    parser = arguments_of(__doc__)
    parser.add_argument("events", nargs="?", type=Path, help="file of events; none: simulated shop")
    parser.add_argument("format", nargs="?", help="name of the format of that file")
    given = parser.parse_args()
    variables = {}
    if given.events:
        variables["EVENTS"] = str(given.events.absolute())
    if given.format:
        variables["FORMAT"] = given.format
    with clone_checkout() as clone:
        figures = measure(clone, variables)
    return print_figures(figures)


def measure(clone: Path, variables: dict[str, str]) -> dict[str, float]:
    """Run the demo three times; return the figures by name."""
    memory = Memory(clone / ".intent" / "supervisord.pid")
    figures = {"all of it, s": make(clone, "demo", variables)}
    phases = json.loads((clone / ".intent" / "logs" / "demo_times.json").read_text())
    figures["first predictions, s"] = phases["first predictions"]
    figures["run again, s"] = make(clone, "demo", variables)
    make(clone, "stop", {})
    figures["run again after make stop, s"] = make(clone, "demo", variables)
    figures["memory at its peak, GiB"] = memory.stop() / 2**30
    print("\nPhases of the first run, seconds since its start:", json.dumps(phases, indent=1))
    return figures


class Memory:
    """The memory of this process's children and of everything that supervisord started."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """Stop sampling; return the peak, in bytes."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(2):
            self._peak = max(self._peak, sum(map(_pss, self._processes())))

    def _processes(self) -> set[psutil.Process]:
        children = set(psutil.Process().children(recursive=True))
        try:
            supervisord = psutil.Process(int(self._pid_file.read_text()))
            return children | {supervisord, *supervisord.children(recursive=True)}
        except (OSError, ValueError, psutil.NoSuchProcess):
            return children


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def print_figures(figures: dict[str, float]) -> int:
    """Print each figure and its limit; return 1 if one exceeds it."""
    print(f"\n{'figure':32} {'measured':>9} {'limit':>7}")
    for name, limit in LIMITS.items():
        verdict = "" if figures[name] <= limit else "  OVER"
        print(f"{name:32} {figures[name]:9.1f} {limit:7}{verdict}")
    return int(any(figures[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
