"""A migration removes log-ins from the addresses that are stored."""

import pytest
import sqlalchemy as sa

from intent_tasks.redaction import redact_address
from intent_tasks.stores import migrate, postgres

pytestmark = pytest.mark.database

PLAIN, OLD, NEW = (f"http://{log_in}host/a.csv" for log_in in ("", "bob:old@", "bob:new@"))
OTHERS = (
    "s3://KEY:secret@bucket/a@b?c#d.csv", "https://store/b.csv?sig=secret#x", "file:///a@b?c.csv",
    "abfs://box@account/a.csv", "abfs://box:secret@account/a.csv", "/data/a@b.csv",
    "simplecache::ftp://bob:secret@host/a@b.csv", "http://[::1]:80/a@b.csv",
)  # fmt: skip

FILE = """
INSERT INTO intent.collected_files (path, source, format, size_bytes, version, digest, state,
    blocks_done, last_row, rows_loaded, rows_repeated, rows_ignored, rows_quarantined, rows_read,
    rows_gone, values_unreadable, earlier_digests, started_at, changed_at)
VALUES (:path, :path, 'native', 1, '', :digest, :state, 1, 1, :rows, 0, 0, 0, 1, 0, '{}', '{}',
    :at, :at)
"""
ROW = """
INSERT INTO intent.quarantine (source, row_number, rule, payload, replayable, digest, state,
    found_at) VALUES (:source, 2, 'rule', '{}', true, :digest, :state, now())
"""
RUN = """
INSERT INTO intent.runs (step, as_of_date, bucket, receipt, finished_at)
VALUES (:step, '2026-06-10', -1, CAST(:receipt AS jsonb), now())
"""


@pytest.fixture
def stored(settings, postgres_server, monkeypatch):
    """Settings of a database of the twelfth migration with addresses that hold log-ins."""
    database = sa.make_url(settings.pipeline_url.get_secret_value()).database
    with postgres.engine(postgres_server.url(database)).begin() as admin:
        admin.exec_driver_sql("DROP SCHEMA intent CASCADE")
        admin.exec_driver_sql("CREATE SCHEMA intent AUTHORIZATION intent_migrator")
    upgrade = migrate.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrate.command, "upgrade", lambda config, _: upgrade(config, "0012"))
        migrate.migrate(settings)
    with postgres.changing(settings.migrator_url, None) as connection:
        files = [(PLAIN, "first", "loading", 0), (OLD, "second", "loaded", 5),
                 (NEW, "third", "loaded", 1)]  # fmt: skip
        files += [(path, path, "loaded", 1) for path in OTHERS]
        for day, (path, digest, state, rows) in enumerate(files, 1):
            row = {"path": path, "digest": digest, "state": state, "rows": rows}
            connection.execute(sa.text(FILE), row | {"at": f"2026-06-{day:02d}T00:00:00Z"})
        for source, state in ((OLD, "released"), (NEW, "held"), ("shop.events 2026-06-10", "held")):
            row = {"source": source, "digest": source, "state": state}
            connection.execute(sa.text(ROW), row)
        for step, receipt in (("pin", '{"run_url": "http://ada:pw@mlflow:5000/#/a@b", "n": 1}'),
                              ("window", '{"n": 1}')):  # fmt: skip
            connection.execute(sa.text(RUN), {"step": step, "receipt": receipt})
    return settings


def read(settings, query):
    with postgres.reading(settings.migrator_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_no_log_in_stays_and_a_file_of_two_addresses_is_one(stored):
    migrate.migrate(stored)
    found = read(stored, "SELECT path, source, digest, earlier_digests FROM intent.collected_files")
    expected = [(redact_address(p), redact_address(p), p, []) for p in OTHERS]
    assert sorted(found) == sorted([(PLAIN, PLAIN, "third", ["second"]), *expected])
    rows = read(stored, "SELECT source, state FROM intent.quarantine ORDER BY 1")
    assert rows == [(PLAIN, "released"), ("shop.events 2026-06-10", "held")]
    receipts = read(stored, "SELECT receipt FROM intent.runs ORDER BY step")
    assert receipts == [({"run_url": "http://mlflow:5000/#/a@b", "n": 1},), ({"n": 1},)]
