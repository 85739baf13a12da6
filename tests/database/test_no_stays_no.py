"""Files of customers come again, in any order, with other names and ids: a no stays a no."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.stores.privacy import consent
from tests.database.collecting import ask
from tests.database.test_collect_tables import CUSTOMERS, format_of, landed

pytestmark = pytest.mark.database

ANSWERS = {"yes": "SE,yes,yes,no", "no": "SE,no,no,yes"}


def write(path, *rows, header=CUSTOMERS):
    """Write a file of customers; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def say(path, **answers):
    """Write a file in which customers say yes or no to everything."""
    return write(path, *(f"{customer},{ANSWERS[said]}" for customer, said in answers.items()))


def listed(settings):
    """Return who may be written to."""
    return consent.read(settings, "marketing").yes.to_pylist()


def predicted(settings):
    """Return who may be predicted."""
    return consent.read(settings, "personalisation").allowed.to_pylist()


# ── A file comes again ────────────────────────────────────────────────────────────────────────────


def move(path):
    (path.parent / "done").mkdir()
    path.rename(path.parent / "done" / path.name)


def pack(path):
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def copy(path):
    path.with_name("z.csv").write_bytes(path.read_bytes())


@pytest.mark.parametrize("change", [move, pack, copy])
def test_a_known_file_under_another_name_is_passed_over(settings, tmp_path, change):
    first = say(tmp_path / "in" / "customers_1.csv", c4="yes", c1="yes")
    landed(settings, tmp_path / "in")
    say(tmp_path / "in" / "customers_2.csv", c4="no")
    landed(settings, tmp_path / "in")
    change(first)
    counts, told = landed(settings, tmp_path / "in")
    assert counts == (0, 0, 0, 0)
    assert "has the content of" in told[-1]
    assert listed(settings) == predicted(settings) == ["c1"]
    assert landed(settings, tmp_path / "in")[0] == (0, 0, 0, 0)


def test_a_file_that_was_replaced_and_comes_back_is_passed_over(settings, tmp_path):
    path = say(tmp_path / "in" / "customers.csv", c4="yes", c1="yes")
    landed(settings, tmp_path / "in")
    old = path.read_text()
    say(path, c4="no")
    (tmp_path / "in" / "customers.old.csv").write_text(old)  # rotated before it was collected
    landed(settings, tmp_path / "in")
    assert listed(settings) == ["c1"]
    path.write_text(old)  # restored from a backup
    _, told = landed(settings, tmp_path / "in")
    assert "Add a blank line at its end" in told[-1]
    assert listed(settings) == ["c1"]
    path.write_text(old + "\n")
    landed(settings, tmp_path / "in")
    assert listed(settings) == ["c1", "c4"]


def test_the_newest_file_under_another_name_changes_nothing(settings, tmp_path):
    path = say(tmp_path / "in" / "customers.csv", c4="yes")
    landed(settings, tmp_path / "in")
    path.rename(path.with_name("kunden.csv"))
    assert landed(settings, tmp_path / "in")[0] == (0, 0, 0, 0)
    assert listed(settings) == ["c4"]


def test_a_known_file_is_not_read_in_another_format_under_another_name(settings, tmp_path):
    name = format_of(tmp_path, 'ja = "true"')
    header = "customer_id,consent_marketing\n"
    first = write(tmp_path / "in" / "a.csv", "c4,oui", "c1,ja", header=header)
    landed(settings, tmp_path / "in", layout=name)
    write(tmp_path / "in" / "b.csv", "c4,non", header=header)
    landed(settings, tmp_path / "in", layout=name)
    first.rename(first.with_name("c.csv"))
    format_of(tmp_path, 'ja = "true", oui = "true"')
    landed(settings, tmp_path / "in", layout=name)
    assert listed(settings) == ["c1"]


def test_prices_of_a_file_that_comes_back_count(settings, tmp_path):
    path = tmp_path / "products.csv"
    for price in (4, 5, 4):
        path.write_text(f"product_id,price\np1,{price}\n")
        landed(settings, path, "products")
    assert ask(settings, "SELECT price FROM shop.products") == [(4.0,)]


