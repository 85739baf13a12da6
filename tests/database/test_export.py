"""A list holds who agrees at that moment, and nobody who was erased; the ledger knows the file."""

import stat
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import publish
from intent_tasks.stores import postgres
from intent_tasks.stores.privacy import erasure, exporting
from tests.database.conftest import CUSTOMERS, DAY, score
from tests.database.test_consent import change_shop, say

pytestmark = pytest.mark.database

YES, NO, NULL, SUPPRESSED = CUSTOMERS[:4]


@pytest.fixture
def published(scored_shop):
    """A published day with four kinds of customers; of the others there is no row."""
    score(scored_shop, DAY, lambda customer: 0.9 if customer in CUSTOMERS[:2] else 0.1)
    publish.run(scored_shop, DAY)
    say(scored_shop, YES, None, marketing=True)
    say(scored_shop, NO, None, marketing=False)
    say(scored_shop, NULL, True)
    say(scored_shop, SUPPRESSED, True, marketing=True, suppressed=True)
    return scored_shop


def wanted(to="list.csv", purpose="marketing", band=None, day=DAY):
    return exporting.List(day, purpose, band, Path(to), "an analyst")


def ledger(settings):
    query = sa.text(
        "SELECT purpose, band, path, customer_count, without_consent_count, exported_by "
        "FROM intent.exports ORDER BY export_id"
    )
    with postgres.reading(settings.analyst_url) as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_only_customers_who_say_yes_at_that_moment_are_on_a_list(published):
    made = exporting.export(published, wanted())
    path = published.home / "exports" / "list.csv"
    assert (made.path, made.customers, made.without_consent) == (path, 1, 23)
    header, row = path.read_text().splitlines()
    assert header.replace('"', "").startswith("as_of_date,customer_id,probability_1d")
    assert YES in row
    assert ledger(published) == [("marketing", None, str(path), 1, 23, "an analyst")]
    say(published, YES, None, marketing=False)
    assert exporting.export(published, wanted("later.csv")).customers == 0


def test_a_list_of_a_band_as_parquet(published):
    for customer in CUSTOMERS:
        say(published, customer, True, marketing=True)
    made = exporting.export(published, wanted("hot.parquet", "personalisation", "hot"))
    assert pq.read_table(made.path)["customer_id"].to_pylist() == CUSTOMERS[:2]


def test_an_erased_customer_is_taken_out_of_the_file_and_comes_on_no_other(published, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = exporting.export(published, wanted(str(elsewhere / "list.csv")))
    assert YES in made.path.read_text()
    assert erasure.erase(published, [YES])[0].removed["exports"] == 1
    assert YES not in made.path.read_text()
    assert [row[3] for row in ledger(published)] == [0]
    assert exporting.export(published, wanted("next.csv")).customers == 0


def test_a_file_that_was_never_finished_is_in_the_ledger(published, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        exporting.export(published, wanted())
    assert [row[3] for row in ledger(published)] == [None]


IMPOSSIBLE = (
    ({"to": "list.xlsx"}, "neither .csv nor .parquet"),
    ({"to": "/no/such/folder/list.csv"}, "no folder /no/such/folder"),
    ({"band": "boiling"}, "bands: hot, warm, cool, cold"),
    ({"purpose": "profiling"}, "purposes: personalisation, marketing"),
    ({"day": DAY + timedelta(days=1)}, "The newest predicted day is 2026-06-10"),
)


def test_what_cannot_be_listed_is_named_and_nothing_is_written(published):
    for changes, message in IMPOSSIBLE:
        with pytest.raises(BadInput, match=message):
            exporting.export(published, wanted(**changes))
    assert ledger(published) == []
    assert list(published.home.glob("exports/**/*.*")) == []
    exporting.export(published, wanted())
    with pytest.raises(BadInput, match="is there already"):
        exporting.export(published, wanted())


def test_without_a_record_of_consent_nobody_is_on_a_list(published):
    change_shop(published, "ALTER TABLE shop.customers DROP COLUMN consent_marketing")
    with pytest.raises(Refused, match="no column consent_marketing"):
        exporting.export(published, wanted())


FORMULAS = (
    'x;"=cmd()"',
    'x\t"@SUM(1)',
    "x;\u00a0=1",
    "\u3000=1",
    "\u200b=1",
    "\x0b=1",
    "=1+1",
    "+1+1",
    "-1+1",
    "@sum(a)",
    "\t=1",
    "\r=1",
    " =1",
    "\uff1d1",
    "x;=1",
    "a\n=1",
)


def test_a_list_for_people_holds_no_formula_and_a_raw_one_the_ids_as_they_are():
    ids = [*FORMULAS, "-1.5", "+4917", "c-7", "'=1", None]
    rows = pa.table({"customer_id": ids, "probability_1d": [-0.5] * len(ids)})
    safe = exporting.without_formulas(rows)
    cells = safe["customer_id"].to_pylist()
    assert cells[-5:] == ["-1.5", "+4917", "c-7", "''=1", None]
    assert all("'" in cell for cell in cells[: len(FORMULAS)])
    assert not [cell for cell in cells[: len(FORMULAS)] if cell[0] in "=+-@\t\r\uff1d"]
    assert safe["probability_1d"] == rows["probability_1d"]
    assert len(set(cells)) == len(ids), "two ids stay two"


def test_an_erasure_finds_an_id_that_was_written_with_an_apostrophe(published, tmp_path):
    lists = published.home / "exports"
    lists.mkdir()
    rows = exporting.without_formulas(pa.table({"customer_id": ["=1+1", "other"]}))
    for name, table in (("safe.csv", rows), ("raw.csv", pa.table({"customer_id": ["=1+1", "x"]}))):
        pa.csv.write_csv(table, lists / name)
    (erased,) = erasure.erase(published, ["=1+1"])
    assert erased.removed == {"exports": 2}
    assert "=1+1" not in (lists / "safe.csv").read_text() + (lists / "raw.csv").read_text()


def modes(folder):
    return {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_a_list_is_its_owners_alone_wherever_it_lands(published, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    elsewhere = exporting.export(published, wanted(str(shared / "list.csv"))).path
    own_path = exporting.export(published, wanted("list.csv")).path
    assert modes(shared) == {shared: 0o755, elsewhere: 0o600}
    assert modes(own_path.parent) == {own_path.parent: 0o700, own_path: 0o600}
    elsewhere.chmod(0o644)
    erasure.erase(published, [YES])
    assert modes(shared)[elsewhere] == 0o600, "a rewritten list is not shown to more people"


def test_the_ending_of_a_file_may_be_in_capitals(published):
    made = exporting.export(published, wanted("x.CSV"))
    assert made.path.read_text().replace('"', "").startswith("as_of_date,customer_id")
