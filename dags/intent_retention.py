"""Delete data that is older than its retention limit.

**What it does.** `retain` drops months of predictions and deletes outcomes, quarantined rows,
snapshots, scores, training files and exported lists that are older than the limit of their place
(docs/privacy.md; INTENT_RETENTION_DAYS changes it). Then it deletes the pairs of id and key of
customers without any remaining data. Metrics, receipts, promotions and tombstones stay.

**When.** Every morning (INTENT_RETENTION_CRON), after the day was predicted. For a recording the
DAG has no schedule: trigger it.

**Which day.** Limits count back from one shop day: the day before a scheduled run, or the Param
`as_of_date` (YYYY-MM-DD). `intent purge --as-of-date D --dry-run` lists what a run would delete.

**What a retry does.** It repeats the step and deletes the rest. A temporary failure is retried
three times, after 30 to 60 s, 1 to 2 min and 2 to 4 min. A refusal (an invalid limit) is not
retried: the message explains what to do.

**How to resume.** Repair the cause and clear the task, or wait for the next morning. Only the
warehouse can restore deleted data: an extract of an old day copies its snapshots anew.

**Overlap.** One run at a time.

Settings: INTENT_RETENTION_CRON, INTENT_RETENTION_DAYS, INTENT_TIME_ZONE, INTENT_LAST_DAY,
INTENT_POOL, INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS.
"""

from airflow.sdk import DAG
from intent_dag_defaults import dag_defaults
from intent_days import ShopTimes
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()
every_morning = ShopTimes(settings.retention_cron, settings.time_zone)

with DAG(
    "intent_retention",
    schedule=None if settings.last_day else every_morning,
    max_active_runs=1,
    **dag_defaults(__doc__, settings),
) as dag:
    Step(task_id="retain")
