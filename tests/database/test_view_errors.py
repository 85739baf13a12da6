"""A view that fails on a row is refused in Postgres's words; a wrong log-in names its setting."""

import sys
from datetime import UTC, date, datetime

import pytest
from pydantic import SecretStr

from intent_tasks import cli
from intent_tasks.commands import check_source
from intent_tasks.errors import BadInput, Refused, TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.steps import extract, validate, window
from intent_tasks.stores import postgres

pytestmark = pytest.mark.database

DAY = date(2026, 6, 30)
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
CANARY = "canary@example.org"

FAILING = [
    (
        "(CASE WHEN n = 5000 THEN 'n/a' ELSE '1' END)::float8",
        "double precision: … (SQLSTATE 22P02)",
    ),
    ("1 / (n - 5000)", "division by zero (SQLSTATE 22012)"),
    ("(SELECT n FROM generate_series(1, CASE WHEN n = 5000 THEN 2 ELSE 1 END))", "SQLSTATE 21000"),
    ("shop.picky(n)", "raises an error of its own (SQLSTATE P0001)"),
    (f"(CASE WHEN n = 5000 THEN '{CANARY}' ELSE '1' END)::float8", "precision: … (SQLSTATE 22P02)"),
    ("(CASE WHEN n = 5000 THEN 'Anna Svensson' ELSE '1' END)::numeric", "numeric: … (SQLSTATE"),
]


@pytest.fixture
def settings(settings):
    """Settings that read two days of history, for speed."""
    return settings.model_copy(update={"history_days": 2})


def view(settings, price):
    function = (
        "CREATE FUNCTION shop.picky(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 5000 "
        f"THEN RAISE 'no price of Anna' USING DETAIL = '{CANARY}'; END IF; RETURN n; END $$"
    )
    events = (
        "CREATE VIEW shop.events AS SELECT 'e' || n AS event_id, 'c' AS customer_id, "
        f"'view' AS event_type, {price} AS price, timestamptz '2026-06-30 12:00Z' AS occurred_at "
        "FROM generate_series(1, 9000) AS n"
    )
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(function)
        connection.exec_driver_sql(events)


@pytest.mark.parametrize(("price", "said"), FAILING)
def test_a_view_that_fails_on_a_row_is_refused_and_postgres_is_quoted(settings, price, said):
    view(settings, price)
    report = check_source.check(settings, NOW)
    assert said in report.lines[-1]
    assert report.lines[-1].startswith("PROBLEM")
    assert CANARY not in report.lines[-1]
    assert "Anna" not in report.lines[-1]
    for step in (extract, validate):
        with pytest.raises(Refused) as refused:
            step.run(settings, DAY)
        assert said in str(refused.value)
        assert CANARY not in str(refused.value)
        assert "Anna" not in str(refused.value)


def test_a_view_whose_function_was_dropped_is_refused(settings):
    view(settings, "shop.picky(n)")
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION shop.picky FROM PUBLIC")
    for step in (extract, validate, window):
        with pytest.raises(Refused, match=r"permission denied for function picky|too few days"):
            step.run(settings, DAY)


ASKED = {
    postgres.reading: lambda session: session.exec_driver_sql("SELECT pg_sleep(60)"),
    postgres.arrow_session: lambda session: session.read("SELECT pg_sleep(60)").read_all(),
}


@pytest.mark.parametrize("opened", ASKED)
def test_what_a_server_gives_up_for_a_while_is_tried_again(settings, opened):
    url = SecretStr(settings.shop_url.get_secret_value() + "?options=-cstatement_timeout%3D100")
    with pytest.raises(TemporaryFailure, match="statement timeout"), opened(url) as session:
        ASKED[opened](session)


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        (":intent_extract@", ":wrong@", Refused, "password authentication failed"),
        ("//intent_extract:", "//nobody:", Refused, "authentication failed"),
        ("/test_", "/no_such_", Refused, "does not exist"),
        ("/test_", "/x?nonsense=1&", BadInput, "nonsense"),
    ],
)
@pytest.mark.parametrize("opened", [postgres.reading, postgres.arrow_session])
def test_a_wrong_address_or_log_in_names_its_setting(settings, opened, old, new, kind, said):
    address = settings.shop_url.get_secret_value().replace(old, new)
    given = {n: getattr(settings, n) for n in Settings.model_fields} | {
        "shop_url": SecretStr(address)
    }
    changed = Settings(**given, _env_file=None)
    with pytest.raises(kind) as refused, opened(changed.shop_url):
        pass
    assert type(refused.value) is kind
    assert "INTENT_SHOP_URL" in str(refused.value)
    assert said in str(refused.value)
    assert ":wrong@" not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "", "selec 1", "select 1/0", "select * from nothing", "select '10000-01-01'::date",
        "select 'infinity'::interval", "select \ufffe from x", "select %s", "select $1",
        "copy x to stdout", "create table x (a int)", "select 1; drop table y",
        "do $$ begin raise 'no'; end $$",
    ],
)  # fmt: skip
def test_no_query_of_the_analyst_is_a_bug(settings, monkeypatch, capsys, query):
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    monkeypatch.setattr(sys, "argv", ["intent", "sql", query])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code in (None, 0, 78), said
    assert "Traceback" not in said.out + said.err


def test_a_materialized_view_that_was_never_filled_is_refused_with_what_to_do(settings):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE MATERIALIZED VIEW shop.events AS SELECT 'e' AS event_id, 'c' AS customer_id, "
            "'view' AS event_type, timestamptz '2026-06-30 12:00Z' AS occurred_at WITH NO DATA"
        )
    for step in (extract, validate):
        with pytest.raises(Refused, match=r"has not been populated.*REFRESH MATERIALIZED VIEW"):
            step.run(settings, DAY)
