"""A simulated shop in a PostgreSQL of its own, whose days the contract checks."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from benchmarks.support.servers import installation
from expectations import thresholds
from expectations.rules import Severity
from intent_tasks import simulator
from intent_tasks.local import databases
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.stores import simulated_shop
from intent_tasks.stores.contracts import prediction_profile, profile, threshold_fitting
from intent_tasks.stores.contracts.profile import Profile
from tools.testbed import planted_predictions
from tools.testbed.planted_corruptions import Corruption

FIT_DAYS = CLEAN_DAYS = 60
WARM_UP_DAYS = 28
"""First days of the simulated shop, in which weekdays get their history."""

CORRUPTED_SCHEMA = "corrupt"


class Verdict(NamedTuple):
    """Broken rules of one day or corruption, and the worst severity, "" for none."""

    name: str
    broken: list[str]
    severity: str


class Bench:
    """The simulated shop, and the thresholds fitted on its first days."""

    def __init__(
        self, admin: sa.Engine, settings: Settings, config: simulator.Config, server: Server
    ) -> None:
        self.admin = admin
        self.settings = settings
        self.config = config
        self.server = server
        self.days = [config.first_day + timedelta(days=n) for n in range(config.days)]
        self.clean_days = self.days[-CLEAN_DAYS:]
        self.fit_days = self.days[-CLEAN_DAYS - FIT_DAYS : -CLEAN_DAYS]
        self.limits = thresholds.parse(thresholds.SHIPPED)
        self.event_counts: dict[date, int] = {}

    def fit(self) -> None:
        """Fit the thresholds of the shop's tables."""
        with self.admin.connect() as connection:
            definition, shipped = self.settings.definition, self.limits
            self.limits["events"] = threshold_fitting.fit_events(
                connection, definition, self.fit_days, shipped["events"], print_progress
            )
            for name, module in profile.TABLES.items():
                fitted = threshold_fitting.fit_table(connection, module, shipped[name])
                self.limits[name] = fitted or shipped[name]
            counts = sa.text(
                "SELECT ingested_at::date, count(*) FROM shop.events WHERE ingested_at IS NOT NULL "
                "GROUP BY 1"
            )
            self.event_counts = dict(connection.execute(counts).all())

    def publish_and_fit(self, events: pa.Table) -> None:
        """Publish the predictions of all days, and fit thresholds on the first of them."""
        days = [*self.fit_days, *self.clean_days]
        self.pinned = planted_predictions.publish(self.settings, self.config, events, days)
        with self.admin.connect() as connection:
            shipped = self.limits["predictions"]
            fitted = threshold_fitting.fit_predictions(
                connection, self.fit_days, shipped, print_progress
            )
            self.limits["predictions"] = fitted or shipped

    def check(self, day: date, name: str, schema: str = "shop") -> Verdict:
        """Measure and judge one day as the step `validate` does."""
        usual = profile.usual_of(
            [self.event_counts.get(day - timedelta(weeks=n), 0) for n in (4, 3, 2, 1)]
        )
        with self._reading({"shop": schema}) as connection:
            measured = [
                profile.profile_events(
                    connection, self.settings.definition, self.limits["events"], day, usual
                ),
                *(profile.profile_table(connection, n, self.limits[n]) for n in profile.TABLES),
            ]
        return _judge(name, filter(None, measured))

    def check_predictions(self, day: date, name: str, schema: str = "intent") -> Verdict:
        """Measure and judge the predictions of a day as the step `publish` does."""
        with self._reading({"intent": schema}) as connection:
            count = sa.select(sa.func.count()).select_from(prediction_profile.TABLE)
            scored = connection.scalar(count.where(prediction_profile.TABLE.c.as_of_date == day))
            measured = prediction_profile.profile_predictions(
                connection, self.limits["predictions"], day, self.pinned, scored
            )
        return _judge(name, [measured])

    @contextmanager
    def _reading(self, schemas: dict[str, str]) -> Iterator[sa.Connection]:
        with self.admin.connect() as connection:
            yield connection.execution_options(schema_translate_map=schemas)

    def plant(self, corruption: Corruption, day: date) -> Verdict:
        """Check a day with one corruption."""
        definition = self.settings.definition
        parameters = {
            "start": definition.day_start(day),
            "end": definition.day_end(day),
            "day": day,
        }
        with self.admin.begin() as connection:
            for statement in corruption.statements(CORRUPTED_SCHEMA):
                used = {k: v for k, v in parameters.items() if f":{k}" in statement}
                connection.execute(sa.text(statement), used)
        of_predictions = isinstance(corruption, planted_predictions.PredictionCorruption)
        check = self.check_predictions if of_predictions else self.check
        return check(day, corruption.name, CORRUPTED_SCHEMA)


def _judge(name: str, measured: Iterable[Profile]) -> Verdict:
    broken = [
        (m, rule)
        for m in measured
        for rule, bound in m.bounds.items()
        if not bound.allows(m.numbers[rule])
    ]
    severities = {m.bounds[rule].severity for m, rule in broken}
    worst = next((s for s in Severity if s in severities), "")
    return Verdict(name, [f"{m.suite}.{rule}" for m, rule in broken], str(worst))


def print_progress(text: str) -> None:
    """Overwrite the last line of the terminal."""
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


@contextmanager
def contract_bench(customers: int, seed: int = 7) -> Iterator[Bench]:
    """Load the shop into an embedded PostgreSQL of its own."""
    days = WARM_UP_DAYS + FIT_DAYS + CLEAN_DAYS
    config = simulator.Config(seed=seed, customers=customers, days=days)
    with installation("contract", bucket_count=2) as (server, settings):
        rows = simulated_shop.load(
            settings, "simulated shop", "digest", simulator.simulate(config, 10),
            simulator.catalogue(config), simulator.customers(config),
        )  # fmt: skip
        print(f"{customers:,} customers, {rows:,} events, {config.days} days")
        url = server.url(databases.SHOP).get_secret_value()
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        yield Bench(engine, settings, config, server)
