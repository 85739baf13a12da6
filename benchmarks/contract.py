"""Seconds of the contract for a day of 2 million events, compared with counting its rows.

The events are those of a simulated shop, all moved into one day. The lower bound of any check is
reading the rows of the day once and counting them.
Claim: at most 20 s for the step `validate`, all suites with fitted thresholds, pages and all.
Command: `python -m benchmarks.contract [EVENTS]` (own PostgreSQL; 4 minutes)
"""

import contextlib
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import TypeVar

import psutil
import sqlalchemy as sa

from benchmarks.support.arguments import arguments_of
from benchmarks.support.contract_bench import contract_bench
from expectations import catalogue, thresholds
from intent_tasks.errors import Refused
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.steps import validate
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts import profile, threshold_fitting

T = TypeVar("T")

SECONDS_ALLOWED = 20.0
DAY = date(2026, 8, 1)
"""A day after the last of the simulated shop."""

INSERT_EVENTS = """
INSERT INTO shop.events
SELECT event_id || '-' || n, customer_id || '-' || n, session_id || '-' || n, event_type,
       product_id, quantity, price, currency, query_text, review_text, rating, channel, device,
       :day + (occurred_at AT TIME ZONE 'UTC')::time AT TIME ZONE 'UTC',
       :day + (occurred_at AT TIME ZONE 'UTC')::time AT TIME ZONE 'UTC' + interval '1 s'
FROM shop.events, generate_series(1, 20) AS n LIMIT :events
"""

INSERT_CUSTOMERS = """
INSERT INTO shop.customers
SELECT customer_id || '-' || n, created_at, country, consent_personalisation, consent_marketing,
       suppressed
FROM shop.customers, generate_series(1, 20) AS n
"""


class Clock:
    """Wall-clock seconds, and processor seconds of the server and of this process."""

    def __init__(self, server: Server) -> None:
        """Find the server's process."""
        pid = (server.data / "postmaster.pid").read_text().split()[0]
        self._server = psutil.Process(int(pid))

    def time_call(self, work: Callable[[], T]) -> tuple[T, str, float]:
        """Return the result of the work, its seconds as text, and its wall-clock seconds."""
        before, start = self._processor_seconds(), time.perf_counter()
        result = work()
        wall = time.perf_counter() - start
        return (
            result,
            f"{wall:.1f} s ({self._processor_seconds() - before:.1f} processor seconds)",
            wall,
        )

    def _processor_seconds(self) -> float:
        used = time.process_time()
        for process in (self._server, *self._server.children()):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                # Workers that have ended count among the children of the server.
                ended = times.children_user + times.children_system
                used += times.user + times.system + (ended if process == self._server else 0)
        return used


def main() -> None:
    """Print the measured seconds; fail when the claim does not hold."""
    parser = arguments_of(__doc__)
    parser.add_argument("events", type=int, nargs="?", default=2_000_000)
    events = parser.parse_args().events
    with contract_bench(4000) as bench:
        settings, clock = bench.settings, Clock(bench.server)
        with bench.admin.begin() as connection:
            connection.execute(sa.text(INSERT_EVENTS), {"day": DAY, "events": events})
            connection.execute(sa.text(INSERT_CUSTOMERS))
        with bench.admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text("VACUUM ANALYZE shop.events"))
        rules = profile.events.RULES
        with postgres.reading(settings.shop_url) as connection:
            columns = {c.name: c.type for c in profile.events.TABLE.columns}
            rows = profile.rows_of_events(connection, settings.definition, columns, DAY, DAY)
            limits = threshold_fitting.Thresholds(
                reference=threshold_fitting.reference(connection, rows, profile.events)
            )
            count = sa.select(sa.func.count()).select_from(rows)
            _, floor, _ = clock.time_call(lambda: connection.execute(count))
            numbers, every_rule, _ = clock.time_call(
                lambda: profile.measure(connection, rows, rules, limits)
            )
        validate.run(settings, DAY)  # Great Expectations is imported once a process
        _, shipped, _ = clock.time_call(lambda: validate.run(settings, DAY))
        bench.fit()
        text = thresholds.text("", bench.limits, {s: catalogue.meanings(s) for s in bench.limits})
        (settings.home / thresholds.FILE).write_text(text, encoding="utf-8")
        _, fitted, seconds = clock.time_call(lambda: _validate(settings))
    print(f"{numbers['row_count']:,.0f} events")
    print(f"Reading and counting them once: {floor}")
    print(f"All {len(rules)} rules of events, measured: {every_rule}")
    print(f"Step validate with the shipped thresholds, pages and all: {shipped}")
    print(f"Step validate with fitted thresholds, all suites, pages and all: {fitted}")
    print(f"Allowed: {SECONDS_ALLOWED} s")
    sys.exit(seconds > SECONDS_ALLOWED)


def _validate(settings: Settings) -> None:
    """Check the day; it may be refused, since it has more events than a usual day."""
    with contextlib.suppress(Refused):
        validate.run(settings, DAY)


if __name__ == "__main__":
    main()
