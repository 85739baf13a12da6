"""How many planted corruptions the contract catches, and how often it is wrong about a clean day.

Thresholds are fitted on 60 days of a simulated shop. Then 60 later days, as they are, count the
false alarms; and each corruption of `planted_corruptions.py` is planted, one at a time, into rows
of one of these days, which the same code checks as in `intent step validate`.
Claims: at least 95 % caught, no false alarm.
Command: `python -m benchmarks.corruptions [CUSTOMERS [SEED]]` (own PostgreSQL; 4 minutes for 4,000)
"""

import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr

from benchmarks.planted_corruptions import CORRUPTIONS, Corruption
from expectations import thresholds
from expectations.rules import Severity
from intent_tasks import simulator
from intent_tasks.local import databases, ports, postgres
from intent_tasks.settings import Settings
from intent_tasks.stores import migrate, shop
from intent_tasks.stores.contracts import fitting, measured
from tests.conftest import FAST, settings_for

FIT_DAYS = CLEAN_DAYS = 60
WARM_UP_DAYS = 28
"""First days of the simulated shop, in which weekdays get their history."""

CAUGHT_AT_LEAST, FALSE_ALARMS_AT_MOST = 0.95, 0
PLACE = "corrupt"
"""Schema of the corrupted tables."""


class Seen(NamedTuple):
    """What the contract said to one day."""

    what: str
    broken: list[str]
    severity: str


class Bench:
    """The simulated shop, and the thresholds fitted on its first days."""

    def __init__(self, admin: sa.Engine, settings: Settings, config: simulator.Config) -> None:
        self.admin = admin
        self.settings = settings
        self.days = [config.first_day + timedelta(days=n) for n in range(config.days)]
        self.clean_days = self.days[-CLEAN_DAYS:]
        self.fit_days = self.days[-CLEAN_DAYS - FIT_DAYS : -CLEAN_DAYS]
        self.limits = thresholds.parse(thresholds.SHIPPED)
        self.counts: dict[date, int] = {}

    def fit(self) -> None:
        """Fit the thresholds."""
        with self.admin.connect() as connection:
            definition, shipped = self.settings.definition, self.limits
            self.limits["events"] = fitting.of_events(
                connection, definition, self.fit_days, shipped["events"], _say
            )
            for name, module in measured.TABLES.items():
                fitted = fitting.of_table(connection, module, shipped[name])
                self.limits[name] = fitted or shipped[name]
            arrived = sa.text(
                "SELECT ingested_at::date, count(*) FROM shop.events WHERE ingested_at IS NOT NULL "
                "GROUP BY 1"
            )
            self.counts = dict(connection.execute(arrived).all())

    def check(self, day: date, what: str, place: str = "shop") -> Seen:
        """Measure and judge one day as the step `validate` does."""
        usual = measured.usual_of(
            [self.counts.get(day - timedelta(weeks=n), 0) for n in (4, 3, 2, 1)]
        )
        with self.admin.connect() as plain:
            connection = plain.execution_options(schema_translate_map={"shop": place})
            found = [
                measured.day_of_events(
                    connection, self.settings.definition, self.limits["events"], day, usual
                ),
                *(measured.table(connection, n, self.limits[n]) for n in measured.TABLES),
            ]
        broken = [
            (m, name)
            for m in found
            if m
            for name, b in m.bounds.items()
            if not b.allows(m.numbers[name])
        ]
        severities = {m.bounds[name].severity for m, name in broken}
        worst = next((s for s in Severity if s in severities), "")
        return Seen(what, [f"{m.suite}.{name}" for m, name in broken], str(worst))

    def plant(self, corruption: Corruption, day: date) -> Seen:
        """Check a day with one corruption."""
        definition = self.settings.definition
        spans = {"start": definition.day_start(day), "end": definition.day_end(day)}
        with self.admin.begin() as connection:
            for statement in corruption.statements(PLACE):
                needed = {k: v for k, v in spans.items() if f":{k}" in statement}
                connection.execute(sa.text(statement), needed)
        return self.check(day, corruption.name, PLACE)


def _say(text: str) -> None:
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


@contextmanager
def bench(customers: int, seed: int = 7) -> Iterator[Bench]:
    """Make the shop in an embedded PostgreSQL of its own."""
    days = WARM_UP_DAYS + FIT_DAYS + CLEAN_DAYS
    config = simulator.Config(seed=seed, customers=customers, days=days)
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        Path(folder).chmod(0o755)  # the database may run under another account
        password = SecretStr(secrets.token_urlsafe(12))
        server = postgres.Server(Path(folder) / "postgres", ports.free_ports(1)[0], password, FAST)
        server.start()
        try:
            databases.create(server, {role: role for role in databases.ROLES})
            settings = settings_for(server, databases.SHOP, Path(folder) / "state")
            settings.home.mkdir()
            migrate.migrate(settings)
            rows = shop.load(
                settings, "simulated shop", "digest", simulator.simulate(config, 10),
                simulator.catalogue(config), simulator.customers(config),
            )  # fmt: skip
            print(f"{customers:,} customers, {rows:,} events, {config.days} days")
            engine = sa.create_engine(
                server.url(databases.SHOP).get_secret_value(), poolclass=sa.NullPool
            )
            yield Bench(engine, settings, config)
        finally:
            server.stop()


def main() -> None:
    """Print what was caught and what was not; fail when a claim does not hold."""
    given = [int(text) for text in sys.argv[1:]] or [4000]
    with bench(*given) as made:
        made.fit()
        clean = []
        for day in made.clean_days:
            _say(f"clean {day}")
            clean.append(made.check(day, str(day)))
        planted = []
        for number, corruption in enumerate(CORRUPTIONS):
            _say(f"planted {corruption.name}")
            planted.append(made.plant(corruption, made.clean_days[7 + number % 45]))
    _say("")
    print("\n| corruption | caught as | first rules |\n|---|---|---|")
    for seen in planted:
        print(f"| {seen.what} | {seen.severity or '**missed**'} | {', '.join(seen.broken[:3])} |")
    caught = sum(bool(seen.broken) for seen in planted)
    alarms = [seen for seen in clean if seen.broken]
    stops = sum(seen.severity in ("stop", "quarantine") for seen in planted)
    print(
        f"\nCaught: {caught} of {len(planted)} ({caught / len(planted):.1%}), {stops} stop the day"
    )
    print(f"False alarms: {len(alarms)} of {len(clean)} clean days")
    for seen in alarms:
        print(f"  {seen.what}: {seen.severity}: {', '.join(seen.broken)}")
    sys.exit(caught < CAUGHT_AT_LEAST * len(planted) or len(alarms) > FALSE_ALARMS_AT_MOST)


if __name__ == "__main__":
    main()
