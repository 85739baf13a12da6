"""Default arguments of our DAGs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context
from intent_days import day_of_run, day_param

from intent_tasks.settings import Schedule

# Early enough to backfill any day.
START = datetime(2000, 1, 1, tzinfo=UTC)


def frame(
    about: str,
    schedule: Schedule,
    as_of_date: Callable[[Context, object], str] = day_of_run,
) -> dict[str, Any]:
    """Return the arguments that are the same for every DAG.

    Args:
        about: docstring of its file; the first line is the description.
        schedule: settings for Airflow.
        as_of_date: returns the shop day of a run.
    """
    return {
        "description": about.splitlines()[0],
        "doc_md": about,
        "start_date": START,
        "catchup": False,
        "default_args": {
            "as_of_date": as_of_date,
            "retries": 3,  # of exit code 75
            "retry_delay": timedelta(seconds=schedule.retry_delay_seconds),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=15),
            "execution_timeout": timedelta(seconds=schedule.step_timeout_seconds),
            "pool": schedule.pool,
        },
        "params": {"as_of_date": day_param()},
        "tags": ["intent"],
    }
