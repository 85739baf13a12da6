"""Parse the DAG files in a fresh process, as Airflow's DAG processor does."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

FORBIDDEN = ("tensorflow", "keras", "mlflow", "great_expectations", "lightgbm", "sklearn", "pandas")
"""Packages that take seconds to import; no DAG file may import them."""

MAX_SECONDS = 1.0
"""Longest time that a DAG file may take."""

PROGRAM = """
import json, sys
from airflow.dag_processing.dagbag import DagBag  # the DAG processor has imported it long before
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(json.dumps({
    "seconds": {s.file: s.duration.total_seconds() for s in bag.dagbag_stats},
    "imported": [m for m in sys.argv[2:] if m in sys.modules],
}))
"""


def parse_dags() -> dict[str, Any]:
    """Parse all DAG files; return `seconds` (file → seconds) and the forbidden `imported`."""
    with tempfile.TemporaryDirectory() as home:
        settings = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(ROOT / "dags"), *FORBIDDEN],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
        )
    parsed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return parsed
