"""The migrations make exactly the tables of the contract, and each role may do its part only."""

from datetime import date

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from intent_tasks.stores import ledger, migrate, postgres
from intent_tasks.tables import INTENT, intent_metadata

pytestmark = pytest.mark.database


def test_the_migrations_make_the_tables_of_the_contract(settings):
    with postgres.reading(settings.migrator_url) as connection:
        options = {
            "include_schemas": True,
            "version_table_schema": INTENT,
            "compare_type": True,
            "include_name": lambda name, kind, parents: kind != "schema" or name == INTENT,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, intent_metadata) == []


def test_migrating_again_changes_nothing(settings):
    migrate.migrate(settings)


def test_every_table_and_column_is_explained(settings):
    missing = sa.text(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'intent'::regnamespace AND c.relkind IN ('r', 'p') "
        "AND NOT c.relispartition AND c.relname <> 'alembic_version' AND a.attnum > 0 "
        "AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    )
    with postgres.reading(settings.migrator_url) as connection:
        assert list(connection.execute(missing)) == []


def test_days_of_one_month_share_a_partition_and_any_day_finds_one(settings):
    with ledger.transaction(settings, "publish", date(2026, 6, 30)) as connection:
        for day in (date(2026, 6, 1), date(2026, 6, 30), date(2026, 7, 1), date(2015, 9, 18)):
            postgres.ensure_partition(connection, day)
    names = sa.text(
        "SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' "
        "AND c.relnamespace = 'intent'::regnamespace ORDER BY 1"
    )
    with postgres.reading(settings.migrator_url) as connection:
        assert list(connection.scalars(names)) == [
            "predictions_201509",
            "predictions_202606",
            "predictions_202607",
        ]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("analyst", "SELECT * FROM intent.erasures"),
        ("analyst", "SELECT * FROM intent.customer_keys"),
        ("analyst", "SELECT * FROM intent.erasure_requests"),
        ("analyst", "SELECT intent.drop_predictions_before('2026-06-01')"),
        ("analyst", "DELETE FROM intent.predictions"),
        ("pipeline", "DELETE FROM intent.exports"),
        ("analyst", "SELECT intent.ensure_partition('2026-06-01')"),
        ("pipeline", "DROP TABLE intent.predictions"),
        ("pipeline", "DELETE FROM intent.alembic_version"),
        ("pipeline", "CREATE TABLE intent.mine (a int)"),
        ("shop", "SELECT * FROM intent.predictions"),
        ("shop", "CREATE TABLE shop.mine (a int)"),
    ],
)
def test_a_role_may_not_do_what_is_not_its_part(settings, role, statement):
    with (
        postgres.engine(getattr(settings, f"{role}_url")).connect() as connection,
        pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"),
    ):
        connection.execute(sa.text(statement))


def test_the_analyst_reads_what_is_predicted_and_what_came_true(settings):
    with postgres.reading(settings.analyst_url) as connection:
        for name in ("latest_predictions", "model_scorecard", "freshness", "outcomes"):
            assert connection.execute(sa.text(f"SELECT * FROM intent.{name}")).all() == []
