"""Seconds that Airflow adds to a step that does nothing, on a real scheduler.

Measured as the time between the ends of consecutive tasks, in runs of `intent_train` one after the
other, with steps that take no time. Claim: at most 3 s a step.
Command: `python -m benchmarks.step_overhead` (starts a PostgreSQL and an Airflow for it; 1 minute)
"""

import statistics
import sys
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.support.arguments import arguments_of
from tools.testbed.airflow_server import Airflow, start_airflow

SECONDS_ALLOWED = 3.0
DAYS = ("2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04")
"""The first run does not count: it imports Airflow's modules into new worker processes."""


def overheads(airflow: Airflow, day: str) -> list[float]:
    """Run the training DAG for a day; return the seconds between the ends of its tasks."""
    run_id = f"bench_{day}"
    airflow.api.trigger("intent_train", run_id, {"as_of_date": day})
    assert airflow.wait_for_run("intent_train", run_id) == "success"
    ends = sorted(t["end_date"] for t in airflow.api.tasks("intent_train", run_id))
    return [(b - a).total_seconds() for a, b in pairwise(map(datetime.fromisoformat, ends))]


def main() -> None:
    """Print the measured seconds; fail when the claim does not hold."""
    arguments_of(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        Path(folder).chmod(0o755)  # the database may run under another account
        with start_airflow(Path(folder) / "state") as airflow:
            seconds = [s for day in DAYS for s in overheads(airflow, day)][4:]
    print(
        f"{len(seconds)} steps: median {statistics.median(seconds):.2f} s, "
        f"longest {max(seconds):.2f} s (allowed: {SECONDS_ALLOWED} s)"
    )
    sys.exit(max(seconds) > SECONDS_ALLOWED)


if __name__ == "__main__":
    main()
