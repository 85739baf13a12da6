"""Status of days from the ledger and the view `intent.conservation`, for `intent status`."""

from datetime import date, datetime

from intent_tasks.definition import ALL_BUCKETS, SNAPSHOT_STEP
from intent_tasks.settings import Settings
from intent_tasks.stores.plain_queries import fetch_rows

LAST_RUNS = """
SELECT step, max(as_of_date), max(finished_at) FROM intent.runs
WHERE step = ANY(%(steps)s) GROUP BY step ORDER BY step
"""

BREACHES = """
SELECT as_of_date, breach FROM intent.conservation WHERE NOT holds ORDER BY as_of_date
"""

STALE = """
SELECT published.as_of_date FROM intent.runs AS published
WHERE published.step = 'publish' AND EXISTS (
    SELECT 1 FROM intent.runs AS arrived
    WHERE arrived.step = %(snapshot)s
    AND arrived.as_of_date BETWEEN published.as_of_date - %(days)s AND published.as_of_date
    AND arrived.finished_at > published.finished_at
)
ORDER BY published.as_of_date
"""

PUBLISHED_AND_EMPTY = """
SELECT as_of_date, step, receipt->>'rows_in_warehouse' = '0' FROM intent.runs
WHERE bucket = %(bucket)s AND step IN ('publish', %(snapshot)s)
"""


def last_runs(settings: Settings, steps: tuple[str, ...]) -> list[tuple[str, date, datetime]]:
    """Return the last day of each step, and when the step last finished (UTC)."""
    rows = fetch_rows(settings.pipeline_url, LAST_RUNS, {"steps": list(steps)})
    return [(step, day, finished_at) for step, day, finished_at in rows]


def breaches(settings: Settings) -> list[tuple[date | None, str]]:
    """Return the days on which a sum does not agree, and the sum; day None: over all time."""
    return [(day, breach) for day, breach in fetch_rows(settings.pipeline_url, BREACHES)]


def stale_days(settings: Settings) -> list[date]:
    """Return the published days whose history has a snapshot that was written after them."""
    values = {"snapshot": SNAPSHOT_STEP, "days": settings.history_days - 1}
    return [day for (day,) in fetch_rows(settings.pipeline_url, STALE, values)]


def published_and_empty_days(settings: Settings) -> tuple[set[date], set[date]]:
    """Return the published days, and the days whose snapshot found no rows in the warehouse."""
    values = {"bucket": ALL_BUCKETS, "snapshot": SNAPSHOT_STEP}
    rows = fetch_rows(settings.pipeline_url, PUBLISHED_AND_EMPTY, values)
    published = {day for day, step, _ in rows if step == "publish"}
    return published, {day for day, step, is_empty in rows if step != "publish" and is_empty}
