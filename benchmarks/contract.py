"""How long the contract takes over a day of 2 million events, beside the same reads without it.

The events are those of a simulated shop, all moved into one day. The floor is what any check must
do at least: read the rows of the day once and count them.
Claim: at most 20 s for the step's measuring and judging of all suites.
Command: `python -m benchmarks.contract [EVENTS]` (own PostgreSQL; 3 minutes)
"""

import sys
import time
from datetime import date

import sqlalchemy as sa

from benchmarks.corruptions import bench
from intent_tasks.steps import validate
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts import fitting, measured

SECONDS_ALLOWED = 20.0
DAY = date(2026, 8, 1)
"""A day after all of the simulated shop."""

CROWD = """
INSERT INTO shop.events
SELECT event_id || '-' || n, customer_id || '-' || n, session_id || '-' || n, event_type,
       product_id, quantity, price, currency, query_text, review_text, rating, channel, device,
       :day + (occurred_at AT TIME ZONE 'UTC')::time AT TIME ZONE 'UTC',
       :day + (occurred_at AT TIME ZONE 'UTC')::time AT TIME ZONE 'UTC' + interval '1 s'
FROM shop.events, generate_series(1, 20) AS n LIMIT :events
"""


def main() -> None:
    """Print the measured seconds; fail when the claim does not hold."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with bench(4000) as made:
        settings = made.settings
        with made.admin.begin() as connection:
            connection.execute(sa.text(CROWD), {"day": DAY, "events": events})
        with made.admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text("VACUUM ANALYZE shop.events"))
        with postgres.reading(settings.shop_url) as connection:
            columns = [c.name for c in measured.events.TABLE.columns]
            rows = measured.rows_of_events(connection, settings.definition, columns, DAY, DAY)
            start = time.perf_counter()
            connection.execute(sa.select(sa.func.count()).select_from(rows))
            floor = time.perf_counter() - start
            limits = fitting.Thresholds(
                reference=fitting.reference(connection, rows, measured.events)
            )
            start = time.perf_counter()
            numbers = measured.measure(connection, rows, measured.events.RULES, limits)
            every_rule = time.perf_counter() - start
        validate.run(settings, DAY)  # Great Expectations is imported once a process
        start = time.perf_counter()
        validate.run(settings, DAY)
        step = time.perf_counter() - start
    print(f"{numbers['row_count']:,.0f} events, {len(numbers) - 1} rules: {every_rule:.1f} s")
    print(f"Reading and counting them once: {floor:.1f} s (ratio {every_rule / floor:.1f})")
    print(f"Step validate with the shipped thresholds, pages and all: {step:.1f} s")
    print(f"Allowed: {SECONDS_ALLOWED} s")
    sys.exit(every_rule > SECONDS_ALLOWED)


if __name__ == "__main__":
    main()
