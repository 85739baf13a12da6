"""Lines of files set aside go in once their format is mended, as if it had always been right."""

import json

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from intent_tasks import cli
from intent_tasks.commands import quarantine as commands
from intent_tasks.errors import BadInput
from intent_tasks.steps import collect, extract
from intent_tasks.stores import postgres
from tests.database.conftest import DAY

pytestmark = pytest.mark.database

FORMAT = """
about = "The log of a shop."
[[shapes]]
{each}
[shapes.events]
customer_id = {customer}
occurred_at = {{ field = "at", time = "iso" }}
event_type = {{ field = "what", map = {{ {types} }} }}
product_id = {product}
price = "{price}"
rating = "{price}"
[shapes.products]
product_id = {product}
brand = "brand"
"""

CSV = {"each": "", "customer": '"account"', "product": '"sku"'}
JSON = {
    "each": 'each = "basket"',
    "customer": '{ fields = ["user.login", "user.cookie"] }',
    "product": '"basket.sku"',
}
ALL = 'look = "view", buy = "purchase"'

LINES = f"""account,what,at,sku,price,brand
a,look,{DAY} 10:00:00,p1,1,Acme
b,buy,{DAY} 11:00:00,p1,2.5,Bolt
b,buy,{DAY} 11:00:00,p2,2.5,
c,buy,never,p3,2.5,
"""

ROWS = [
    {"user": {"login": "a"}, "what": "look", "at": f"{DAY} 10:00:00", "basket": [{"sku": "p1"}]},
    {"user": {"cookie": "b"}, "what": "buy", "at": f"{DAY} 11:00:00", "paid": 2.5, "brand": "Bolt",
     "basket": [{"sku": "p1"}, {"sku": "p2"}]},
]  # fmt: skip


@pytest.fixture
def run_command(settings, monkeypatch):
    """Run a command of `intent quarantine`; return its output."""
    monkeypatch.setattr(commands, "load_settings", lambda: settings)

    def run(*arguments):
        result = CliRunner().invoke(cli.app, ["quarantine", *arguments, "--reason", "mended"])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


def write(path, kind, **changes):
    """Write a format to a file and return its name."""
    values = kind | {"types": ALL, "price": "price"} | changes
    path.write_text(FORMAT.format(**values))
    return str(path)


def collected(settings, path, layout):
    """Collect a file; return all that the shop then holds."""
    collect.collect(settings, str(path), layout, lambda _: None)
    return held(settings)


def held(settings):
    """Return the events and products of the shop."""
    with postgres.reading(settings.shop_owner_url) as connection:
        return [
            connection.execute(sa.text(f"SELECT * FROM shop.{table} ORDER BY 1")).all()
            for table in ("events", "products")
        ]


