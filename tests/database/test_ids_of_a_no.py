"""A no counts for its customer, however the id is written and the row can be read."""

import pytest

from intent_tasks.errors import BadInput
from tests.database.test_collect_tables import CUSTOMERS, agreed, landed
from tests.database.test_no_stays_no import listed, predicted, say, write

pytestmark = pytest.mark.database

# ── Ids that are written otherwise ────────────────────────────────────────────────────────────────

SPELLINGS = {
    "4711": ["4711.0", "4711.00", "004711", "\uff14\uff17\uff11\uff11", "'4711'", "4711\ufeff"],
    "c4": [" c4 ", "c4\u00a0", "c4\u200b", "C4", "\u2060c4", "c4\u3000", "c04", '"""c4"""'],
    "josé@x.se": ["jose\u0301@x.se", "JOSÉ@x.se", "josé@x.se\u200e"],
}


@pytest.mark.parametrize(
    ("known", "spelling"), [(known, text) for known, texts in SPELLINGS.items() for text in texts]
)
def test_a_no_of_an_id_that_is_written_otherwise_counts(settings, tmp_path, known, spelling):
    say(tmp_path / "0.csv", **{known: "yes", "c1": "yes"})
    landed(settings, tmp_path)
    assert sorted(listed(settings)) == sorted(["c1", known])
    write(tmp_path / "1.csv", f"{spelling},SE,no,no,yes", "c1,SE,yes,yes,no")
    _, told = landed(settings, tmp_path)
    assert any("1 customers whose ids are written otherwise here" in line for line in told)
    assert listed(settings) == predicted(settings) == ["c1"]


def test_a_no_of_an_id_that_is_written_otherwise_counts_in_the_same_file(settings, tmp_path):
    write(tmp_path / "0.csv", "c4,SE,yes,yes,no", " c4,SE,no,no,yes", "c1,SE,yes,yes,no")
    landed(settings, tmp_path)
    assert listed(settings) == ["c1"]


def test_only_the_answer_that_was_no_is_taken_over(settings, tmp_path):
    say(tmp_path / "0.csv", c4="yes")
    landed(settings, tmp_path)
    write(tmp_path / "1.csv", "C4,SE,yes,no,")
    landed(settings, tmp_path)
    assert agreed(settings)[-1] == ("c4", True, False, False)


def test_ids_that_differ_in_case_are_two_where_a_file_has_both(settings, tmp_path):
    say(tmp_path / "0.csv", aB3="yes", Ab3="no", c1="yes", s1="no", c10="yes")
    landed(settings, tmp_path)
    assert sorted(listed(settings)) == ["aB3", "c1", "c10"]
    say(tmp_path / "1.csv", aB3="yes", AB3="no")
    landed(settings, tmp_path)
    assert sorted(listed(settings)) == ["aB3", "c1", "c10"]


# ── Rows whose customer cannot be read ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp850", "mac-roman"])
def test_an_unusable_row_in_another_encoding_takes_no_no_with_it(settings, tmp_path, encoding):
    say(tmp_path / "0.csv", **{"josé@x.se": "yes", "müller": "yes", "c1": "yes"})
    landed(settings, tmp_path)
    text = CUSTOMERS + "josé@x.se,SE,no,no,yes\nmüller,DE,no,no,yes\nc1,SE,yes,yes,no\n"
    (tmp_path / "1.csv").write_bytes(text.encode(encoding))
    _, told = landed(settings, tmp_path)
    assert any(line.find("2 customers whose rows cannot be used agree to nothing") > 0
               for line in told)  # fmt: skip
    assert listed(settings) == ["c1"]


UNREADABLE = {
    "cyrillic.csv": CUSTOMERS.encode() + "иван,RU,no,no,yes\nc1,SE,yes,yes,no\n".encode("cp1251"),
    "line.jsonl": b'{"customer_id":"\xff\xfe","consent_marketing":false}\n{"customer_id":"c1"}\n',
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_is_refused_where_it_cannot_be_known_whom_a_row_means(settings, tmp_path, name):
    say(tmp_path / "0.csv", c1="yes")
    landed(settings, tmp_path)
    (tmp_path / name).write_bytes(UNREADABLE[name])
    with pytest.raises(BadInput, match=r"line \d names a customer in bytes .*encoding = "):
        landed(settings, tmp_path)


BROKEN = {
    "escape.jsonl": r'{"customer_id":"\u00634","consent_marketing":false',
    "tilde.csv": "c4~SE~no~no",
    "spelling.csv": "C4 ,SE,no,no",
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_customer_of_a_broken_line_is_found(settings, tmp_path, name):
    own = tmp_path / "ours.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\ndelimiter = "~"\n[shapes.customers]\n'
        'customer_id = "customer_id"\nconsent_marketing = "consent_marketing"\n'
        'consent_personalisation = "consent_personalisation"\nsuppressed = "suppressed"\n'
    )
    say(tmp_path / "0.csv", c1="yes", c4="yes")
    landed(settings, tmp_path / "0.csv")
    header = CUSTOMERS.replace(",", "~") if name == "tilde.csv" else CUSTOMERS
    good = header.strip() and "c1,SE,yes,yes,no".replace(",", "~" if "~" in header else ",")
    lines = [BROKEN[name], '{"customer_id":"c1"}'] if name.endswith("jsonl") else [
        header.strip(), BROKEN[name], good
    ]  # fmt: skip
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    landed(settings, tmp_path / name, layout=str(own) if name == "tilde.csv" else "native")
    assert listed(settings) == ["c1"]
