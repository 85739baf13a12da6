"""Whatever a step or a command writes, its owner alone may read it."""

import os
import stat
import subprocess
import sys

import pytest

from tests.database.conftest import DAY, pin, score

pytestmark = pytest.mark.database


def run(settings, *arguments):
    """Run `intent` in a process that takes nothing from the mode of its files."""
    urls = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "shop_owner_url")
    secret = (*urls, "identity_key", "manifest_key")
    given = {f"INTENT_{n.upper()}": getattr(settings, n).get_secret_value() for n in secret}
    given |= {
        "INTENT_HOME": str(settings.home),
        "INTENT_MLFLOW_URL": settings.mlflow_url,
        "INTENT_BUCKET_COUNT": str(settings.bucket_count),
        "INTENT_HISTORY_DAYS": "4",
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INTENT_")}
    command = [sys.executable, "-m", "intent_tasks.cli", *map(str, arguments)]
    return subprocess.run(
        command, env=environment | given, umask=0, capture_output=True, text=True, check=False
    )


def test_files_of_steps_and_commands_are_their_owners_alone(small_shop):
    home = small_shop.home / "made by the first command" / "state"
    settings = small_shop.model_copy(update={"home": home})
    output = run(settings, "step", "extract", "--as-of-date", DAY)
    assert output.returncode == 0, output.stderr
    assert run(settings, "step", "validate", "--as-of-date", DAY).returncode in (0, 78)
    pin(settings, DAY)
    score(settings, DAY)
    output = run(settings, "step", "publish", "--as-of-date", DAY)
    assert output.returncode == 0, output.stderr
    kinds = {path.name for path in home.iterdir()}
    assert kinds >= {"snapshots", "scores", "data_docs", "validation_results"}
    wide = [p for p in (home, *home.rglob("*")) if stat.S_IMODE(p.stat().st_mode) & 0o077]
    assert wide == []
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o177 for path in files} == {0}
