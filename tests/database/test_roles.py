"""Who may do what: every role, verb and object, as declared here and by trying."""

import itertools

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2.errors import InsufficientPrivilege

from intent_tasks.local import databases
from intent_tasks.stores import postgres
from intent_tasks.stores.roles import TIMEOUTS_MINUTES

pytestmark = pytest.mark.database

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
EVERYTHING = "SIUDTRT"

ANALYST = dict.fromkeys(
    ("predictions", "outcomes", "feedback_metrics", "promotions", "runs", "exports",
     "model_versions", "collected_files", "contract_results", "latest_predictions",
     "model_scorecard", "freshness", "conservation", "conservation_of_days"), "S",
)  # fmt: skip

PIPELINE = dict.fromkeys(
    ("predictions", "outcomes", "feedback_metrics", "promotions", "runs", "model_versions",
     "collected_files", "contract_results", "quarantine", "customer_keys", "erasures",
     "erasure_requests"), "SIUD",
) | {
    "exports": "SIU", "alembic_version": "S", "locks": "SIU", "tombstone_lock": "IU",
    "latest_predictions": "S", "conservation": "S", "conservation_of_days": "S",
}  # fmt: skip

SHOP_OWNER = {"collected_files": "SIU", "quarantine": "SID", "locks": "SIU", "tombstone_lock": "I"}

MATRIX = {
    "intent_analyst": ANALYST,
    "intent_pipeline": PIPELINE,
    "intent_shop_owner": SHOP_OWNER,
    "intent_extract": {},
    "mlflow": {},
    "airflow": {},
}
"""Role → table or view of schema `intent` → first letters of what it may do."""

SCHEMAS = {
    "intent": {"intent_analyst": "U", "intent_pipeline": "U", "intent_shop_owner": "U",
               "intent_migrator": "UC"},
    "shop": {"intent_extract": "U", "intent_shop_owner": "UC"},
    "public": dict.fromkeys((r for r in TIMEOUTS_MINUTES if r.startswith("intent_")), "U"),
}  # fmt: skip

DATABASES = {
    "shop": dict.fromkeys((r for r in TIMEOUTS_MINUTES if r.startswith("intent_")), "C")
    | {"intent_pipeline": "CT", "intent_shop_owner": "CT"},
    "mlflow": {"mlflow": "CTX"},
    "airflow": {"airflow": "CTX"},
    "postgres": {},
    "template1": {},
}
"""Database → role → C connect, T temporary tables, X make schemas."""

FUNCTIONS = {
    "ensure_partition": {"intent_pipeline"},
    "drop_predictions_before": {"intent_pipeline"},
    "end_overdue_readers": {"intent_pipeline"},
}

OF_SERVER = ("lo_create", "lo_from_bytea", "lo_get", "lo_put", "lo_open", "loread", "lowrite",
             "lo_unlink", "lo_import", "lo_export", "pg_advisory_lock",
             "pg_try_advisory_xact_lock", "pg_logical_emit_message", "pg_read_file",
             "pg_ls_dir", "pg_reload_conf", "pg_stat_reset", "pg_switch_wal")  # fmt: skip


