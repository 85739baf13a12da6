"""Measure what came true of earlier predictions.

**What it does.** `mature` writes the outcomes that are known by the end of a shop day, K: a
horizon has passed, and some days more for late events. `measure` joins them with the predictions
and writes metrics with intervals to `intent.feedback_metrics`. A metric that late events or refunds
change gets a new row with the next restatement; the old row stays.

**When.** After predictions were published (asset `intent.predictions`). Days published while a run
is under way are taken together by the next one.

**Which day.** K is the newest day among the publications that triggered the run. A run started by
hand needs the Param `as_of_date` (a shop day, YYYY-MM-DD).

**What a retry does.** The same again: outcomes and metrics are replaced, a metric that did not
change is not restated. A temporary failure is retried three times, after 30 to 60 s, 1 to 2 min and
2 to 4 min; a refusal is not, and the task says what to do. No matured day yet: the run is skipped.

**How to resume.** Mend the cause and clear the failed task with what is downstream of it, or wait:
the next run does the work of the one that failed.

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
