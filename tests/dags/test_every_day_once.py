"""Airflow reads the DAGs every few minutes; no day gets lost on it, whenever that is.

The parts of Airflow that plan a run, over its own database: what the DAG processor writes when it
has read a DAG, and what the scheduler makes of it. Only the clock is ours.
"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from airflow.dag_processing.collection import DagModelOperation
from airflow.dag_processing.dagbag import DagBag
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.timetables import interval, trigger
from airflow.utils.db import synchronize_log_template
from airflow.utils.session import create_session
from intent_days import day_of_run
from sqlalchemy import delete, select

from tests.dags.conftest import ROOT

BUNDLE = "dags"


@pytest.fixture(scope="module")
def database():
    with create_session() as session:
        import_all_models()
        Base.metadata.create_all(session.connection())
        synchronize_log_template(session=session)
        session.add(DagBundleModel(name=BUNDLE))


class Planner:
    """A DAG processor and a scheduler that are asked at the times we say."""

    def __init__(self, monkeypatch, *dag_ids):
        bag = DagBag(ROOT / "dags", bundle_name=BUNDLE)
        self.dags = {i: LazyDeserializedDAG.from_dag(bag.dags[i]) for i in dag_ids}
        self.monkeypatch = monkeypatch
        self.scheduler = SchedulerJobRunner(Job())

    def at(self, now):
        """Read the DAGs, then plan what is due."""
        for module in (interval, trigger):
            self.monkeypatch.setattr(module, "utcnow", lambda: now)
        with create_session() as session:
            found = DagModelOperation(dags=self.dags, bundle_name=BUNDLE, bundle_version=None)
            found.update_dags(found.find_orm_dags(session=session), 0.1, session=session)
        with create_session() as session:
            due = DagModel.next_dagrun_create_after <= now
            models = session.scalars(select(DagModel).where(due)).all()
            self.scheduler._create_dag_runs(models, session)
            for run in session.scalars(select(DagRun)):
                run.state = "success"


@pytest.fixture
def planner(database, monkeypatch):
    def make(zone_name, *dag_ids):
        monkeypatch.setenv("INTENT_TIME_ZONE", zone_name)
        planner = Planner(monkeypatch, *dag_ids)
        with create_session() as session:
            for table in (DagRun, SerializedDagModel, DagModel):
                session.execute(delete(table))
        with create_session() as session:
            found = DagModelOperation(dags=planner.dags, bundle_name=BUNDLE, bundle_version=None)
            found.add_dags(session=session)
            for dag in planner.dags.values():
                SerializedDagModel.write_dag(dag, BUNDLE, session=session)
        return planner

    return make


def runs(dag_id):
    with create_session() as session:
        found = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id)).all()
        return sorted(run.run_after for run in found), sorted(map(_day, found))


def _day(run):
    return day_of_run({"params": {}, "dag_run": run})


def nights(first, last, zone_name):
    """Yield every five minutes of the first four hours of some days, and some times between."""
    at = datetime.combine(first, datetime.min.time(), ZoneInfo(zone_name)).astimezone(UTC)
    while at.astimezone(ZoneInfo(zone_name)).date() <= last:
        yield at
        night = at.astimezone(ZoneInfo(zone_name)).hour < 4
        at += timedelta(minutes=5) if night else timedelta(hours=3)


@pytest.mark.parametrize(
    ("zone_name", "day"),
    [
        ("Europe/Berlin", date(2027, 3, 27)),
        ("Europe/Berlin", date(2027, 10, 30)),
        ("Antarctica/Troll", date(2027, 3, 27)),  # 01:00 is 03:00
    ],
)
def test_each_shop_day_is_run_once_around_a_change(planner, zone_name, day):
    plan = planner(zone_name, "intent_daily")
    first, last = day - timedelta(days=1), day + timedelta(days=2)
    for now in nights(first, last, zone_name):
        plan.at(now)
    days = Counter(runs("intent_daily")[1])
    expected = [str(first + timedelta(days=n)) for n in range(-1, 3)]
    assert days - Counter([str(first - timedelta(days=2))]) == Counter(expected), days


def test_a_day_that_the_zone_leaves_out_is_not_run(planner):
    plan = planner("Pacific/Apia", "intent_daily")
    for now in nights(date(2011, 12, 29), date(2012, 1, 1), "Pacific/Apia"):
        plan.at(now)
    assert runs("intent_daily")[1] == [
        "2011-12-27", "2011-12-28", "2011-12-29", "2011-12-31"
    ]  # fmt: skip


def test_files_are_collected_before_the_day_is_predicted_on_every_night(planner, monkeypatch):
    monkeypatch.setenv("INTENT_COLLECT_URL", "s3://logs/shop")
    monkeypatch.setenv("INTENT_COLLECT_FORMAT", "ga4")
    plan = planner("Europe/London", "intent_collect", "intent_erase", "intent_daily")
    for now in nights(date(2027, 3, 27), date(2027, 3, 29), "Europe/London"):
        plan.at(now)
    collected, predicted = runs("intent_collect")[0][1:], runs("intent_daily")[0][1:]
    erased = runs("intent_erase")[0][1:]
    assert len(predicted) == 3
    hour = timedelta(hours=1)
    assert [p - c for p, c in zip(predicted, collected, strict=True)] == [hour] * 3
    assert [p - e for p, e in zip(predicted, erased, strict=True)] == [1.5 * hour] * 3


def test_a_model_is_trained_once_a_week_though_the_time_is_skipped(planner, monkeypatch):
    monkeypatch.setenv("INTENT_WEEKLY_CRON", "30 2 * * 0")
    plan = planner("Europe/Berlin", "intent_train")
    for now in nights(date(2027, 3, 27), date(2027, 3, 29), "Europe/Berlin"):
        plan.at(now)
    assert runs("intent_train")[1] == ["2027-03-20", "2027-03-27"]