def states(settings):
    """Return line and state of what is set aside."""
    query = "SELECT row_number, state FROM intent.quarantine ORDER BY 1"
    with postgres.reading(settings.pipeline_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def forget(settings):
    """Empty the shop, as if nothing had been collected."""
    for role, tables in (
        ("shop_owner_url", ("shop.events", "shop.products")),
        ("migrator_url", ("intent.collected_files", "intent.quarantine")),
    ):
        with postgres.changing(getattr(settings, role), "test") as connection:
            for table in tables:
                connection.exec_driver_sql(f"DELETE FROM {table}")


def test_lines_of_a_csv_go_in_after_their_format_is_mended(settings, tmp_path, run_command):
    path = tmp_path / "log.csv"
    path.write_text(LINES)
    layout = write(tmp_path / "ours.toml", CSV)
    clean = collected(settings, path, layout)
    forget(settings)
    write(tmp_path / "ours.toml", CSV, types='look = "view"')
    assert len(collected(settings, path, layout)[0]) == 1
    command = ("release", "--rule", "event_type is unknown")
    assert "stays out: then event_type is unknown" in run_command(*command)
    with pytest.raises(BadInput, match="in the file of its format"):
        run_command(*command, "--yes")
    write(tmp_path / "ours.toml", CSV)
    assert "2 rows went in" in run_command(*command, "--yes")
    assert held(settings) == clean
    assert states(settings) == [(3, "released"), (4, "released"), (5, "held")]


def test_rows_that_fit_go_in_and_the_rest_stay_under_the_rule_that_they_break_now(
    settings, tmp_path, run_command
):
    path = tmp_path / "log.csv"
    more = ["d,buy,{} 12:00:00,p4,9,", "d,sell,{} 12:00:00,p4,1,", "b,buy,{} 13:00:00,p1,3,Core"]
    path.write_text(LINES + "".join(f"{text.format(DAY)}\n" for text in more))
    collected(settings, path, write(tmp_path / "ours.toml", CSV, types='look = "view"'))
    write(tmp_path / "ours.toml", CSV)
    output = run_command("release", "--rule", "event_type is unknown", "--yes")
    assert "3 rows went in" in output
    assert "1 stay out: then rating is above 5: correct it with --set" in output
    assert "1 stay out: then event_type is unknown" in output
    assert held(settings)[1][0].brand == "Core", "the last that was told of p1"
    query = "SELECT row_number, rule, state FROM intent.quarantine WHERE row_number > 4 ORDER BY 1"
    with postgres.reading(settings.pipeline_url) as connection:
        assert [tuple(row) for row in connection.execute(sa.text(query))] == [
            (5, "occurred_at cannot be read", "held"),
            (6, "rating is above 5", "held"),
            (7, "event_type is unknown", "held"),
            (8, "event_type is unknown", "released"),
        ]


def test_of_two_lines_with_one_id_the_first_goes_in(settings, tmp_path, run_command):
    path = tmp_path / "log.csv"
    path.write_text(LINES)
    collected(settings, path, write(tmp_path / "ours.toml", CSV, types='look = "view"'))
    write(tmp_path / "ours.toml", CSV)
    output = run_command(
        "release", "--rule", "event_type is unknown", "--set", "event_id=one", "--yes"
    )
    assert "1 rows went in" in output
    assert "1 stay out: then event_id comes twice among these lines" in output
    assert states(settings) == [(3, "released"), (4, "held"), (5, "held")]


def test_a_line_with_several_events_of_which_some_are_there_already(
    settings, tmp_path, run_command
):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    right = write(tmp_path / "right.toml", JSON, price="paid")
    clean = collected(settings, path, right)
    assert len(clean[0]) == 3
    forget(settings)
    wrong = write(tmp_path / "wrong.toml", JSON | {"customer": '"user.login"'}, price="cost")
    assert len(collected(settings, path, wrong)[0]) == 1
    assert states(settings) == [(2, "held")]
    done = run_command("release", "--rule", "customer_id is missing", "--format", right, "--yes")
    assert "1 rows went in" in done
    assert held(settings) == clean, "with the price, which the wrong format did not even name"
    collect.collect(settings, str(path), right, lambda _: None)
    assert held(settings) == clean, "collected again, nothing comes twice"


def test_a_released_line_reaches_its_day(settings, tmp_path, run_command):
    path = tmp_path / "log.csv"
    path.write_text(LINES)
    layout = write(tmp_path / "ours.toml", CSV)
    collected(settings, path, layout)
    short = settings.model_copy(update={"history_days": 1})
    assert extract.run(short, DAY)["rows_in_snapshot"] == 3
    changes = ("--set", "price=0", "--set", f"occurred_at={DAY}T12:00:00Z")
    output = run_command("release", "--rule", "occurred_at cannot be read", *changes, "--yes")
    assert "1 rows went in" in output
    assert extract.run(short, DAY)["rows_in_snapshot"] == 4
    assert held(settings)[0][-1].price == 0


def test_a_line_without_fields_is_distinguished(settings, tmp_path, run_command):
    path = tmp_path / "log.csv"
    path.write_text(LINES + "1,2\n")
    collected(settings, path, write(tmp_path / "ours.toml", CSV))
    with pytest.raises(BadInput, match="cannot go in: it has no fields: write the line anew"):
        run_command("release", "--rule", "2 fields instead of 6", "--set", "price=1", "--yes")
