"""Commands import what they need when they run: `--help`, `sql` and `status` start at once."""

import os
import subprocess
import sys

import pytest
from pydantic import SecretStr

from intent_tasks.local.installation import Installation

pytestmark = pytest.mark.database

HEAVY = ("scipy", "pandas", "sklearn", "pyarrow", "numpy", "mlflow", "great_expectations",
         "tensorflow", "keras", "lightgbm", "matplotlib", "httpx", "requests",
         "sqlalchemy", "psutil")  # fmt: skip

PROGRAM = """
import sys
from intent_tasks import cli
sys.argv[0] = "intent"
try:
    cli.main()
finally:
    heavy = sys.modules.keys() & set({heavy!r})
    print("imported:", *sorted(heavy), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["sql", "SELECT 1"], ["status"]])
def test_a_command_that_reads_little_imports_little(settings, arguments):
    Installation.prepare(settings.home)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *arguments],
        env={**os.environ, **_variables(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[-1] == "imported:"


def _variables(settings):
    values = settings.model_dump(exclude_defaults=True)
    return {
        f"INTENT_{name.upper()}": v.get_secret_value() if isinstance(v, SecretStr) else str(v)
        for name, v in values.items()
    }
