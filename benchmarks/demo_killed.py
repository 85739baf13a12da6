"""A demo that is killed again and again, carried to its end, beside one that nobody disturbed.

Run: python -m benchmarks.demo_killed      about 20 minutes on two cores; a difference ends with 1

At each moment below `make demo` gets a SIGKILL, alone or with every server and step, as when the
power fails; then it is called again, and nothing is cleaned. Afterwards a second installation, with
the secrets of the first (buckets hang on the key of the identities), runs the demo undisturbed.
Both must hold the same rows. Times and ids of runs are left out, and which publications one
feedback run takes together: it depends on when they came.
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

from benchmarks.demo import CHECKOUT, make, surroundings
from benchmarks.servers import tidy_when_ended
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
"""What both must hold, by name."""


@dataclass(frozen=True)
class Kill:
    """A moment, and whether the servers and steps go with the demo."""

    moment: str
    has_come: Callable[[Path], bool]
    everything: bool


def main() -> int:
    tidy_when_ended()
    # The database may run under another account, which must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="intent-benchmark-") as folder:
        Path(folder).chmod(0o755)
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
        make(clone, ".venv/.ready", {})
        try:
            for kill in KILLS:
                kill_demo(clone, kill)
            killed = finished(clone)
            begin_anew(clone)
            undisturbed = finished(clone)
        finally:
            make(clone, "clean", {})
    return show(killed, undisturbed)


def finished(clone: Path) -> dict[str, list[str]]:
    print(f"make demo, to its end: {make(clone, 'demo', {}):.0f} s", flush=True)
    return {name: ask(clone / ".intent", query) for name, query in ROWS.items()}


def begin_anew(clone: Path) -> None:
    """Leave of the installation nothing but its secrets."""
    home = clone / ".intent"
    state = (home / STATE_FILE).read_text()
    installation = Installation.load(home)
    make(clone, "stop", {})
    shutil.rmtree(installation.postgres_folder)
    shutil.rmtree(home)
    home.mkdir()
    installation.postgres_folder.mkdir(parents=True, exist_ok=True)
    (home / STATE_FILE).write_text(state)


def ask(home: Path, query: str) -> list[str]:
    """Return the rows of a query as text, sorted."""
    installation = Installation.load(home)
    engine = sa.create_engine(installation.database_url("intent_migrator"), poolclass=NullPool)
    with engine.connect() as connection:
        return sorted(str(tuple(row)) for row in connection.execute(sa.text(query)))


# ── Killing ─────────────────────────────────────────────────────────────────────────────────────


def kill_demo(clone: Path, kill: Kill) -> None:
    """Run the demo until a moment has come, and end it there."""
    home = clone / ".intent"
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        demo = subprocess.Popen(
            ["make", "demo"],
            cwd=clone, env=surroundings(), start_new_session=True, stdout=said, stderr=said,
        )  # fmt: skip
        while not kill.has_come(home):
            if demo.poll() is not None or time.monotonic() - begun > LONGEST_SECONDS:
                said.seek(0)
                raise SystemExit(f"Not killed {kill.moment}: {said.read().decode()[-3000:]}")
            time.sleep(0.1)
        doomed = processes(home) if kill.everything else []
        os.killpg(demo.pid, signal.SIGKILL)
        for process in doomed:  # supervisord first, which would start the others again
            with suppress(psutil.NoSuchProcess):
                process.kill()
        demo.wait()
        psutil.wait_procs(doomed, timeout=20)
    what = "it, its servers and steps" if kill.everything else "it alone"
    print(f"killed {kill.moment}, {what}: after {time.monotonic() - begun:.0f} s", flush=True)


def processes(home: Path) -> list[psutil.Process]:
    """Return supervisord and everything below it; nothing where it does not run."""
    try:
        supervisord = psutil.Process(int((home / "supervisord.pid").read_text()))
        return [supervisord, *supervisord.children(recursive=True)]
    except (OSError, ValueError, psutil.NoSuchProcess):
        return []


def servers_start(home: Path) -> bool:
    """Return whether supervisord runs, and the database is being made."""
    return bool(processes(home))


def shop_loads(home: Path) -> bool:
    """Return whether the shop is being loaded, while MLflow and Airflow start."""
    return (home / "logs" / "intent-simulate.log").exists()


def training(home: Path) -> bool:
    return "train" in steps(home)


def backfilling(home: Path) -> bool:
    return published(home) > 3 and "score" in steps(home)


def last_days(home: Path) -> bool:
    """Return whether the last days, of which two run at once, are being scored."""
    return published(home) >= len(Plan(SIMULATED_LAST_DAY).recent_days) - 1 and bool(
        steps(home) & {"score", "publish"}
    )


def steps(home: Path) -> set[str]:
    """Return the steps that are being run."""
    found = set()
    for process in processes(home):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        found |= {after for word, after in itertools.pairwise(words) if word == "step"}
    return found


def published(home: Path) -> int:
    days = "SELECT count(*) FROM intent.runs WHERE step = 'publish'"
    try:
        return int(ask(home, days)[0].strip("(,)"))
    except (OSError, sa.exc.SQLAlchemyError):
        return 0


KILLS = (
    Kill("as servers start", servers_start, everything=True),
    Kill("as the shop loads", shop_loads, everything=False),
    Kill("as training runs", training, everything=True),
    Kill("as days are backfilled", backfilling, everything=True),
    Kill("as the last days are scored", last_days, everything=False),
)


# ── What is found ───────────────────────────────────────────────────────────────────────────────


def show(killed: dict[str, list[str]], undisturbed: dict[str, list[str]]) -> int:
    print(f"\n{'rows':20} {'killed':>8} {'undisturbed':>12} {'in one only':>12}")
    differences = 0
    for name in ROWS:
        alone = sorted(set(killed[name]) ^ set(undisturbed[name]))
        different = len(alone) + abs(len(killed[name]) - len(undisturbed[name]))
        print(f"{name:20} {len(killed[name]):8} {len(undisturbed[name]):12} {len(alone):12}")
        print("".join(f"  {row[:200]}\n" for row in alone[:6]), end="")
        differences += different
    print(f"{differences} differences")
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
