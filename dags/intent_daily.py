"""Predict purchase intent for every customer, for one shop day.

**What it does.** `extract` copies the events that the warehouse received on the day, and all
missing days before it, to snapshots. `validate` checks them against the contract. `pin` resolves
the model version with the alias `champion` and records it for the day. `score` predicts one bucket
of customers per task. `publish` writes the day to `intent.predictions` in one transaction and
updates the asset `intent.predictions`.

**Which day.** A scheduled or backfilled run predicts the local date on which its interval starts,
on the morning after. A run started by hand takes the Param `as_of_date` (a shop day, YYYY-MM-DD)
or, without it, the last day that is over. If the clocks skip the scheduled time, the run starts at
the moment of the change; if the time occurs twice, the run starts the first time. So each shop day
runs once, in every zone. A cron with several times of the day runs the same day at each.

**What a retry does.** It repeats the step. Every step replaces its rows and files of the day in one
transaction, so a day may run at any time, in any order and twice. A temporary failure (the database
or the registry cannot be reached) is retried three times, after 30 to 60 s, 1 to 2 min and 2 to
4 min. A refusal (bad data, no approved model) is not retried: the message explains what to do.

**How to resume.** Repair the cause, then clear the failed task and its downstream tasks. To run
missed days, use `airflow backfill create --dag-id intent_daily --from-date 2026-06-01
--to-date 2026-06-07`. Add `--reprocess-behavior completed` to repeat days that have run.

**A skipped day** had no events and the setting INTENT_EMPTY_DAY=skip: nothing is published.

Settings: INTENT_DAILY_CRON, INTENT_TIME_ZONE, INTENT_LAST_DAY, INTENT_MAX_ACTIVE_RUNS (days at
once), INTENT_POOL, INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS.
"""

from airflow.sdk import DAG, chain
from intent_dag_defaults import dag_defaults
from intent_days import PREDICTIONS, ShopDays
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()

with DAG(
    "intent_daily",
    schedule=ShopDays(settings.daily_cron, settings.time_zone, settings.last_day),
    max_active_runs=settings.max_active_runs,
    **dag_defaults(__doc__, settings),
) as dag:
    pin = Step(task_id="pin", map_over="buckets")
    validated = Step(task_id="extract") >> Step(task_id="validate")
    score = Step.partial(task_id="score", map_index_template="bucket {{ task.bucket }}").expand(
        bucket=pin.output
    )
    chain([pin, validated], score, Step(task_id="publish", outlets=[PREDICTIONS]))