# ── Several new files at once ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("customers_9.csv", "customers_10.csv"),
        ("customers.2.csv", "customers.1.csv"),  # rotated: 1 is the newer one
        ("customers.csv", "customers (1).csv"),
        ("z_old.csv", "a_new.csv"),
        ("30.06.2026.csv", "01.07.2026.csv"),
        ("customers.csv", "customers_2026-07-01.csv"),
        ("fi/2026-06-30.csv", "ax/2026-07-01.csv"),
    ],
)
def test_of_several_new_files_a_no_counts_whatever_their_names(settings, tmp_path, older, newer):
    for name, said in ((older, "yes"), (newer, "no")):
        say(tmp_path / "in" / name, c4=said, c1="yes")
    landed(settings, tmp_path / "in")
    assert listed(settings) == predicted(settings) == ["c1"]


def test_a_date_in_the_names_says_which_file_is_newer(settings, tmp_path):
    say(tmp_path / "in" / "customers_2026-06-30.csv", c4="no", c1="yes")
    say(tmp_path / "in" / "customers_20260701.csv", c4="yes", c1="no")
    landed(settings, tmp_path / "in")
    assert listed(settings) == ["c4"]


def test_without_a_date_a_later_call_is_newer_and_the_no_of_one_call_is_named(settings, tmp_path):
    say(tmp_path / "in" / "a.csv", c4="no", c1="no")
    path = say(tmp_path / "in" / "b.csv", c4="yes", c2="yes")
    _, told = landed(settings, tmp_path / "in")
    assert any("1 customers refuse in another new file of this call" in line for line in told)
    assert listed(settings) == ["c2"]
    path.write_text(path.read_text() + "c1,SE,yes,yes,no\n")
    landed(settings, tmp_path / "in")
    assert listed(settings) == ["c1", "c2", "c4"]


def test_files_of_one_call_are_of_one_call_when_they_are_read_again(settings, tmp_path):
    name = format_of(tmp_path, 'ja = "true"')
    header = "customer_id,consent_marketing\n"
    write(tmp_path / "in" / "a.csv", "c4,nein", "c1,ja", header=header)
    write(tmp_path / "in" / "b.csv", "c4,ja", header=header)
    landed(settings, tmp_path / "in", layout=name)
    write(tmp_path / "in" / "0.csv", "c1,oui", header=header)
    landed(settings, tmp_path / "in", layout=name)
    assert listed(settings) == []
    format_of(tmp_path, 'ja = "true", oui = "true"')
    assert landed(settings, tmp_path / "in", layout=name)[0] == (4, 0, 0, 0)
    assert listed(settings) == ["c1"]


# ── Consent under another name ────────────────────────────────────────────────────────────────────

