"""Seconds to parse each DAG file, and whether it imports what it must not.

Claim: under 1 s a file, without TensorFlow, MLflow or Great Expectations.
Command: `python -m benchmarks.dag_parsing`
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

FORBIDDEN = ("tensorflow", "keras", "mlflow", "great_expectations", "lightgbm", "sklearn", "pandas")
SECONDS_ALLOWED = 1.0

PROGRAM = """
import json, sys
from airflow.dag_processing.dagbag import DagBag  # the dag processor has imported it long before
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(json.dumps({
    "seconds": {s.file: s.duration.total_seconds() for s in bag.dagbag_stats},
    "imported": [m for m in sys.argv[2:] if m in sys.modules],
}))
"""


def parse() -> dict[str, Any]:
    """Parse the DAG files in a fresh process; return seconds by file, and forbidden imports."""
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


if __name__ == "__main__":
    result = parse()
    for name, seconds in sorted(result["seconds"].items()):
        print(f"{name:20} {seconds:6.3f} s   (allowed: {SECONDS_ALLOWED} s)")
    print("forbidden imports:", ", ".join(result["imported"]) or "none")
    sys.exit(bool(result["imported"]) or max(result["seconds"].values()) >= SECONDS_ALLOWED)
