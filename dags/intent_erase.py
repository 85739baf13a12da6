"""Erase the customers with an open erasure request.

**What it does.** `erase` reads the open rows of `intent.erasure_requests` (the shop inserts
`customer_id`). It removes these customers from snapshots, scores, training files, predictions,
outcomes, quarantine, exported lists and, if this installation fills it, from schema `shop`. It
writes a tombstone, which every later extract, backfill and publication respects. It writes the
model versions that learned from each customer to `intent.erasures`, and clears the id in the
request. A customer without any data gets a tombstone as well.

**When.** Every night (INTENT_ERASE_CRON), before the day is predicted. Sooner: trigger it, or run
`intent erase CUSTOMER_ID`.

**Which day.** None: the Param `as_of_date` only names the receipt in the ledger.

**What a retry does.** It starts from the beginning and removes the remaining data. A temporary
failure is retried three times, after 30 to 60 s, 1 to 2 min and 2 to 4 min. A refusal (another
identity key than that of the data, a damaged file) is not retried: the message explains what to do.

**How to resume.** Repair the cause and clear the task, or wait for the next night. A request stays
open until no place holds data of its customer.

**Overlap.** One run at a time. It may run at the same time as other DAGs, because it locks each day
that it rewrites. Without an open request, the run is skipped.

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
