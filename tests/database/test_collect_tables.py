"""Files of products and of customers land in their tables; a no is never lost on the way."""

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from intent_tasks import cli
from intent_tasks.commands import collect as commands
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps.collect import collect
from intent_tasks.steps.collect_tables import collect_tables
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import quarantine, release
from intent_tasks.stores.privacy import consent, erasure
from tests.database.collecting import HEADER, ask, collected, events, lines, quarantined

pytestmark = pytest.mark.database

CUSTOMERS = "customer_id,country,consent_personalisation,consent_marketing,suppressed\n"


def landed(settings, place, table="customers", layout="native"):
    """Collect files of a table; return rows by outcome, and the messages."""
    messages = []
    totals = collect_tables(settings, str(place), layout, table, messages.append)
    names = ("loaded", "repeated", "ignored", "quarantined")
    return tuple(totals.rows[name] for name in names), messages


def agreed(settings):
    """Return what customers agree to."""
    columns = "customer_id, consent_personalisation, consent_marketing, suppressed"
    return ask(settings, f"SELECT {columns} FROM shop.customers ORDER BY 1")


def test_only_a_clear_yes_is_one(settings, tmp_path):
    path = tmp_path / "customers.csv"
    texts = ["true", "YES", "1", " t ", "", "maybe", "0", "2", "false", "null"]
    path.write_text(CUSTOMERS + "".join(f"c{n},SE,{t},{t},\n" for n, t in enumerate(texts)))
    counts, messages = landed(settings, path)
    assert counts == (10, 0, 0, 0)
    assert [row[1] for row in agreed(settings)] == [True] * 4 + [False] * 6
    assert any(
        "2 values of consent_marketing cannot be read: each counts as a no" in t for t in messages
    )
    assert consent.read(settings, "marketing").yes.to_pylist() == ["c0", "c1", "c2", "c3"]


ALL_YES = CUSTOMERS + "".join(f"c{n},SE,true,true,false\n" for n in range(1, 9))


