"""Times of the demo, of a daily run and of the servers at rest, in times of `import tensorflow`.

Command: `python -m benchmarks.first_minutes [--tests]` (about 8 minutes on two idle cores; with
`--tests`, which also runs `make test`, about 30)

Machines differ by a factor of two and more. A new interpreter that imports TensorFlow is the unit,
measured in the same run, before and after. Run `make demo` once before, so that the package cache
is warm; everything else starts from nothing, in a folder of its own that is removed at the end.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.support.arguments import arguments_of
from benchmarks.support.checkout import clean_environment, clone_checkout, make
from intent_tasks.local.airflow_api import FINISHED, AirflowApi, Json
from intent_tasks.local.configuration import USER
from intent_tasks.local.installation import Installation

LIMITS = {
    "first predictions of make demo": 14.0,
    "all of make demo": 25.0,
    "daily run of 3,000 customers": 1.5,
    "training of the demo's shop": 5.0,
    "make test": 45.0,
}
"""Figure → most times of `import tensorflow`."""

IDLE_PERCENT = 8.0
"""Most processor time of all servers at rest, in percent of one core."""
IDLE_SECONDS, REST_SECONDS = 90.0, 30.0
"""Duration of the measurement of idle servers, and of the wait until they are idle."""
REPEATS = 3


def main() -> int:
    """Print each figure and its limit; return 1 if one exceeds it."""
    parser = arguments_of(__doc__)
    parser.add_argument("--tests", action="store_true", help="run `make test` too")
    with_tests = parser.parse_args().tests
    units = [import_seconds() for _ in range(REPEATS)]
    with clone_checkout() as clone:
        seconds = demo_seconds(clone)
        installation = Installation.load(clone / ".intent")
        assert installation is not None
        idle_percent = servers_percent(clone)
        seconds |= airflow_seconds(installation)
        make(clone, "stop", {})
        units += [import_seconds() for _ in range(REPEATS)]
        if with_tests:
            seconds["make test"] = make(clone, "test", {})
    unit = statistics.median(units)
    spread = f"{min(units):.1f} to {max(units):.1f}"
    print(f"\nimport tensorflow: median {unit:.1f} s of {len(units)} runs ({spread})")
    return print_figures(seconds, unit, idle_percent)


def import_seconds() -> float:
    """Return the seconds in which a new interpreter imports TensorFlow."""
    start = time.monotonic()
    command = [sys.executable, "-c", "import tensorflow"]
    subprocess.run(command, env=clean_environment(), check=True, capture_output=True)
    return time.monotonic() - start


def demo_seconds(clone: Path) -> dict[str, float]:
    """Run the demo; return the seconds until its first predictions and until its end."""
    whole = make(clone, "demo", {})
    phases = json.loads((clone / ".intent" / "logs" / "demo_times.json").read_text())
    print("Phases, seconds since the start:", json.dumps(phases))
    return {
        "first predictions of make demo": phases["first predictions"],
        "all of make demo": whole,
    }


def servers_percent(clone: Path) -> float:
    """Return the processor time of all servers at rest, in percent of one core."""
    supervisord = psutil.Process(int((clone / ".intent" / "supervisord.pid").read_text()))
    time.sleep(REST_SECONDS)
    before = _processor_seconds(supervisord)
    time.sleep(IDLE_SECONDS)
    after = _processor_seconds(supervisord)
    by_server = {
        name: 100 * (used - before.get(name, 0.0)) / IDLE_SECONDS for name, used in after.items()
    }
    for name, percent in sorted(by_server.items(), key=lambda each: -each[1]):
        print(f"  at rest: {name:24} {percent:5.2f} %")
    return sum(by_server.values())


def _processor_seconds(supervisord: psutil.Process) -> dict[str, float]:
    """Return server → processor seconds of its processes, also of those that ended."""
    seconds = {"supervisord": sum(supervisord.cpu_times()[:2])}
    for server in supervisord.children():
        name = server.environ().get("SUPERVISOR_PROCESS_NAME", str(server.pid))
        running = [server, *server.children(recursive=True)]
        seconds[name] = sum(server.cpu_times()[2:4]) + sum(
            sum(process.cpu_times()[:2]) for process in running
        )
    return seconds


def airflow_seconds(installation: Installation) -> dict[str, float]:
    """Return the seconds of the training of the demo and of daily runs, as Airflow counts them."""
    api = AirflowApi(installation.address("airflow"), USER, installation.secrets.airflow)
    with closing(api):
        trained = api.runs("intent_train")[0]
        tasks = api.tasks("intent_train", trained["dag_run_id"])
        training = next(_seconds(task) for task in tasks if task["task_id"] == "train")
        last_day = max(run["conf"].get("as_of_date", "") for run in api.runs("intent_daily"))
        daily = [_daily_seconds(api, f"benchmark_{n}", last_day) for n in range(REPEATS)]
    return {
        "training of the demo's shop": training,
        "daily run of 3,000 customers": statistics.median(daily),
    }


def _daily_seconds(api: AirflowApi, run_id: str, day: str) -> float:
    api.trigger("intent_daily", run_id, {"as_of_date": day})

    def finished() -> Json | None:
        run = api.run("intent_daily", run_id)
        return run if run and run["state"] in FINISHED else None

    run = _wait(finished)
    assert run["state"] == "success", run
    return _seconds(run)


def _wait(request: Callable[[], Json | None]) -> Json:
    while (answer := request()) is None:
        time.sleep(0.2)
    return answer


def _seconds(task: Json) -> float:
    start, end = (datetime.fromisoformat(task[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()


def print_figures(seconds: dict[str, float], unit: float, idle_percent: float) -> int:
    """Print seconds and ratios with their limits; return 1 if one exceeds its limit."""
    print(f"\n{'figure':34} {'seconds':>8} {'ratio':>7} {'limit':>7}")
    over = False
    for name, value in seconds.items():
        ratio, limit = value / unit, LIMITS[name]
        over |= ratio > limit
        print(f"{name:34} {value:8.1f} {ratio:7.1f} {limit:7.1f}{'  OVER' * (ratio > limit)}")
    idle_over = idle_percent > IDLE_PERCENT
    print(
        f"{'servers at rest, % of a core':34} {'':8} {idle_percent:7.1f} {IDLE_PERCENT:7.1f}"
        f"{'  OVER' * idle_over}"
    )
    return int(over or idle_over)


if __name__ == "__main__":
    sys.exit(main())
