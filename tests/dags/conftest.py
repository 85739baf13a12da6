"""Airflow in a throw-away home, with the DAGs and plugins of this checkout."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

AIRFLOW_CFG = f"""
[core]
dags_folder = {ROOT / "dags"}
plugins_folder = {ROOT / "plugins"}
load_examples = False
[logging]
logging_level = WARNING
"""


def _import_airflow() -> None:
    """Airflow reads where it lives when it is imported; servers of other tests must not see it."""
    home = Path(tempfile.mkdtemp(prefix="intent-airflow-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "airflow.cfg").write_text(AIRFLOW_CFG)
    before = os.environ.copy()
    os.environ["AIRFLOW_HOME"] = str(home)
    import airflow.settings  # noqa: F401

    os.environ.clear()
    os.environ.update(before)
    sys.path.insert(0, str(ROOT / "plugins"))


_import_airflow()


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make the steps run this Python text instead of the real ones."""

    def write(text: str) -> Path:
        script = tmp_path / "interpreter"
        # To a shell the second line starts Python, whose path may hold a space; to Python, text.
        start = f"#!/bin/sh\n''''exec '{sys.executable}' -S \"$0\" \"$@\" # '''\n"
        script.write_text(start + textwrap.dedent(text))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("INTENT_PYTHON", str(script))
        return script

    return write
