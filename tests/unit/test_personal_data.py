"""The register of personal data names every place that can hold a customer."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.stores.privacy import personal_data
from intent_tasks.tables import intent_metadata, shop_metadata

ROOT = Path(__file__).parents[2]
CODE = [ROOT / name for name in ("intent_tasks", "expectations", "plugins")]
REGISTERED = {place.table for place in (*personal_data.TABLES, *personal_data.TOMBSTONES)}
OF_CUSTOMERS = re.compile(r"customer_(id|key)s?|payload")


def tables_of_customers(metadata):
    """Return the tables with a column that names a customer or holds a row as it was."""
    tables = metadata.tables.values()
    return {t for t in tables if any(OF_CUSTOMERS.fullmatch(column.name) for column in t.columns)}


def test_every_table_with_a_column_of_customers_is_in_the_register():
    assert tables_of_customers(intent_metadata) == REGISTERED
    assert tables_of_customers(shop_metadata) == set(personal_data.OWNED_SHOP_TABLES)


FILES = [path for root in CODE for path in root.rglob("*.py")]


def values_of(constant, files):
    """Return the texts that modules define a constant as."""
    defined = re.compile(rf'^{constant} = "([^"/]+)"', re.MULTILINE)
    return {value for path in files for value in defined.findall(path.read_text(encoding="utf-8"))}


def names_below_home(path):
    """Return the first parts of the paths below INTENT_HOME that a module names.

    A constant, also one of another module, counts by its value.
    """
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r'home / "([^"/]+)', text))
    names |= set(re.findall(r'home\.r?glob\("([\w.]+)', text))
    for module, constant in re.findall(r'home / (?:f"\{)?(?:(\w+)\.)?([A-Z_]+)\b', text):
        files = [file for file in FILES if file.stem == module] if module else [path]
        values = values_of(constant, files) or values_of(constant, FILES)
        assert values, f"{path.name} names {constant}, which no module defines"
        names |= values
    return names


def test_every_name_below_the_home_is_in_the_register_or_declared_empty_of_customers():
    found = {
        name for root in CODE for path in root.rglob("*.py") for name in names_below_home(path)
    }
    known = {f.name for f in personal_data.FOLDERS} | personal_data.WITHOUT_CUSTOMERS.keys()
    assert {"snapshots", "data_docs", "contract.toml", "logs"} <= found
    assert found - known == set()


def test_every_folder_of_logs_is_searched_by_an_erasure():
    known = {Path(name).parts[0] for name in personal_data.LOGS}
    assert known <= personal_data.WITHOUT_CUSTOMERS.keys()
    written = re.compile(r'(?:base_log_folder|childlogdir|logfile)"?[:=] ?(?:home / )?f?"([^"/]+)')
    found = {name for path in FILES for name in written.findall(path.read_text(encoding="utf-8"))}
    assert found == {"logs"}


def _settings(**changes):
    url = SecretStr("postgresql://nowhere/shop")
    names = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "identity_key")
    given = dict.fromkeys(names, url) | {"manifest_key": url, "home": Path(), "mlflow_url": "x"}
    return Settings(**given | changes, _env_file=None)


def test_a_limit_can_be_changed_by_the_name_of_its_place():
    settings = _settings(retention_days={"exports": 7})
    by_name = {
        place.name: personal_data.keep_days(settings, place) for place in personal_data.FOLDERS
    }
    assert by_name == {"snapshots": 400, "scores": 30, "training": 400, "exports": 7}
    personal_data.check_limits(settings)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"export": 7}, "names export; places with a limit: .*exports"),
        ({"customer_keys": 7}, "names customer_keys"),
        ({"scores": 0}, "scores must be at least 1 day"),
        ({"snapshots": 100}, "keeps snapshots 100 days, but 210 are read"),
    ],
)
def test_a_limit_that_cannot_be_is_named(limits, message):
    with pytest.raises(BadInput, match=message):
        personal_data.check_limits(_settings(retention_days=limits))
