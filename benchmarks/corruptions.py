"""How many planted corruptions the contract catches, and how often it is wrong about a clean day.

Thresholds are fitted on 60 days of a simulated shop. Then 60 later days, as they are, count the
false alarms; and each corruption of `planted_corruptions.py` is planted, one at a time, into rows
of one of these days, which the same code checks as in `intent step validate`. The same for
predictions, those of the shop's exact limit (`planted_predictions.py`), as in `publish`.
Claims: at least 95 % caught, no false alarm.
Command: `python -m benchmarks.corruptions [CUSTOMERS [SEED]]` (own PostgreSQL; 4 minutes for 4,000)
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from benchmarks import planted_predictions
from benchmarks.planted_corruptions import CORRUPTIONS, Corruption
from benchmarks.servers import installation
from expectations import thresholds
from expectations.rules import Severity
from intent_tasks import simulator
from intent_tasks.local import databases
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.stores import simulated_shop
from intent_tasks.stores.contracts import prediction_profile, profile, threshold_fitting
from intent_tasks.stores.contracts.profile import Profile

FIT_DAYS = CLEAN_DAYS = 60
WARM_UP_DAYS = 28
"""First days of the simulated shop, in which weekdays get their history."""

CAUGHT_AT_LEAST, FALSE_ALARMS_AT_MOST = 0.95, 0
ALL = (*CORRUPTIONS, *planted_predictions.CORRUPTIONS)
PLACE = "corrupt"
"""Schema of the corrupted tables."""


class Seen(NamedTuple):
    """What the contract said to one day."""

    what: str
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
        self.counts: dict[date, int] = {}

    def fit(self) -> None:
        """Fit the thresholds."""
        with self.admin.connect() as connection:
            definition, shipped = self.settings.definition, self.limits
            self.limits["events"] = threshold_fitting.fit_events(
                connection, definition, self.fit_days, shipped["events"], _say
            )
            for name, module in profile.TABLES.items():
                fitted = threshold_fitting.fit_table(connection, module, shipped[name])
                self.limits[name] = fitted or shipped[name]
            arrived = sa.text(
                "SELECT ingested_at::date, count(*) FROM shop.events WHERE ingested_at IS NOT NULL "
                "GROUP BY 1"
            )
            self.counts = dict(connection.execute(arrived).all())

    def publish_and_fit(self, events: pa.Table) -> None:
        """Publish the predictions of all days, and fit on the first of them."""
        days = [*self.fit_days, *self.clean_days]
        self.pinned = planted_predictions.publish(self.settings, self.config, events, days)
        with self.admin.connect() as connection:
            shipped = self.limits["predictions"]
            fitted = threshold_fitting.fit_predictions(connection, self.fit_days, shipped, _say)
            self.limits["predictions"] = fitted or shipped

    def check(self, day: date, what: str, place: str = "shop") -> Seen:
        """Measure and judge one day as the step `validate` does."""
        usual = profile.usual_of(
            [self.counts.get(day - timedelta(weeks=n), 0) for n in (4, 3, 2, 1)]
        )
        with self._reading({"shop": place}) as connection:
            found = [
                profile.profile_events(
                    connection, self.settings.definition, self.limits["events"], day, usual
                ),
                *(profile.profile_table(connection, n, self.limits[n]) for n in profile.TABLES),
            ]
        return _seen(what, [m for m in found if m])

    def check_predictions(self, day: date, what: str, place: str = "intent") -> Seen:
        """Measure and judge the predictions of a day as the step `publish` does."""
        with self._reading({"intent": place}) as connection:
            count = sa.select(sa.func.count()).select_from(prediction_profile.TABLE)
            scored = connection.scalar(count.where(prediction_profile.TABLE.c.as_of_date == day))
            limits = self.limits["predictions"]
            found = prediction_profile.profile_predictions(
                connection, limits, day, self.pinned, scored
            )
        return _seen(what, [found])

    @contextmanager
    def _reading(self, places: dict[str, str]) -> Iterator[sa.Connection]:
        with self.admin.connect() as connection:
            yield connection.execution_options(schema_translate_map=places)

    def plant(self, corruption: Corruption, day: date) -> Seen:
        """Check a day with one corruption."""
        definition = self.settings.definition
        spans = {
            "start": definition.day_start(day),
            "end": definition.day_end(day),
            "day": day,
        }
        with self.admin.begin() as connection:
            for statement in corruption.statements(PLACE):
                needed = {k: v for k, v in spans.items() if f":{k}" in statement}
                connection.execute(sa.text(statement), needed)
        check = self.check
        if isinstance(corruption, planted_predictions.OfPredictions):
            check = self.check_predictions
        return check(day, corruption.name, PLACE)


def _seen(what: str, found: list[Profile]) -> Seen:
    broken = [
        (m, name)
        for m in found
        for name, bound in m.bounds.items()
        if not bound.allows(m.numbers[name])
    ]
    severities = {m.bounds[name].severity for m, name in broken}
    worst = next((s for s in Severity if s in severities), "")
    return Seen(what, [f"{m.suite}.{name}" for m, name in broken], str(worst))


def _say(text: str) -> None:
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


@contextmanager
def bench(customers: int, seed: int = 7) -> Iterator[Bench]:
    """Make the shop in an embedded PostgreSQL of its own."""
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


def main() -> None:
    """Print what was caught and what was not; fail when a claim does not hold."""
    given = [int(text) for text in sys.argv[1:]] or [4000]
    with bench(*given) as made:
        made.fit()
        made.publish_and_fit(pa.concat_tables(simulator.simulate(made.config)))
        clean = []
        for day in made.clean_days:
            _say(f"clean {day}")
            clean += [made.check(day, str(day)), made.check_predictions(day, str(day))]
        planted = []
        for number, corruption in enumerate(ALL):
            _say(f"planted {corruption.name}")
            planted.append(made.plant(corruption, made.clean_days[7 + number % 45]))
    _say("")
    _print(planted)
    alarms = [seen for seen in clean if seen.broken]
    days = {seen.what for seen in alarms}
    print(f"False alarms: {len(days)} of {len(made.clean_days)} clean days")
    for seen in alarms:
        print(f"  {seen.what}: {seen.severity}: {', '.join(seen.broken)}")
    caught = sum(bool(seen.broken) for seen in planted)
    sys.exit(caught < CAUGHT_AT_LEAST * len(planted) or len(days) > FALSE_ALARMS_AT_MOST)


def _print(planted: list[Seen]) -> None:
    print("\n| corruption | caught as | first rules |\n|---|---|---|")
    for seen in planted:
        print(f"| {seen.what} | {seen.severity or '**missed**'} | {', '.join(seen.broken[:3])} |")
    ours = len(planted_predictions.CORRUPTIONS)
    for what, some in (("shop", planted[:-ours]), ("predictions", planted[-ours:])):
        caught = sum(bool(seen.broken) for seen in some)
        stops = sum(seen.severity in ("stop", "quarantine") for seen in some)
        share = caught / len(some)
        print(
            f"\nCaught of the {what}: {caught} of {len(some)} ({share:.1%}), {stops} stop the day"
        )


if __name__ == "__main__":
    main()