ODD_FILES = {
    "odd.jsonl": {"consent_marketing": [False], "suppressed": True},
    "nested.jsonl": {"consent_personalisation": False, "country": {"a": 1}},
    "null.jsonl": {"consent_personalisation": None, "consent_marketing": None},
    "capitals.jsonl": {"Consent_Personalisation": False, "Consent_Marketing": False},
    "comma.csv": CUSTOMERS + "c4,Sweden, Europe,false,false,true\n",
    "nul.csv": CUSTOMERS + "c4,S\0E,false,false,true\n",
    "quote.csv": CUSTOMERS + 'c4,"SE,false,false,true\n',
    "blanks.csv": CUSTOMERS.replace(",", ", ") + "c4,SE,false,false,true\n",
    "header.csv": CUSTOMERS.title() + "c4,SE,false,false,true\n",
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_a_no_is_not_lost_with_a_row_or_header_that_is_written_otherwise(settings, tmp_path, name):
    (tmp_path / "a.csv").write_text(ALL_YES)
    landed(settings, tmp_path)
    row = ODD_FILES[name]
    if isinstance(row, dict):
        rows = [{"customer_id": "c4"} | row, {"customer_id": "c1", "country": "SE"}]
        text = "".join(json.dumps(each) + "\n" for each in rows)
    else:
        text = row + "c1,SE,yes,yes,no\n"
    (tmp_path / name).write_text(text)
    landed(settings, tmp_path)
    assert "c4" not in consent.read(settings, "marketing").yes.to_pylist()
    assert "c4" not in consent.read(settings, "personalisation").allowed.to_pylist()
    assert "c2" in consent.read(settings, "marketing").yes.to_pylist()


def test_a_decimal_id_is_the_number_without_its_empty_places(settings, tmp_path):
    (tmp_path / "a.csv").write_text(CUSTOMERS + "7,SE,true,true,false\n100,SE,true,true,false\n")
    landed(settings, tmp_path)
    ids = pa.array([Decimal("7.00"), Decimal("100.00")], pa.decimal128(10, 2))
    no = pa.table({"customer_id": ids, "consent_marketing": [False, False]})
    pq.write_table(no, tmp_path / "b.parquet")
    landed(settings, tmp_path)
    assert [row[:3] for row in agreed(settings)] == [("100", True, False), ("7", True, False)]


def test_what_suppresses_and_cannot_be_read_suppresses(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS + "a,SE,yes,yes,perhaps\nb,SE,yes,yes,no\nc,SE,yes,yes,\n")
    landed(settings, path)
    assert [row[3] for row in agreed(settings)] == [True, False, None]
    assert consent.read(settings, "marketing").yes.to_pylist() == ["b", "c"]


def test_of_two_rows_of_a_customer_any_no_counts(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(
        CUSTOMERS + "a,SE,yes,no,\na,NO,yes,yes,yes\nb,SE,yes,yes,no\nb,,yes,yes,\n,SE,yes,yes,\n"
    )
    assert landed(settings, path)[0] == (2, 2, 0, 1)
    assert agreed(settings) == [("a", True, False, True), ("b", True, True, False)]
    assert ask(settings, "SELECT country FROM shop.customers ORDER BY customer_id") == [
        ("NO",), ("SE",),
    ]  # fmt: skip
    assert [row[3] for row in quarantined(settings)] == ["customer_id is missing"]


def test_a_newer_file_changes_its_rows_and_removes_nobody(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS + "a,SE,no,no,yes\nb,SE,yes,yes,\nc,SE,yes,yes,\n")
    landed(settings, path)
    assert landed(settings, path) == ((0, 0, 0, 0), [])
    path.write_text(CUSTOMERS + "b,NO,yes,no,\n")
    assert landed(settings, path)[0] == (1, 0, 0, 0)
    path.write_text("customer_id,country\nb,\na,FI\nd,DK\n")
    _, messages = landed(settings, path)
    assert any("no consent_personalisation and no consent_marketing" in text for text in messages)
    assert agreed(settings) == [
        ("a", False, False, True), ("b", True, False, None), ("c", True, True, None),
        ("d", None, None, None),
    ]  # fmt: skip
    assert ask(settings, "SELECT country FROM shop.customers ORDER BY customer_id") == [
        ("FI",), ("NO",), ("SE",), ("DK",),
    ]  # fmt: skip


def test_ids_are_those_of_events(settings, tmp_path):
    log, known = tmp_path / "log.csv", tmp_path / "customers.csv"
    log.write_text(HEADER + lines(0, 20))
    known.write_text(CUSTOMERS + "".join(f"c{n},SE,no,no,\n" for n in range(7)))
    collected(settings, log)
    landed(settings, known)
    query = "SELECT count(*) FROM shop.events JOIN shop.customers USING (customer_id)"
    assert ask(settings, query) == [(20,)]


def test_products_come_from_files_and_from_events(settings, tmp_path):
    path = tmp_path / "products.csv"
    path.write_text(
        "product_id,title,price,in_stock,brand\np1,Mug,€5,yes,\np2,Cup,x,perhaps,null\n,Pot,1,,\n"
    )
    counts, messages = landed(settings, path, "products")
    assert counts == (2, 0, 0, 1)
    query = "SELECT product_id, title, price, in_stock, brand FROM shop.products ORDER BY 1"
    assert ask(settings, query) == [("p1", "Mug", 5.0, True, None), ("p2", "Cup", None, None, None)]
    assert any("1 values of price cannot be read: left empty" in text for text in messages)


def test_a_format_of_ones_own_names_the_columns(settings, tmp_path):
    own = tmp_path / "ours.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\n[shapes.customers]\ncustomer_id = "Kunde"\n'
        'consent_marketing = { field = "Werbung", map = { ja = "true", nein = "false" } }\n'
    )
    path = tmp_path / "kunden.csv"
    path.write_text("Kunde,Werbung\nk1,ja\nk2,nein\nk3,vielleicht\n")
    landed(settings, path, layout=str(own))
    assert [row[::2] for row in agreed(settings)] == [("k1", True), ("k2", False), ("k3", False)]
    with pytest.raises(BadInput, match=r"no shape of a file of events, only of customers"):
        collected(settings, path, str(own))


def test_a_file_that_is_none_of_customers_changes_nothing(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text("name\nx\n")
    with pytest.raises(BadInput, match=r"lacks customer_id"):
        landed(settings, path)
    path.write_text(CUSTOMERS + ",SE,yes,yes,\n" * 20 + "a,SE,yes,yes,\n")
    with pytest.raises(
        BadInput, match=r"20 rows cannot be used, first that in line 2: customer_id"
    ):
        landed(settings, path)
    assert (agreed(settings), quarantined(settings)) == ([], [])


def test_a_table_that_the_shop_keeps_itself_is_left_alone(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS + "a,SE,yes,yes,\n")
    landed(settings, path)
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        connection.execute(sa.text("COMMENT ON SCHEMA shop IS NULL"))
    path.write_text(CUSTOMERS + "b,SE,yes,yes,\n")
    with pytest.raises(Refused, match=r"shop\.customers is the shop's own: fill it there"):
        landed(settings, path)


def test_a_row_of_customers_that_was_set_aside_is_no_event(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS + ",SE,yes,yes,\na,SE,yes,yes,\n")
    landed(settings, path)
    with postgres.reading(settings.pipeline_url) as connection:
        rows = quarantine.find(connection)
    decision = release.Decision("me", "why", {"customer_id": "b"}, None)
    assert "collect that" in release.obstacles(settings, rows, decision)[0]


def test_a_recorded_shop_is_loaded_again_beside_its_tables(settings, tmp_path):
    log, known = tmp_path / "log.csv", tmp_path / "customers.csv"
    log.write_text(HEADER + lines(0, 20))
    known.write_text(CUSTOMERS + "c1,SE,yes,yes,\n")
    for _ in range(2):
        collect(settings, str(log), "native", lambda _: None, alone=True)
        landed(settings, known)
    assert (len(events(settings)), len(agreed(settings))) == (20, 1)


def test_the_commands_take_files_of_tables(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "load_settings", lambda: settings)
    log, known, sold = (tmp_path / f"{name}.csv" for name in ("log", "customers", "products"))
    log.write_text(HEADER + lines(0, 20))
    known.write_text(CUSTOMERS + "c1,SE,yes,yes,\n")
    sold.write_text("product_id,title\np1,Mug\n")

    def run(*arguments):
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "1 customers loaded" in run("collect", known, "--table", "customers")
    output = run("load", log, "--products", sold, "--customers", known)
    assert "1 products loaded" in output
    assert "0 files of customers collected, 1 known before" in output
    assert (len(events(settings)), len(agreed(settings))) == (20, 1)


def test_an_erased_customer_does_not_come_back_by_a_file(settings, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS + "a,SE,yes,yes,\nb,SE,yes,yes,\n")
    landed(settings, path)
    erasure.erase(settings, ["a"])
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        connection.execute(sa.text("DELETE FROM shop.customers WHERE customer_id = 'a'"))
    path.write_text(CUSTOMERS + "a,NO,yes,yes,\nb,NO,yes,yes,\n")
    assert landed(settings, path)[0] == (1, 0, 1, 0)
    assert [row[0] for row in agreed(settings)] == ["b"]


OWN = """
about = "Ours."
[[shapes]]
[shapes.customers]
customer_id = "customer_id"
consent_marketing = {{ field = "consent_marketing", map = {{ {words} }} }}
"""


def format_of(folder, words):
    """Write a format in which some words stand for an answer, and return its name."""
    path = folder / "ours.toml"
    path.write_text(OWN.format(words=words))
    return str(path)


def write_answers(folder, name, **answers):
    """Write a file of customers."""
    rows = "".join(f"{customer},{answer}\n" for customer, answer in answers.items())
    (folder / name).write_text("customer_id,consent_marketing\n" + rows)


def answers(settings):
    """Return what customers answered about marketing."""
    return dict(ask(settings, "SELECT customer_id, consent_marketing FROM shop.customers"))


def test_a_file_is_read_again_when_its_format_is_mended(settings, tmp_path):
    (files := tmp_path / "files").mkdir()
    write_answers(files, "a.csv", c1="oui", c2="non")
    name = format_of(tmp_path, 'ja = "true"')
    assert landed(settings, files, layout=name)[0] == (2, 0, 0, 0)
    assert answers(settings) == {"c1": False, "c2": False}
    assert landed(settings, files, layout=name)[0] == (0, 0, 0, 0)
    format_of(tmp_path, 'oui = "true", non = "false"')
    assert landed(settings, files, layout=name)[0] == (2, 0, 0, 0)
    assert answers(settings) == {"c1": True, "c2": False}
    assert landed(settings, files, layout=name)[0] == (0, 0, 0, 0)


def test_files_are_read_again_in_the_order_in_which_they_came(settings, tmp_path):
    (files := tmp_path / "files").mkdir()
    name = format_of(tmp_path, 'oui = "true"')
    write_answers(files, "z.csv", c1="oui", c2="oui", c3="ja")
    landed(settings, files, layout=name)
    format_of(tmp_path, 'oui = "true", non = "false"')
    write_answers(files, "m.csv", c1="non")
    write_answers(files, "z.csv", c1="oui", c2="oui", c3="ja")
    landed(settings, files, layout=name)
    write_answers(files, "a.csv", c2="non")
    landed(settings, files, layout=name)
    format_of(tmp_path, 'oui = "true", non = "false", ja = "true"')
    assert landed(settings, files, layout=name)[0] == (5, 0, 0, 0)
    assert answers(settings) == {"c1": False, "c2": False, "c3": True}


def test_a_file_loaded_after_an_unchanged_format_is_read_again_with_the_others(settings, tmp_path):
    (files := tmp_path / "files").mkdir()
    old, new = (tmp_path / folder for folder in ("old", "new"))
    old.mkdir()
    new.mkdir()
    write_answers(files, "z.csv", c1="oui")
    landed(settings, files, layout=format_of(old, 'oui = "true"'))
    write_answers(files, "a.csv", c1="non")
    newer = format_of(new, 'oui = "true", non = "false"')
    landed(settings, files / "a.csv", layout=newer)
    assert landed(settings, files, layout=newer)[0] == (2, 0, 0, 0)
    assert answers(settings) == {"c1": False}


def test_an_older_file_is_not_read_again_without_the_newer_one(settings, tmp_path):
    (files := tmp_path / "files").mkdir()
    name = format_of(tmp_path, 'oui = "true"')
    for file, answer in (("a.csv", "oui"), ("b.csv", "non")):
        write_answers(files, file, c1=answer)
        landed(settings, files, layout=name)
    (files / "b.csv").unlink()
    format_of(tmp_path, 'oui = "true", ja = "true"')
    counts, messages = landed(settings, files, layout=name)
    assert counts == (0, 0, 0, 0)
    assert "b.csv was collected after it and is not here" in messages[-1]
    assert answers(settings) == {"c1": False}


def test_a_file_collected_before_formats_were_kept_learns_its_format(settings, tmp_path):
    (files := tmp_path / "files").mkdir()
    name = format_of(tmp_path, 'ja = "true"')
    write_answers(files, "a.csv", c1="oui")
    landed(settings, files, layout=name)
    with postgres.changing(settings.shop_owner_url, "collect") as connection:
        connection.execute(sa.text("UPDATE intent.collected_files SET format_digest = ''"))
    assert landed(settings, files, layout=name)[0] == (0, 0, 0, 0)
    format_of(tmp_path, 'oui = "true"')
    assert landed(settings, files, layout=name)[0] == (1, 0, 0, 0)
