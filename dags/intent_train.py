"""Train a new model version and register it as challenger.

**What it does.** `window` chooses the training days and completes their snapshots. `validate`
checks the newest of them. `pretrain` pretrains the encoder on all events. `train` checks the
training set as a whole and trains the sequence model and the baselines. `evaluate` measures them on
later days and evaluates the gate. `register` logs everything to MLflow and registers a version with
the gate's verdict. The DAG promotes nothing: a person gives a version the alias `champion`, in the
MLflow UI (Models → purchase_intent → version → Aliases) or with `intent promote VERSION`.

**Pretraining** is skipped unless INTENT_PRETRAINED is set. A skipped `pretrain` does not skip
`train`, which then starts from new weights; a failed one stops the run.

**Which day.** Training uses the events that were known at the end of one shop day, T. A scheduled
run takes the day before it. A run started by hand takes the Param `as_of_date` (a shop day,
YYYY-MM-DD) or, without it, the last day that is over. The window ends at the last day whose
outcomes are known.

**What a retry does.** It repeats the step with the same seed and replaces the training folder of T.
A temporary failure is retried three times, after 30 to 60 s, 1 to 2 min and 2 to 4 min. A refusal
(too few customers, bad data) is not retried: the message explains what to do. `register` registers
no version twice.

**How to resume.** Repair the cause and clear the failed task and its downstream tasks.

**Overlap.** One training at a time: a second run waits until the first has ended.

Settings: INTENT_WEEKLY_CRON, INTENT_TIME_ZONE, INTENT_LAST_DAY (a recording is trained on demand
only), INTENT_PRETRAINED, INTENT_POOL, INTENT_RETRY_DELAY_SECONDS, INTENT_STEP_TIMEOUT_SECONDS.
"""

from airflow.sdk import DAG, TriggerRule, chain
from intent_dag_defaults import dag_defaults
from intent_days import ShopTimes
from intent_step import Step

from intent_tasks.settings import AirflowSettings

settings = AirflowSettings()
weekly = ShopTimes(settings.weekly_cron, settings.time_zone)

with DAG(
    "intent_train",
    schedule=None if settings.last_day else weekly,
    max_active_runs=1,
    **dag_defaults(__doc__, settings),
) as dag:
    chain(
        Step(task_id="window"),
        Step(task_id="validate"),
        Step(task_id="pretrain"),
        Step(task_id="train", trigger_rule=TriggerRule.NONE_FAILED),
        Step(task_id="evaluate"),
        Step(task_id="register"),
    )
