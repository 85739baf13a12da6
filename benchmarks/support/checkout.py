"""Clone this checkout and run `make` in the clone, as a person would."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def clone_checkout() -> Iterator[Path]:
    """Yield a clone of the committed checkout; stop its servers and remove it at the end."""
    # The database may run under another account, which must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="intent-benchmark-") as folder:
        Path(folder).chmod(0o755)
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
        try:
            yield clone
        finally:
            make(clone, "clean", {})


def make(clone: Path, target: str, variables: dict[str, str]) -> float:
    """Run a target; return the seconds it took."""
    start = time.monotonic()
    command = ["make", target, *(f"{k}={v}" for k, v in variables.items())]
    subprocess.run(command, cwd=clone, env=clean_environment(), check=True)
    return time.monotonic() - start


def clean_environment() -> dict[str, str]:
    """Return this environment without any virtual environment."""
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in dropped}
