"""Default arguments of our DAGs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context
from intent_days import day_of_run, day_param

from intent_tasks.settings import AirflowSettings

# Early enough to backfill any day.
START = datetime(2000, 1, 1, tzinfo=UTC)


def dag_defaults(
    about: str,
    settings: AirflowSettings,
    as_of_date: Callable[[Context, object], str] = day_of_run,
) -> dict[str, Any]:
    """Return the arguments that are the same for every DAG.

    Args:
        about: docstring of the DAG file; its first line is the description.
        settings: of the Airflow side.
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
            "retry_delay": timedelta(seconds=settings.retry_delay_seconds),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=15),
            "execution_timeout": timedelta(seconds=settings.step_timeout_seconds),
            "pool": settings.pool,
        },
        "params": {"as_of_date": day_param()},
        "tags": ["intent"],
    }
