import os
import shutil
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.pool import NullPool

from intent_tasks.errors import IntentError
from intent_tasks.local import ports, postgres

pytestmark = pytest.mark.database


def _server(folder: Path) -> postgres.Server:
    return postgres.Server(folder, ports.free_ports(1)[0], SecretStr("right"))


def _ask(url: SecretStr, question: str) -> object:
    engine = sa.create_engine(url.get_secret_value(), poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(sa.text(question)).scalar()


@pytest.fixture
def open_folder(tmp_path_factory):
    """A folder the server's account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="intent test é "))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_starts_in_a_long_path_with_spaces_and_umlauts_without_a_socket(open_folder):
    deep = open_folder / ("a very long näme " * 6).strip()
    server = _server(deep)
    server.start()
    try:
        assert _ask(server.url(), "SHOW unix_socket_directories") == ""
        assert _ask(server.url(), "SHOW listen_addresses") == "127.0.0.1"
        assert _ask(server.url(), "SHOW server_version_num")[:2] == "18"
    finally:
        server.stop()
    assert not server.is_running()


def test_requires_the_password(open_folder):
    server = _server(open_folder / "postgres")
    server.start()
    try:
        wrong = SecretStr(server.url().get_secret_value().replace("right", "wrong"))
        with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
            _ask(wrong, "SELECT 1")
    finally:
        server.stop()


def test_an_interrupted_creation_is_repeated(open_folder):
    server = _server(open_folder / "postgres")
    half = server.folder / "data.part"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    server.create()
    assert (server.data / "global").is_dir()
    assert not half.exists()


def test_a_failure_quotes_initdb(open_folder):
    server = _server(open_folder / "postgres")
    server.data.mkdir(parents=True)
    with pytest.raises(IntentError, match=r"pg_ctl failed for .*is not a database cluster"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter folders the server may not")
def test_root_falls_back_to_a_folder_the_server_may_enter(open_folder, monkeypatch):
    monkeypatch.setattr(postgres, "FALLBACK", open_folder / "fallback")
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    target = private / "postgres"
    chosen = postgres.choose_folder(target)
    assert chosen.parent == open_folder / "fallback"
    assert chosen == postgres.choose_folder(target), "the same folder again the next time"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has binaries the server may not run")
def test_root_copies_binaries_the_server_may_not_run(open_folder, monkeypatch):
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    postgres.copy_package(postgres.package_folder(), private / "site-packages")
    hidden = private / "site-packages" / postgres.PACKAGE
    monkeypatch.setattr(postgres, "package_folder", lambda: hidden)
    server = _server(open_folder / "postgres")
    server.start()
    try:
        assert server.binaries().is_relative_to(server.folder)
        assert _ask(server.url(), "SELECT 1") == 1
    finally:
        server.stop()