OTHER_NAMES = {
    "spelling.csv": "customer_id,consent_marketing,consent_personalization\nc4,no,no\n",
    "blanks.csv": "customer_id,Consent Personalisation,Consent Marketing\nc4,no,no\n",
    "camels.csv": "customer_id,consentPersonalisation,consentMarketing\nc4,no,no\n",
    "suppressed.csv": "customer_id,consent_personalisation,is_suppressed\nc4,yes,true\n",
    "unsubscribed.csv": "customer_id,unsubscribed\nc4,true\n",
    "turned.csv": "customer_id,consent_personalisation,marketing_consent,suppressed\nc4,no,no,\n",
    "newsletter.csv": "customer_id,consent_personalisation,newsletter,suppressed\nc4,no,no,\n",
    "german.csv": "customer_id,Einwilligung,gesperrt\nc4,nein,ja\n",
    "french.csv": "customer_id,désinscrit,consentement\nc4,oui,non\n",
    "swedish.csv": "customer_id,samtycke,avregistrerad\nc4,nej,ja\n",
    "spanish.tsv": "customer_id\tacepta_boletín\tdado_de_baja\nc4\tno\tsi\n",
    "semicolons.csv": "sep=;\ncustomer_id;opted_out\nc4;true\n",
    "nested.jsonl": json.dumps({"customer_id": "c4", "consent": {"marketing": False}}) + "\n",
    "blanks.jsonl": json.dumps({"customer_id": "c4", "Consent Marketing": False}) + "\n",
    "list.jsonl": json.dumps({"customer_id": "c4", "x": [{"unsubscribed": True}]}) + "\n",
    "last.jsonl": '{"customer_id":"c1"}\n{"customer_id":"c4","doNotContact":true}\n',
    "a.parquet": {"customer_id": ["c4"], "optedOut": [True]},
    "b.parquet": {"customer_id": ["c4"], "privacy": [{"gdpr": False}]},
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_consent_under_another_name_is_refused_in_a_file(settings, tmp_path, name):
    say(tmp_path / "0.csv", c1="yes", c4="yes")
    landed(settings, tmp_path)
    content = OTHER_NAMES[name]
    if isinstance(content, dict):
        pq.write_table(pa.table(content), tmp_path / name)
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=r"looks like consent.*INTENT_NO_CONSENT_COLUMNS"):
        landed(settings, tmp_path)


def test_one_line_of_configuration_accepts_a_field_that_looks_like_consent(settings, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("customer_id,newsletter_popup_seen,is_vip\nc4,true,true\n")
    with pytest.raises(BadInput, match="field newsletter_popup_seen looks like consent"):
        landed(settings, path)
    accepting = settings.model_copy(update={"no_consent_columns": ["newsletter_popup_seen"]})
    assert landed(accepting, path)[0] == (1, 0, 0, 0)


def test_beside_all_our_columns_no_field_is_taken_for_consent(settings, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "customer_id,consent_personalisation,consent_marketing,suppressed,consent_analytics,"
        "newsletter_popup_seen,blocked_at\nc4,yes,yes,,no,true,\n"
    )
    assert landed(settings, path)[0] == (1, 0, 0, 0)


def test_a_field_that_tells_of_one_of_our_columns_is_not_taken_for_another(settings, tmp_path):
    path = tmp_path / "a.csv"
    header = "customer_id,consent_marketing,consent_marketing_at"
    path.write_text(f"{header},consent_marketing_source\nc4,yes,2026-06-30,web\n")
    assert landed(settings, path)[0] == (1, 0, 0, 0)
    path.write_text("customer_id,consent_marketing,consent_marketing_revoked\nc4,yes,true\n")
    with pytest.raises(BadInput, match="field consent_marketing_revoked looks like consent"):
        landed(settings, path)


def test_a_field_that_a_format_reads_is_not_taken_for_another(settings, tmp_path):
    own = tmp_path / "ours.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\n[shapes.customers]\ncustomer_id = "id"\n'
        'consent_marketing = "privacy.newsletter"\nsuppressed = "privacy.blocked"\n'
        'consent_personalisation = "privacy.profiling"\n'
    )
    path = tmp_path / "a.jsonl"
    row = {"id": "c4", "privacy": {"newsletter": True, "blocked": False, "profiling": True}}
    path.write_text(json.dumps(row) + "\n")
    assert landed(settings, path, layout=str(own))[0] == (1, 0, 0, 0)
    assert listed(settings) == ["c4"]


def test_an_answer_that_a_line_of_json_gives_twice_is_refused(settings, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"customer_id":"c4","consent_marketing":false,"consent_marketing":true}\n')
    with pytest.raises(BadInput, match="line 1 names consent_marketing twice"):
        landed(settings, path)


def test_customers_who_keep_what_they_said_are_counted(settings, tmp_path):
    say(tmp_path / "0.csv", c1="yes", c4="yes")
    landed(settings, tmp_path)
    (tmp_path / "1.csv").write_text("customer_id,country\nc1,SE\nc4,SE\nc5,SE\n")
    _, told = landed(settings, tmp_path)
    assert any("2 known customers keep their answers" in line for line in told)
