"""The DAG files: they load, they are wired as their docstrings say, they import nothing heavy."""

import itertools
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from tools.testbed.dag_parsing import FORBIDDEN, MAX_SECONDS, parse_dags

ROOT = Path(__file__).parents[2]

DAG_IDS = (
    "intent_daily",
    "intent_train",
    "intent_feedback",
    "intent_erase",
    "intent_retention",
    "intent_collect",
    "intent_watch",
)


@pytest.fixture(scope="module")
def dags():
    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return bag.dags


def edges(dag):
    return {(up, task.task_id) for task in dag.tasks for up in task.upstream_task_ids}


def test_the_dags_load(dags):
    assert set(dags) == set(DAG_IDS)


def test_a_day_is_extracted_and_validated_beside_pin_then_scored_and_published(dags):
    assert edges(dags["intent_daily"]) == {
        ("extract", "validate"),
        ("validate", "score"),
        ("pin", "score"),
        ("score", "publish"),
    }


def test_scoring_is_one_task_a_bucket(dags):
    assert dags["intent_daily"].get_task("score").is_mapped


def test_training_goes_from_window_to_register(dags):
    order = ["window", "validate", "pretrain", "train", "evaluate", "register"]
    assert edges(dags["intent_train"]) == set(itertools.pairwise(order))


def test_only_train_runs_after_a_skipped_task(dags):
    rules = {task.task_id: task.trigger_rule for task in dags["intent_train"].tasks}
    assert rules.pop("train") == "none_failed", "pretrain is skipped unless its setting asks for it"
    assert set(rules.values()) == {"all_success"}


def test_feedback_follows_publication(dags):
    assert edges(dags["intent_feedback"]) == {("mature", "measure")}
    (outlet,) = dags["intent_daily"].get_task("publish").outlets
    assert outlet.name == "intent.predictions"
    (condition,) = dags["intent_feedback"].timetable.asset_condition.objects
    assert condition == outlet


@pytest.mark.parametrize(
    ("dag_id", "step"), [("erase", "erase"), ("retention", "retain"), ("watch", "watch")]
)
def test_erasing_deleting_and_watching_are_one_step_each(dags, dag_id, step):
    assert list(dags[f"intent_{dag_id}"].task_dict) == [step]


COLLECT = {"INTENT_COLLECT_URL": "s3://logs/shop", "INTENT_COLLECT_FORMAT": "ga4"}


@pytest.mark.parametrize(
    ("settings", "cron"),
    [
        ({}, None),
        ({"INTENT_COLLECT_URL": "s3://logs/shop"}, None),
        (COLLECT, "30 1 * * *"),
        (COLLECT | {"INTENT_COLLECT_CRON": "5 1 * * *"}, "5 1 * * *"),
        (COLLECT | {"INTENT_LAST_DAY": "2015-09-18"}, None),
    ],
)
def test_files_are_looked_for_every_night_where_a_place_and_a_format_are_set(
    monkeypatch, settings, cron
):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bag = DagBag(ROOT / "dags" / "intent_collect.py")
    dag = bag.dags["intent_collect"]
    assert list(dag.task_dict) == ["collect"]
    assert (dag.timetable.expression if cron else dag.schedule) == cron


@pytest.mark.parametrize("dag_id", DAG_IDS[1:])
def test_runs_other_than_of_days_do_not_overlap(dags, dag_id):
    assert dags[dag_id].max_active_runs == 1


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_dag(dags, dag_id):
    dag = dags[dag_id]
    assert dag.catchup is False
    assert dag.start_date.year == 2000, "so far back that any day can be backfilled"
    assert dag.doc_md.startswith(dag.description), "the docstring is the manual, shown in the UI"
    assert dag.params.get_param("as_of_date").schema["format"] == "date"
    for task in dag.tasks:
        assert task.retries == 3
        assert task.retry_exponential_backoff == 2.0
        assert task.execution_timeout is not None


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_the_scheduler_reads_back_what_was_parsed(dags, dag_id):
    data = DagSerialization.to_dict(dags[dag_id])
    assert DagSerialization.to_dict(dags[dag_id]) == data, "the same DAG, the same bytes"
    assert DagSerialization.from_dict(data).task_dict.keys() == dags[dag_id].task_dict.keys()


@pytest.mark.parametrize("value", ["2026-02-30", "tomorrow", 5])
def test_a_param_that_is_no_day_is_refused_when_the_run_is_triggered(dags, value):
    with pytest.raises(ValueError, match="as_of_date"):
        dags["intent_daily"].params.get_param("as_of_date").resolve(value)


def test_parsing_is_quick_and_imports_nothing_heavy():
    parsed = parse_dags()
    assert set(parsed["seconds"]) == {f"{dag_id}.py" for dag_id in DAG_IDS}
    assert parsed["imported"] == [], f"none of {FORBIDDEN} belongs in a DAG file"
    assert max(parsed["seconds"].values()) < MAX_SECONDS, parsed["seconds"]


def test_the_dag_files_stay_wiring():
    for file in (ROOT / "dags").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 100, f"{file.name} is more than wiring"
