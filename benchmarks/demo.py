"""Time and memory of `make demo` from a clean checkout, against the limits that are promised.

Run: python benchmarks/demo.py [EVENTS FORMAT]      about 10 minutes on two cores

The package cache should be warm (run `make demo` once before); everything else starts from nothing,
in a folder of its own that is removed at the end. Memory is the sum of the proportional set sizes
(PSS: shared pages counted once) of all processes, sampled every two seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).parents[1]
LIMITS = {
    "first predictions, s": 180,
    "all of it, s": 360,
    "run again, s": 180,
    "run again after make stop, s": 180,
    "memory at its peak, GiB": 6,
}


def main() -> int:
    variables = dict(zip(("EVENTS", "FORMAT"), sys.argv[1:], strict=False))
    if "EVENTS" in variables:
        variables["EVENTS"] = str(Path(variables["EVENTS"]).absolute())
    # The database may run under another account, which must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="intent-benchmark-") as folder:
        Path(folder).chmod(0o755)
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
        try:
            figures = measure(clone, variables)
        finally:
            make(clone, "clean", {})
    return show(figures)


def measure(clone: Path, variables: dict[str, str]) -> dict[str, float]:
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


def make(clone: Path, target: str, variables: dict[str, str]) -> float:
    """Run a target as a person would; return the seconds it took."""
    begun = time.monotonic()
    command = ["make", target, *(f"{k}={v}" for k, v in variables.items())]
    subprocess.run(command, cwd=clone, env=surroundings(), check=True)
    return time.monotonic() - begun


def surroundings() -> dict[str, str]:
    """Return the environment of a person who has no virtual environment of their own."""
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in dropped}


class Memory:
    """Watches all processes that we or the demo's supervisord started."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """Return the peak, in bytes."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(2):
            self._peak = max(self._peak, sum(map(_pss, self._processes())))

    def _processes(self) -> set[psutil.Process]:
        found = set(psutil.Process().children(recursive=True))
        try:
            supervisord = psutil.Process(int(self._pid_file.read_text()))
            return found | {supervisord, *supervisord.children(recursive=True)}
        except (OSError, ValueError, psutil.NoSuchProcess):
            return found


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def show(figures: dict[str, float]) -> int:
    print(f"\n{'figure':32} {'measured':>9} {'limit':>7}")
    for name, limit in LIMITS.items():
        verdict = "" if figures[name] <= limit else "  OVER"
        print(f"{name:32} {figures[name]:9.1f} {limit:7}{verdict}")
    return int(any(figures[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
