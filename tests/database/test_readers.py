"""Whatever an analyst holds open, the pipeline goes on: publication, retention and migration."""

from contextlib import ExitStack, contextmanager
from datetime import date, timedelta

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2.errors import InsufficientPrivilege, LockNotAvailable

from intent_tasks.errors import TemporaryFailure
from intent_tasks.steps import publish, retain
from intent_tasks.stores import ledger, locks, migrate, postgres, roles
from tests.database.conftest import DAY, score
from tests.database.test_retention import MONTHS_LATER, state, two_seasons

__all__ = ["two_seasons"]

pytestmark = pytest.mark.database

NEW_MONTH = date(2031, 5, 1)
READ = "SELECT count(*) FROM intent.latest_predictions"


@contextmanager
def analyst(settings):
    """A session of the analyst who has lifted every limit that a role can lift."""
    with postgres.engine(settings.analyst_url).connect() as connection:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
            connection.exec_driver_sql(f"SET {name} = 0")
        connection.commit()
        yield connection


@contextmanager
def impatient(url):
    """A transaction that gives up a lock which it does not get at once."""
    with postgres.engine(url).connect() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        yield connection
        connection.rollback()


def column(settings, query, url="pipeline_url"):
    with postgres.reading(getattr(settings, url)) as connection:
        return connection.scalars(sa.text(query)).all()


def test_the_first_day_of_a_month_is_published_while_an_analyst_reads(scored_shop):
    with analyst(scored_shop) as reader, impatient(scored_shop.pipeline_url) as pipeline:
        reader.exec_driver_sql(READ)
        postgres.ensure_partition(pipeline, NEW_MONTH)
        pipeline.commit()
        assert publish.run(scored_shop, DAY)["rows"] == 24
        assert reader.scalar(sa.text(READ)) == 24


def test_the_control_a_partition_made_in_one_statement_waits_for_the_reader(scored_shop):
    with analyst(scored_shop) as reader, impatient(scored_shop.migrator_url) as owner:
        reader.exec_driver_sql(READ)
        with pytest.raises(sa.exc.OperationalError) as waited:
            owner.exec_driver_sql(
                "CREATE TABLE intent.predictions_203105 PARTITION OF intent.predictions "
                "FOR VALUES FROM ('2031-05-01') TO ('2031-06-01')"
            )
    assert isinstance(waited.value.orig, LockNotAvailable)


def test_an_attached_partition_is_like_one_that_was_made_in_one_statement(settings):
    describe = (
        "SELECT string_agg(pg_get_constraintdef(oid), '|' ORDER BY contype, conname) "
        "FROM pg_constraint WHERE conrelid = 'intent.predictions{}'::regclass"
    )
    with ledger.transaction(settings, "publish", NEW_MONTH) as connection:
        postgres.ensure_partition(connection, NEW_MONTH)
        postgres.ensure_partition(connection, NEW_MONTH + timedelta(days=30))
    whole, part = (column(settings, describe.format(end)) for end in ("", "_203105"))
    assert part == whole
    inherited = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{}'::regclass"
    assert column(settings, inherited.format("intent.predictions")) == ["intent.predictions_203105"]
    assert len(column(settings, inherited.format("intent.predictions_pkey"))) == 1


def test_two_transactions_make_the_same_partition_one_after_the_other(settings):
    with impatient(settings.pipeline_url) as first, impatient(settings.pipeline_url) as second:
        postgres.ensure_partition(first, NEW_MONTH)
        with pytest.raises(sa.exc.OperationalError):
            postgres.ensure_partition(second, NEW_MONTH)
        second.rollback()
        first.commit()
        postgres.ensure_partition(second, NEW_MONTH)


