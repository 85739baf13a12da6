"""Processor time of commands that should start at once, and of the imports they cannot avoid.

The reference is `import sqlalchemy, psycopg2`. The commands run as children on a migrated database;
`status` runs without servers, so that it also waits for none.
Claim: each takes at most 1.8 times the reference. None imports SQLAlchemy: `sql` and `status` query
through the driver alone.
Command: `python -m benchmarks.command_start` (own PostgreSQL; 1 minute)
"""

import os
import resource
import statistics
import subprocess
import sys

from pydantic import SecretStr

from benchmarks.support.arguments import arguments_of
from benchmarks.support.servers import installation
from intent_tasks.local.installation import Installation
from intent_tasks.settings import Settings

REFERENCE = ["-c", "import sqlalchemy, psycopg2"]
COMMANDS = {
    "--help": ["--help"],
    "sql": ["sql", "SELECT 1"],
    "status": ["status"],
}
"""Name → arguments of the command."""
MAX_RATIO = 1.8
ROUNDS = 7


def processor_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Return the processor time of a child of this interpreter, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables of the commands: the settings, and bytecode files as installed."""
    values = settings.model_dump(exclude_defaults=True, exclude={"home"})
    texts = {
        f"INTENT_{name.upper()}": value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        for name, value in values.items()
    }
    inherited = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **texts, "INTENT_HOME": str(settings.home)}


def main() -> None:
    """Print the medians and ratios; fail when a claim does not hold."""
    arguments_of(__doc__).parse_args()
    with installation("command-start") as (_, settings):
        Installation.prepare(settings.home)
        environment = environment_of(settings)
        runs = {"reference": REFERENCE} | {
            name: ["-m", "intent_tasks.cli", *arguments] for name, arguments in COMMANDS.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(1 + ROUNDS):  # in turns, so that a busy moment hits all of them
            for name, arguments in runs.items():
                seconds[name].append(processor_seconds(arguments, environment))
    # The first round writes the bytecode files.
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    print(f"import sqlalchemy, psycopg2   {median['reference']:.2f} s")
    failed = False
    for name in COMMANDS:
        ratio = median[name] / median["reference"]
        failed |= ratio > MAX_RATIO
        print(f"intent {name:22} {median[name]:.2f} s   {ratio:.2f} x   (allowed: {MAX_RATIO} x)")
    sys.exit(failed)


if __name__ == "__main__":
    main()
