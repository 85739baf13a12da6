"""A disk that is really full: a step ends in the named error, and nothing is lost or half there."""

import hashlib
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks import cli
from intent_tasks.errors import TemporaryFailure
from intent_tasks.formats import blocks
from intent_tasks.local import postgres as server_of
from intent_tasks.steps import collect, extract, score
from intent_tasks.stores import ledger, postgres, score_files, snapshots
from intent_tasks.stores.collecting import landing
from tests.database.conftest import CUSTOMERS, DAY, pin

pytestmark = pytest.mark.database

ROOM = 32 << 20
LITTLE = 96 << 10


@pytest.fixture
def disk():
    """A disk of its own with little room, and what gives it more."""
    place = Path(tempfile.mkdtemp(prefix="intent-disk-"))
    place.chmod(0o755)  # the server may run under another account
    mounted = _mount(place, f"size={LITTLE},mode=755")
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place, lambda: _mount(place, f"remount,size={ROOM}").check_returncode()
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def _mount(place, options):
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    with suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, text=True, check=False)
    return subprocess.CompletedProcess(command, 1, "", "there is no mount")


def ended(monkeypatch, capsys, work):
    """Return the message and the exit code of the command line when its command does this."""
    monkeypatch.setattr(cli, "app", work)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return capsys.readouterr().err, stopped.value.code


def files_in(folder):
    """Return the names of all files, hidden ones too."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_an_extract_on_a_full_disk_can_be_run_again(small_shop, disk, monkeypatch, capsys):
    place, make_room = disk
    settings = small_shop.model_copy(update={"home": place, "history_days": 20})
    day = DAY.replace(day=DAY.day + 19)
    message, code = ended(monkeypatch, capsys, lambda: extract.run(settings, day))
    assert (code, message.splitlines()[-1].split(":")[0]) == (75, "TemporaryFailure")
    assert "The disk is full at" in message
    done = snapshots.days(place)
    for on in done:
        assert ledger.receipt_of(settings, snapshots.STEP, on) is not None
    assert ledger.receipt_of(settings, "extract", day) is None
    assert not [name for name in files_in(place) if name.startswith(".")], "no rubbish is left"
    make_room()
    assert extract.run(settings, day)["days_written"] == 20 - len(done)
    elsewhere = settings.model_copy(update={"home": place / "whole"})
    extract.run(elsewhere, day)
    days = snapshots.days(place)
    assert len(days) == 20
    assert snapshots.digest(place, days) == snapshots.digest(elsewhere.home, days)


def test_scores_on_a_full_disk_leave_those_that_were_there(
    scored_shop, disk, monkeypatch, capsys, tmp_path
):
    place, make_room = disk
    (place / "snapshots").symlink_to(tmp_path / "snapshots")
    settings = scored_shop.model_copy(update={"home": place})
    monkeypatch.setattr(score.manifest, "verify", lambda *_: score.manifest.Verified({}, {}))
    monkeypatch.setattr(score, "_scores", lambda *_: rows(2000))
    pin(settings, DAY)
    with ledger.transaction(settings, "pin", DAY) as connection:
        more = {"model_path": "m", "manifest_digest": "d"}
        receipt = ledger.read_receipt(connection, "pin", DAY) | more
        ledger.record(connection, "pin", DAY, receipt)
    before = ledger.receipt_of(settings, "score", DAY, 0)
    there = rows(3)
    digest = score_files.write(place, DAY, 0, there)
    message, code = ended(monkeypatch, capsys, lambda: score.run(settings, DAY, 0))
    assert code == 75
    assert "The disk is full at" in message
    assert ledger.receipt_of(settings, "score", DAY, 0) == before
    assert score_files.read(place, DAY, 0, digest).num_rows == 3
    assert files_in(place / "scores") == ["bucket=000.parquet"]
    make_room()
    assert score.run(settings, DAY, 0)["scored"] == 2000


def rows(count):
    """Return scores that do not compress."""
    keys = [hashlib.sha256(str(n).encode()).hexdigest()[:32] for n in range(count)]
    texts = {"role": "champion", "stage": "browsing", "band": "cool", "fallback_level": "model"}
    columns = {name: pa.array([text] * count) for name, text in texts.items()}
    chances = {
        name: pa.array([int(key[:8], 16) / 2**32 for key in keys])
        for name in score_files.SCHEMA.names
        if name.startswith("probability")
    }
    reasons = {name: pa.array(keys) for name in ("reasons", "reason", "channel")}
    return pa.table({"customer_key": keys} | columns | chances | reasons)


@pytest.fixture
def tablespace(postgres_server, disk):
    """Name of a place of the server's on that disk."""
    place, make_room = disk
    folder = place / "tables"
    folder.mkdir()
    if user := server_of.account():
        os.chown(folder, user.pw_uid, user.pw_gid)
    engine = sa.create_engine(
        postgres_server.url().get_secret_value(),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    )
    with engine.connect() as admin:
        admin.exec_driver_sql(f"CREATE TABLESPACE little LOCATION '{folder}'")
        admin.exec_driver_sql("GRANT CREATE ON TABLESPACE little TO PUBLIC")
        yield "little", make_room
        admin.exec_driver_sql("DROP TABLESPACE little")


def test_collecting_into_a_database_whose_disk_is_full_goes_on_when_there_is_room(
    tablespace, settings, tmp_path, monkeypatch
):
    name, make_room = tablespace
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20_000)
    path = tmp_path / "events.csv"
    lines = [f"e{n},{CUSTOMERS[0]},view,{DAY}T12:00:00Z\n" for n in range(3000)]
    path.write_text("event_id,customer_id,event_type,occurred_at\n" + "".join(lines))
    with postgres.changing(settings.shop_owner_url, "collect") as connection:
        landing.prepare(connection)
        connection.exec_driver_sql(f"ALTER TABLE shop.events SET TABLESPACE {name}")
    with pytest.raises(TemporaryFailure, match=r"No space left on device.*be run again"):
        collect.collect(settings, str(path), "native", lambda _: None)
    known, loaded = counts(settings)
    assert 0 < known == loaded < 3000
    make_room()
    collect.collect(settings, str(path), "native", lambda _: None)
    assert counts(settings) == (3000, 3000)


def counts(settings):
    """Return the events that are there, and those that the ledger tells of."""
    query = "SELECT (SELECT count(*) FROM shop.events), (SELECT sum(rows_loaded) FROM {})"
    with postgres.reading(settings.shop_owner_url) as connection:
        row = connection.execute(sa.text(query.format("intent.collected_files"))).one()
    return tuple(int(value) for value in row)