def test_no_lock_of_the_pipeline_can_be_taken_by_a_reader(settings):
    with analyst(settings) as reader:
        for attempt in (
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
            "SELECT * FROM intent.locks FOR UPDATE",
            "LOCK TABLE intent.locks IN ACCESS SHARE MODE",
            "LOCK TABLE intent.tombstone_lock IN ACCESS SHARE MODE",
            "LOCK TABLE intent.predictions IN ROW SHARE MODE",
            "SELECT * FROM intent.runs FOR KEY SHARE",
        ):
            with pytest.raises(sa.exc.ProgrammingError) as refused:
                reader.exec_driver_sql(attempt)
            assert isinstance(refused.value.orig, InsufficientPrivilege), attempt
            reader.rollback()


def test_the_same_work_waits_and_other_work_does_not(settings):
    with ledger.transaction(settings, "publish", DAY), impatient(settings.pipeline_url) as other:
        ledger.lock(other, "publish", DAY, 3)
        ledger.lock(other, "publish", NEW_MONTH)
        with pytest.raises(sa.exc.OperationalError):
            ledger.lock(other, "publish", DAY)
    with impatient(settings.pipeline_url) as other:
        ledger.lock(other, "publish", DAY)


def test_an_analyst_gets_so_many_connections_and_leaves_room_for_the_pipeline(settings):
    with ExitStack() as held:
        for _ in range(roles.ANALYST_CONNECTIONS):
            held.enter_context(analyst(settings))
        for _ in range(106):
            with pytest.raises(sa.exc.OperationalError, match="too many connections for role"):
                held.enter_context(analyst(settings))
        assert column(settings, "SELECT 1") == [1]
    own = f"ALTER ROLE intent_analyst CONNECTION LIMIT {roles.ANALYST_CONNECTIONS + 1}"
    with analyst(settings) as reader, pytest.raises(sa.exc.ProgrammingError, match="denied"):
        reader.exec_driver_sql(own)


def test_connections_are_kept_for_the_pipeline_where_the_server_can(settings):
    assert int(*column(settings, "SELECT current_setting('reserved_connections')")) > 0
    may = "SELECT rolname FROM pg_roles WHERE rolname ~ 'intent|mlflow|airflow' AND " \
        "pg_has_role(oid, 'pg_use_reserved_connections', 'USAGE') ORDER BY 1"  # fmt: skip
    assert column(settings, may) == [
        "intent_extract", "intent_migrator", "intent_pipeline", "intent_shop_owner",
    ]  # fmt: skip


def test_a_reader_who_takes_too_long_is_ended_by_the_next_step_and_others_are_not(
    settings, monkeypatch
):
    with analyst(settings) as late, postgres.engine(settings.shop_url).connect() as extract:
        for connection in (late, extract):
            connection.exec_driver_sql("SELECT 1")
        with ledger.transaction(settings, "publish", DAY):
            late.exec_driver_sql("SELECT 1")  # its time is not over
        monkeypatch.setattr(locks, "READER_MINUTES", 0.0)
        with ledger.transaction(settings, "publish", DAY):
            pass
        with pytest.raises(sa.exc.OperationalError):
            late.exec_driver_sql("SELECT 1")
        extract.exec_driver_sql("SELECT 1")


@pytest.fixture
def tool(settings, postgres_server):
    """The superuser's address, and that of a role of a tool that is a member of the analyst's."""
    database = sa.make_url(settings.pipeline_url.get_secret_value()).database
    admin = postgres_server.url(database)
    with postgres.engine(admin).begin() as connection:
        connection.exec_driver_sql("CREATE ROLE metabase LOGIN PASSWORD 'm' IN ROLE intent_analyst")
    yield admin, postgres_server.url(database, "metabase", "m")
    with postgres.engine(admin).begin() as connection:
        connection.exec_driver_sql("DROP ROLE metabase")


def end_readers(settings):
    with postgres.changing(settings.pipeline_url, None) as connection:
        return connection.scalar(sa.text("SELECT intent.end_overdue_readers(0)"))


