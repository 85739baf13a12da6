"""Land new files of events in the shop's tables.

**What it does.** `collect` reads INTENT_COLLECT_URL, a folder or an object-store prefix. It loads
every new file into `shop.events`, in the format INTENT_COLLECT_FORMAT, and the product columns of
its rows into `shop.products`. Each content of a file is loaded once (`intent.collected_files`), and
so is each event_id: from a changed file, only new events are loaded. Unusable rows go to
`intent.quarantine`.

**When.** Every night (INTENT_COLLECT_CRON), before the day is predicted, if both settings are set.
Otherwise the DAG has no schedule, because the shop fills its tables itself. A run without
INTENT_COLLECT_URL is skipped.

**Which day.** None: all files that are new. The Param `as_of_date` only names the receipt in the
ledger.

**What a retry does.** It continues at the first block of rows that is not committed, so nothing is
loaded twice. A temporary failure (the database cannot be reached, another run collects the same
file) is retried three times, after 30 to 60 s, 1 to 2 min and 2 to 4 min. A refusal is not retried:
a file is broken or has another format. The task names each such file; all others were collected.

**How to resume.** Repair the named files and clear the task, or wait for the next night.

**Overlap.** One run at a time.

Settings: INTENT_COLLECT_URL, INTENT_COLLECT_FORMAT, INTENT_COLLECT_OPTIONS, INTENT_COLLECT_CRON,
INTENT_SHOP_OWNER_URL, INTENT_TIME_ZONE, INTENT_LAST_DAY (a recording is collected on demand only),
INTENT_POOL, INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS. More: docs/collect.md.
"""

from airflow.sdk import DAG
from intent_dag_defaults import dag_defaults
from intent_days import ShopTimes
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()
nightly = ShopTimes(settings.collect_cron, settings.time_zone, before=settings.daily_cron)

with DAG(
    "intent_collect",
    schedule=nightly if settings.collects else None,
    max_active_runs=1,
    **dag_defaults(__doc__, settings),
) as dag:
    Step(task_id="collect")