@pytest.fixture
def query_rows(postgres_server, settings):
    """Return the rows of a question to the superuser in the database of the test."""
    database = sa.make_url(settings.pipeline_url.get_secret_value()).database
    engine = sa.create_engine(
        postgres_server.url(database).get_secret_value(), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        yield lambda query, **values: connection.execute(sa.text(query), values).all()


def letters(names, may):
    return "".join(name[0] for name in names if may(name))


def relations(query_rows):
    query = "SELECT relname, oid FROM pg_class WHERE relnamespace = 'intent'::regnamespace " \
        "AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1"  # fmt: skip
    return dict(map(tuple, query_rows(query)))


@pytest.mark.parametrize("role", MATRIX)
def test_a_role_may_do_with_each_table_and_view_what_is_declared_and_nothing_else(query_rows, role):
    found = {}
    for name, oid in relations(query_rows).items():
        checks = ", ".join(f"has_table_privilege(:role, :oid, '{verb}')" for verb in VERBS)
        ((*may,),) = query_rows(f"SELECT {checks}", role=role, oid=oid)
        if any(may):
            found[name] = "".join(v[0] for v, yes in zip(VERBS, may, strict=True) if yes)
    views = {"model_scorecard": "S", "freshness": "S"} if role == "intent_pipeline" else {}
    assert {n: m for n, m in found.items() if n not in views} == MATRIX[role]


def test_sequences_are_the_pipelines_alone(query_rows):
    query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND " \
        "relnamespace = 'intent'::regnamespace"  # fmt: skip
    names = [name for (name,) in query_rows(query)]
    assert names
    for role, name in itertools.product(TIMEOUTS_MINUTES, names):
        checks = [f"has_sequence_privilege(:role, :name, '{v}')" for v in ("USAGE", "UPDATE")]
        ((usage, update),) = query_rows(f"SELECT {', '.join(checks)}", role=role, name=name)
        # A version has the number that MLflow gave it.
        numbers = role == "intent_pipeline" and name != "intent.model_versions_model_version_seq"
        assert usage == (numbers or role == "intent_migrator"), (role, name)
        assert update == (role == "intent_migrator"), (role, name)


def test_schemas_databases_and_functions_are_open_to_whom_they_are_declared(query_rows):
    for schema, roles in SCHEMAS.items():
        found = {}
        for role in (*TIMEOUTS_MINUTES, "public"):
            checks = f"has_schema_privilege('{role}', '{schema}', '{{}}')"
            ((usage, create),) = query_rows(
                f"SELECT {checks.format('USAGE')}, {checks.format('CREATE')}"
            )
            found[role] = "U" * usage + "C" * create
        assert {r: m for r, m in found.items() if m} == roles, schema
    for database, roles in DATABASES.items():
        found = {}
        for role in (*TIMEOUTS_MINUTES, "public"):
            checks = ", ".join(
                f"has_database_privilege('{role}', '{database}', '{verb}')"
                for verb in ("CONNECT", "TEMPORARY", "CREATE")
            )
            ((*may,),) = query_rows(f"SELECT {checks}")
            found[role] = "".join(x for x, yes in zip("CTX", may, strict=True) if yes)
        assert {r: m for r, m in found.items() if m} == roles, database
    query = "SELECT proname, oid FROM pg_proc WHERE pronamespace = 'intent'::regnamespace"
    functions = dict(map(tuple, query_rows(query)))
    assert functions.keys() == FUNCTIONS.keys()
    for (name, oid), role in itertools.product(functions.items(), (*MATRIX, "public")):
        ((may,),) = query_rows(
            "SELECT has_function_privilege(:role, :oid, 'EXECUTE')", role=role, oid=oid
        )
        assert may == (role in FUNCTIONS[name]), (name, role)


def test_no_role_may_call_functions_that_store_or_lock_outside_the_tables(query_rows):
    query = (
        "SELECT oid::regprocedure::text, has_function_privilege(:role, oid, 'EXECUTE') FROM pg_proc"
        " WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(:names)"
    )
    for role in (*TIMEOUTS_MINUTES, "public"):
        found = query_rows(query, role=role, names=list(OF_SERVER))
        assert len(found) >= len(OF_SERVER)
        assert [name for name, may in found if may] == [], role


def test_no_role_is_more_than_a_log_in(query_rows):
    query = "SELECT rolname, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication " \
        "OR rolbypassrls FROM pg_roles WHERE rolname = ANY(:names)"  # fmt: skip
    found = dict(map(tuple, query_rows(query, names=list(TIMEOUTS_MINUTES))))
    assert found == dict.fromkeys(TIMEOUTS_MINUTES, False)
    members = query_rows(
        "SELECT m.rolname, g.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member "
        "JOIN pg_roles g ON g.oid = roleid WHERE m.rolname = ANY(:names) AND g.rolname !~ '^pg_'",
        names=list(TIMEOUTS_MINUTES),
    )
    assert [tuple(row) for row in members] == [("intent_migrator", "intent_analyst")]


TRIED = {
    "S": "SELECT 1 FROM intent.{} LIMIT 0",
    "I": "INSERT INTO intent.{} ({column}) VALUES (NULL)",
    "U": "UPDATE intent.{} SET {column} = NULL WHERE false",
    "D": "DELETE FROM intent.{} WHERE false",
    "T": "TRUNCATE intent.{}",
}

VIEWS = {
    "conservation_of_days",
    "latest_predictions",
    "model_scorecard",
    "freshness",
    "conservation",
}

FORBIDDEN = (
    "CREATE TABLE intent.mine (a int)", "CREATE TABLE public.mine (a int)",
    "CREATE SCHEMA mine", "SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_advisory_lock(1)", "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_read_file('pg_hba.conf')", "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE ROLE mine", "ALTER ROLE intent_pipeline PASSWORD 'x'", "SET ROLE intent_pipeline",
    "GRANT intent_pipeline TO intent_analyst", "SET temp_file_limit = -1",
    "SET log_statement = 'all'",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP VIEW intent.latest_predictions", "SELECT intent.end_overdue_readers(0)",
    "SELECT * FROM shop.events", "SELECT setval('intent.exports_export_id_seq', 1)",
)  # fmt: skip


def refusal(connection, statement):
    """Run a statement and undo it; return whether a missing right refused it."""
    with connection.begin_nested() as point:
        try:
            connection.exec_driver_sql(statement)
        except sa.exc.DBAPIError as error:
            return isinstance(error.orig, InsufficientPrivilege)
        finally:
            point.rollback()
    return False


def test_what_is_forbidden_is_refused_when_it_is_tried(postgres_server, settings, query_rows):
    urls = {
        "intent_analyst": settings.analyst_url,
        "intent_pipeline": settings.pipeline_url,
        "intent_shop_owner": settings.shop_owner_url,
        "intent_extract": settings.shop_url,
    }
    tables = relations(query_rows)
    for role, url in urls.items():
        with postgres.engine(url).connect() as connection:
            for name in sorted(tables.keys() - VIEWS):
                query = "SELECT attname FROM pg_attribute WHERE attrelid = :oid AND attnum = 1"
                ((column,),) = query_rows(query, oid=tables[name])
                for letter, statement in TRIED.items():
                    may = letter in MATRIX[role].get(name, "")
                    tried = statement.format(name, column=column)
                    assert refusal(connection, tried) == (not may), (role, tried)
    with postgres.engine(settings.analyst_url).connect() as connection:
        assert [s for s in FORBIDDEN if not refusal(connection, s)] == []
    shop = postgres_server.url(databases.SHOP, "intent_analyst", "intent_analyst")
    with postgres.engine(shop).connect() as connection:  # a copy of a database forgets its rights
        assert refusal(connection, "CREATE TEMPORARY TABLE mine (a int)")


def test_no_role_enters_another_database(postgres_server):
    for role, database in itertools.product(TIMEOUTS_MINUTES, DATABASES):
        if DATABASES[database].get(role):
            continue
        address = sa.make_url(postgres_server.url(database, role, role).get_secret_value())
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(
                host=address.host, port=address.port, user=role, password=role, dbname=database,
            )  # fmt: skip


def test_making_the_roles_again_changes_nothing(postgres_server):
    databases.create(postgres_server, {role: role for role in databases.ROLES})