def test_a_tool_with_a_role_of_its_own_is_ended_where_the_shop_grants_it(settings, tool):
    admin, url = tool
    with (
        postgres.engine(url).connect() as late,
        postgres.engine(admin).connect() as superuser,
        postgres.engine(settings.migrator_url).connect() as migrator,
    ):
        for connection in (late, superuser, migrator):
            connection.exec_driver_sql("SELECT 1")
        assert end_readers(settings) == 0, "the migrator may not end it"
        superuser.exec_driver_sql("GRANT metabase TO intent_migrator")
        superuser.commit()
        try:
            superuser.exec_driver_sql("SELECT 1")
            assert end_readers(settings) == 1
            with pytest.raises(sa.exc.OperationalError):
                late.exec_driver_sql("SELECT 1")
            for connection in (superuser, migrator):
                connection.exec_driver_sql("SELECT 1")
        finally:
            superuser.exec_driver_sql("REVOKE metabase FROM intent_migrator")
            superuser.commit()


def test_old_predictions_go_while_an_analyst_reads_and_their_partition_the_next_night(two_seasons):
    shop = two_seasons.model_copy(update={"retention_days": {"predictions": 30}})
    with analyst(shop) as reader:
        reader.exec_driver_sql(READ)
        retain.run(shop, MONTHS_LATER + timedelta(days=20))
        found = state(shop)
        assert (found["predicted"], found["partitions"]) == ([MONTHS_LATER], 2)
    retain.run(shop, MONTHS_LATER + timedelta(days=20))
    assert state(shop)["partitions"] == 1


@pytest.fixture
def earlier_schema(settings, postgres_server, monkeypatch):
    """Settings of a database whose schema is that of the fourth migration."""
    database = sa.make_url(settings.pipeline_url.get_secret_value()).database
    with postgres.engine(postgres_server.url(database)).begin() as admin:
        admin.exec_driver_sql("DROP SCHEMA intent CASCADE")
        admin.exec_driver_sql("CREATE SCHEMA intent AUTHORIZATION intent_migrator")
    upgrade = migrate.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrate.command, "upgrade", lambda config, _: upgrade(config, "0004"))
        migrate.migrate(settings)
    return settings


def test_a_migration_does_not_wait_for_a_reader_for_long(earlier_schema, monkeypatch):
    settings = earlier_schema
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 0.05)
    with analyst(settings) as reader:
        reader.exec_driver_sql("SELECT count(*) FROM intent.predictions")
        with pytest.raises(
            TemporaryFailure, match=r"have used a table .* Nothing was changed"
        ) as e:
            migrate.migrate(settings)
    assert "intent_analyst (predictions, process " in str(e.value)
    migrate.migrate(settings)


def test_only_one_migration_runs_at_a_time(settings):
    with postgres.changing(settings.migrator_url, None) as first:
        first.exec_driver_sql(migrate._ALONE)
        with impatient(settings.migrator_url) as second, pytest.raises(sa.exc.OperationalError):
            second.exec_driver_sql(migrate._ALONE)


def test_a_lock_of_a_killed_process_is_free_again(settings):
    address = sa.make_url(settings.pipeline_url.get_secret_value())
    killed = psycopg2.connect(
        host=address.host, port=address.port, user=address.username, password=address.password,
        dbname=address.database,
    )  # fmt: skip
    with killed.cursor() as cursor:
        cursor.execute("INSERT INTO intent.locks VALUES (%s)", (f"intent/publish/{DAY}/-1",))
    killed.close()
    with impatient(settings.pipeline_url) as other:
        ledger.lock(other, "publish", DAY)


def test_a_day_that_is_published_again_while_it_is_read_is_replaced(scored_shop):
    publish.run(scored_shop, DAY)
    with analyst(scored_shop) as reader:
        assert reader.scalar(sa.text(READ)) == 24
        score(scored_shop, DAY, lambda customer: 0.75)
        publish.run(scored_shop, DAY)
        likely = "SELECT count(*) FROM intent.latest_predictions WHERE probability_7d = 0.75"
        assert reader.scalar(sa.text(likely)) == 24
