"""A demo that is killed several times and then finished, compared with an undisturbed demo.

Command: `python -m benchmarks.demo_killed` (about 20 minutes on two cores)

At each moment below, `make demo` gets a SIGKILL, alone or together with every server and step, as
in a power failure. Then it is run again without cleaning anything. Afterwards a second installation
runs the demo undisturbed. It has the secrets of the first, because the buckets depend on the
identity key. Both must hold the same rows; a difference ends with exit code 1. Times and ids of
runs are not compared, nor which publications one feedback run handles together: that depends on
timing.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from benchmarks.support.arguments import arguments_of
from benchmarks.support.checkout import clean_environment, clone_checkout, make
from benchmarks.support.servers import clean_up_on_sigterm
from intent_tasks.local.installation import STATE_FILE, Installation
from intent_tasks.local.plan import Plan
from intent_tasks.local.shop import SIMULATED_LAST_DAY

LONGEST_SECONDS = 1800

PREDICTIONS = [
    "as_of_date", "customer_id", "role", "probability_1d", "probability_3d", "probability_7d",
    "probability_14d", "band", "stage", "reasons", "reason", "fallback_level", "channel",
    "model_version",
]  # fmt: skip
ROWS = {
    "predictions": f"SELECT {', '.join(PREDICTIONS)} FROM intent.predictions",
    "outcomes": "SELECT as_of_date, customer_id, horizon_days, purchased, purchase_count"
    " FROM intent.outcomes",
    "metrics": "SELECT as_of_date, role, model_version, horizon_days, slice, metric, value, low,"
    " high, baseline, customer_count, buyer_count FROM intent.model_scorecard",
    "finished steps": "SELECT step, as_of_date, bucket FROM intent.runs"
    " WHERE step NOT IN ('mature', 'measure')",
    "model versions": "SELECT model_version, as_of_date, first_day, last_day, snapshot_digest"
    " FROM intent.model_versions",
    "promotions": "SELECT model_version, from_version, seen_for_date FROM intent.promotions",
    "quarantine": "SELECT source, rule, row_key FROM intent.quarantine",
    "not accounted for": "SELECT as_of_date, breach FROM intent.conservation WHERE NOT holds",
}
"""Queries whose rows both must hold, by name."""


@dataclass(frozen=True)
class Kill:
    """A moment, and whether the servers and steps are killed with the demo."""

    moment: str
    reached: Callable[[Path], bool]
    everything: bool


def main() -> int:
    """Print what differs; fail when anything does."""
    arguments_of(__doc__).parse_args()
    clean_up_on_sigterm()
    with clone_checkout() as clone:
        make(clone, ".venv/.ready", {})
        for kill in KILLS:
            kill_demo(clone, kill)
        killed = finish_demo(clone)
        reset_installation(clone)
        undisturbed = finish_demo(clone)
    return print_differences(killed, undisturbed)


def finish_demo(clone: Path) -> dict[str, list[str]]:
    """Run the demo to its end; return the rows of each query."""
    print(f"make demo, to its end: {make(clone, 'demo', {}):.0f} s", flush=True)
    return {name: read_rows(clone / ".intent", query) for name, query in ROWS.items()}


def reset_installation(clone: Path) -> None:
    """Delete everything of the installation except its secrets."""
    home = clone / ".intent"
    state = (home / STATE_FILE).read_text()
    installation = Installation.load(home)
    make(clone, "stop", {})
    shutil.rmtree(installation.postgres_folder)
    shutil.rmtree(home)
    home.mkdir()
    installation.postgres_folder.mkdir(parents=True, exist_ok=True)
    (home / STATE_FILE).write_text(state)


def read_rows(home: Path, query: str) -> list[str]:
    """Return the rows of a query as text, sorted."""
    installation = Installation.load(home)
    engine = sa.create_engine(installation.database_url("intent_migrator"), poolclass=NullPool)
    with engine.connect() as connection:
        return sorted(str(tuple(row)) for row in connection.execute(sa.text(query)))


# ── Killing ─────────────────────────────────────────────────────────────────────────────────────


def kill_demo(clone: Path, kill: Kill) -> None:
    """Run the demo until a moment is reached, and kill it there."""
    home = clone / ".intent"
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        demo = subprocess.Popen(
            ["make", "demo"],
            cwd=clone,
            env=clean_environment(),
            start_new_session=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while not kill.reached(home):
            if demo.poll() is not None or time.monotonic() - start > LONGEST_SECONDS:
                output.seek(0)
                raise SystemExit(f"Not killed {kill.moment}: {output.read().decode()[-3000:]}")
            time.sleep(0.1)
        victims = processes(home) if kill.everything else []
        os.killpg(demo.pid, signal.SIGKILL)
        for process in victims:  # supervisord first, which would start the others again
            with suppress(psutil.NoSuchProcess):
                process.kill()
        demo.wait()
        psutil.wait_procs(victims, timeout=20)
    extent = "with servers and steps" if kill.everything else "alone"
    print(f"killed {kill.moment}, {extent}: after {time.monotonic() - start:.0f} s", flush=True)


def processes(home: Path) -> list[psutil.Process]:
    """Return supervisord and all its descendants; an empty list when it is not running."""
    try:
        supervisord = psutil.Process(int((home / "supervisord.pid").read_text()))
        return [supervisord, *supervisord.children(recursive=True)]
    except (OSError, ValueError, psutil.NoSuchProcess):
        return []


def servers_starting(home: Path) -> bool:
    """Return whether supervisord is running; the database is being created then."""
    return bool(processes(home))


def shop_loading(home: Path) -> bool:
    """Return whether the shop is being loaded; MLflow and Airflow are starting then."""
    return (home / "logs" / "intent-simulate.log").exists()


def training(home: Path) -> bool:
    """Return whether the step `train` is running."""
    return "train" in running_steps(home)


def backfilling(home: Path) -> bool:
    """Return whether past days are being scored."""
    return count_published(home) > 3 and "score" in running_steps(home)


def scoring_last_days(home: Path) -> bool:
    """Return whether the last days, of which two run at once, are being scored."""
    return count_published(home) >= len(Plan(SIMULATED_LAST_DAY).recent_days) - 1 and bool(
        running_steps(home) & {"score", "publish"}
    )


def running_steps(home: Path) -> set[str]:
    """Return the names of the steps that are running."""
    steps = set()
    for process in processes(home):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        steps |= {following for word, following in itertools.pairwise(words) if word == "step"}
    return steps


def count_published(home: Path) -> int:
    """Return the number of published days; 0 while the database does not answer."""
    days = "SELECT count(*) FROM intent.runs WHERE step = 'publish'"
    try:
        return int(read_rows(home, days)[0].strip("(,)"))
    except (OSError, sa.exc.SQLAlchemyError):
        return 0


KILLS = (
    Kill("as servers start", servers_starting, everything=True),
    Kill("as the shop loads", shop_loading, everything=False),
    Kill("as training runs", training, everything=True),
    Kill("as days are backfilled", backfilling, everything=True),
    Kill("as the last days are scored", scoring_last_days, everything=False),
)


# ── Comparing ───────────────────────────────────────────────────────────────────────────────────


def print_differences(killed: dict[str, list[str]], undisturbed: dict[str, list[str]]) -> int:
    """Print the rows that only one of both holds; return 1 when there are any."""
    print(f"\n{'rows':20} {'killed':>8} {'undisturbed':>12} {'in one only':>12}")
    differences = 0
    for name in ROWS:
        in_one = sorted(set(killed[name]) ^ set(undisturbed[name]))
        different = len(in_one) + abs(len(killed[name]) - len(undisturbed[name]))
        print(f"{name:20} {len(killed[name]):8} {len(undisturbed[name]):12} {len(in_one):12}")
        print("".join(f"  {row[:200]}\n" for row in in_one[:6]), end="")
        differences += different
    print(f"{differences} differences")
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
