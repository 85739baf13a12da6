"""Check every morning that no shop day was missed.

**What it does.** `watch` fails when a shop day between the first published one and yesterday was
not predicted. The message names each missing day and the command that predicts it. It changes
nothing.

**When.** Every morning (INTENT_WATCH_CRON), when the day should have been predicted. For a
recording the DAG has no schedule. `intent check-days` and `intent status` report missing days too.

**Which day.** Days are checked up to the day before a scheduled run, or up to the Param
`as_of_date` (YYYY-MM-DD).

**What a retry does.** It repeats the check. A temporary failure is retried three times, after 30 to
60 s, 1 to 2 min and 2 to 4 min. Missing days are a refusal, which is not retried: the message
explains what to do.

**How to resume.** Run the command that the message names. Then clear the task, or wait for the next
morning.

**Overlap.** One run at a time.

Settings: INTENT_WATCH_CRON, INTENT_EMPTY_DAY, INTENT_TIME_ZONE, INTENT_LAST_DAY, INTENT_POOL,
INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS.
"""

from airflow.sdk import DAG
from intent_dag_defaults import dag_defaults
from intent_days import ShopTimes
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()
every_morning = ShopTimes(settings.watch_cron, settings.time_zone)

with DAG(
    "intent_watch",
    schedule=None if settings.last_day else every_morning,
    max_active_runs=1,
    **dag_defaults(__doc__, settings),
) as dag:
    Step(task_id="watch")
