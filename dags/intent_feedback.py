"""Compare earlier predictions with their outcomes.

**What it does.** `mature` writes the outcomes that are known at the end of a shop day, K: their
horizon and `maturity_lag_days` for late events have passed. `measure` joins them with the
predictions and writes metrics with intervals to `intent.feedback_metrics`. If late events or
refunds change a metric, `measure` adds a row with the next restatement; the old row stays.

**When.** After predictions were published (asset `intent.predictions`). The next run handles all
days that were published during a run.

**Which day.** K is the newest day among the publications that triggered the run. A run started by
hand needs the Param `as_of_date` (a shop day, YYYY-MM-DD).

**What a retry does.** It repeats the step: outcomes and metrics are replaced, and an unchanged
metric is not restated. A temporary failure is retried three times, after 30 to 60 s, 1 to 2 min and
2 to 4 min. A refusal is not retried: the message explains what to do. Before the first day has
matured, the run is skipped.

**How to resume.** Repair the cause and clear the failed task and its downstream tasks, or wait: the
next run also does the work of the failed one.

**Overlap.** One run at a time.

Settings: INTENT_POOL, INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS.
"""

from airflow.sdk import DAG
from intent_dag_defaults import dag_defaults
from intent_days import PREDICTIONS, newest_published_day
from intent_step import Step

from intent_tasks.settings import AirflowSettings

with DAG(
    "intent_feedback",
    schedule=[PREDICTIONS],
    max_active_runs=1,
    **dag_defaults(__doc__, AirflowSettings(), newest_published_day),
) as dag:
    Step(task_id="mature") >> Step(task_id="measure")
