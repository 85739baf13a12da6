"""A PostgreSQL server with a migrated database, while a benchmark runs."""

import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from intent_tasks.local import databases, ports
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.stores import migrate
from tools.testbed.settings import settings_for


def clean_up_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, so that servers are stopped and folders removed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@contextmanager
def installation(name: str, **changes: object) -> Iterator[tuple[Server, Settings]]:
    """Yield a server with safe writes, and the settings of a migrated database on it.

    Args:
        name: of the benchmark, for its temporary folder.
        changes: settings that differ from those of a fresh installation.
    """
    clean_up_on_sigterm()
    folder = Path(tempfile.mkdtemp(prefix=f"intent-{name}-"))
    folder.chmod(0o755)  # the server may run under another account
    server = Server(folder / "postgres", ports.free_ports(1)[0], SecretStr(secrets.token_hex(8)))
    home = folder / "home"
    home.mkdir()
    try:
        server.start()
        databases.create(server, {role: role for role in databases.ROLES})
        values = {"bucket_count": Settings.model_fields["bucket_count"].default, **changes}
        settings = settings_for(server, databases.SHOP, home, **values)
        migrate.migrate(settings)
        yield server, settings
    finally:
        server.stop()
        shutil.rmtree(folder)
