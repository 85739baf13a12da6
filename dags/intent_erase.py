"""Erase the customers who asked for it.

**What it does.** `erase` takes the open rows of `intent.erasure_requests` (the shop inserts
`customer_id`) and removes these customers from snapshots, scores, training files, predictions,
outcomes, quarantine, exported lists and, where this installation filled it, from schema `shop`. It
leaves a tombstone, which every later extract, backfill and publication honours, writes the model
versions that learned from each customer into `intent.erasures`, and makes the request forget the
id. A customer nobody knows gets a tombstone as well.

**When.** Every night (INTENT_ERASE_CRON), before the day is predicted. Sooner: trigger it, or run
`intent erase CUSTOMER_ID`.

**Which day.** None: the Param `as_of_date` only names the receipt in the ledger.

**What a retry does.** The same again, from the start: it finds what is left. A temporary failure is
retried three times, after 30 to 60 s, 1 to 2 min and 2 to 4 min. A refusal (another identity key
than that of the data, a damaged file) is not: the task says what to do.

**How to resume.** Mend the cause and clear the task, or wait for the next night: a request stays
open until its customer is in no place any more.

**Overlap.** One run at a time; beside other DAGs it is safe, because it takes the lock of each day
that it rewrites. No open request: the run is skipped.

Settings: INTENT_ERASE_CRON, INTENT_TIME_ZONE, INTENT_POOL, INTENT_RETRY_DELAY_SECONDS,
INTENT_STEP_TIMEOUT_SECONDS. How it works: docs/privacy.md.
"""

from airflow.sdk import DAG
from intent_dag_defaults import dag_defaults
from intent_days import ShopTimes
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()

with DAG(
    "intent_erase",
    schedule=ShopTimes(settings.erase_cron, settings.time_zone, before=settings.daily_cron),
    max_active_runs=1,
    **dag_defaults(__doc__, settings),
) as dag:
    Step(task_id="erase")
