"""Time and memory of each step of a night, for shops of several sizes.

A simulated shop with 95 days is loaded into a PostgreSQL of its own. Each step is a process of its
own, `intent step …`, as in an installation without a fork server. The first extract copies the
history, the second one day. Scoring runs one bucket after the other; its memory is that of the
largest. The network has the default size but random weights and no trees, and is pinned without
MLflow. `mature` and `measure` run four days later, for one published day.
Command: `python -m benchmarks.night CUSTOMERS …`; 10,000 take three minutes, and a gigabyte of
disk. Processor seconds are those of the step, without those of PostgreSQL.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, NamedTuple

from pydantic import SecretStr

from benchmarks.support import servers
from benchmarks.support.arguments import arguments_of
from intent_tasks.settings import Settings

DAYS, DAYS_LATER = 95, 4
LAST_DAY = date(2026, 6, 30)
NIGHT = LAST_DAY - timedelta(days=DAYS_LATER)


class Used(NamedTuple):
    """What one process, or several one after the other, used."""

    wall_seconds: float
    processor_seconds: float
    megabytes: float

    def plus(self, other: "Used") -> "Used":
        """Return the sum of the seconds, and the larger memory."""
        return Used(
            self.wall_seconds + other.wall_seconds,
            self.processor_seconds + other.processor_seconds,
            max(self.megabytes, other.megabytes),
        )


def main() -> None:
    """Print a table for each size."""
    parser = arguments_of(__doc__)
    parser.add_argument("customers", type=int, nargs="*", default=[10_000])
    for customers in parser.parse_args().customers:
        with servers.installation("night", last_day=LAST_DAY) as (_, settings):
            # In another process: a step would inherit the peak memory of this one.
            events = apart(load_shop, settings, customers)
            print(f"\n{customers:,} customers, {events:,} events of {DAYS} days\n")
            print("| step | wall, s | processor, s | peak memory, MB |\n|---|---|---|---|")
            run_night(settings)


def run_night(settings: Settings) -> None:
    """Run the steps; print a row for each."""
    report("extract, the history", run_step(settings, "extract", NIGHT - timedelta(days=1)))
    report("extract, one day", run_step(settings, "extract", NIGHT))
    report("validate", run_step(settings, "validate", NIGHT))
    apart(pin_untrained, settings)
    buckets = [
        run_step(settings, "score", NIGHT, "--bucket", str(bucket))
        for bucket in range(settings.bucket_count)
    ]
    total = buckets[0]
    for each in buckets[1:]:
        total = total.plus(each)
    report(f"score, {len(buckets)} buckets", total)
    report("publish", run_step(settings, "publish", NIGHT))
    run_step(settings, "extract", LAST_DAY)
    report("mature", run_step(settings, "mature", LAST_DAY))
    report("measure", run_step(settings, "measure", LAST_DAY))


def report(name: str, used: Used) -> None:
    print(
        f"| {name} | {used.wall_seconds:.1f} | {used.processor_seconds:.1f} "
        f"| {used.megabytes:,.0f} |",
        flush=True,
    )


def run_step(settings: Settings, name: str, day: date, *options: str) -> Used:
    """Run a step; exit when it fails."""
    step = [name, "--as-of-date", str(day), *options]
    command = [sys.executable, "-m", "intent_tasks.cli", "step", *step]
    output = os.open(settings.home / "steps.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    start = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, **environment_of(settings)},
        file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
    )
    _, status, usage = os.wait4(process, 0)
    os.close(output)
    if code := os.waitstatus_to_exitcode(status):
        log = (settings.home / "steps.log").read_text()
        sys.exit(f"{log[-3000:]}\n{' '.join(command)} ended with {code}.")
    return Used(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables from which a step reads the settings that were set here."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        "INTENT_" + name.upper(): value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        for name, value in values.items()
    }


def apart(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    """Return the result of a function that runs in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def load_shop(settings: Settings, customers: int) -> int:
    """Load a simulated shop; return the number of its events."""
    from intent_tasks import simulator
    from intent_tasks.stores import simulated_shop

    config = simulator.Config(customers=customers, days=DAYS, last_day=LAST_DAY)
    blocks = 1 + customers // 2000
    return simulated_shop.load(
        settings, "simulated shop", "digest", simulator.simulate(config, blocks),
        simulator.catalogue(config), simulator.customers(config),
    )  # fmt: skip


def pin_untrained(settings: Settings) -> None:
    """Pin a network of the default size with random weights, signed like any other."""
    from intent_tasks.core.vocabulary import learn_vocabulary, vocabulary_sizes
    from intent_tasks.definition import HORIZONS_DAYS
    from intent_tasks.models import model_io, network, sizes
    from intent_tasks.stores import ledger, manifest, snapshots

    network.deterministic(settings.seed)
    events = snapshots.read(settings.home, settings.definition, NIGHT, [0])
    vocabulary = learn_vocabulary([events])
    size = sizes.size_of(settings.model_size, settings.model_encoder)
    architecture = network.Architecture(settings.model_encoder, size, vocabulary_sizes(vocabulary))
    rates = {str(horizon): 0.25 for horizon in HORIZONS_DAYS}
    folder = settings.home / "models" / "1"
    folder.mkdir(parents=True)
    built = network.build(architecture)
    model_io.save(folder, model_io.Model(architecture, vocabulary, built, rates, rates))
    key = settings.manifest_key.get_secret_value().encode()
    subject = manifest.Subject(settings.model_name, 1, "run")
    receipt = {
        "model_version": 1,
        "run_id": "run",
        "buckets": list(range(settings.bucket_count)),
        "base_rates": rates,
        "thresholds": rates,
        "model_path": "models/1",
        "manifest_digest": manifest.sign(folder, subject, {"gate": "passed"}, key),
    }
    ledger.finish_step(settings, "pin", NIGHT, receipt)


if __name__ == "__main__":
    main()
