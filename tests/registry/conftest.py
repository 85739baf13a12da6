"""A real MLflow server, and a training run that only has to be registered."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.local import ports
from intent_tasks.local.supervisor import wait_until
from intent_tasks.local.up import is_ok
from intent_tasks.steps import register
from intent_tasks.stores import ledger, registry
from intent_tasks.stores.training_files import (
    EVIDENCE,
    LOSSES,
    METRICS_FILE,
    MODEL,
    TEST,
    digest_of,
    folder_of,
)

DAY = date(2026, 6, 10)


@dataclass(frozen=True)
class Server:
    """A running MLflow server: its address and where it keeps artifacts."""

    url: str
    artifacts: Path


@pytest.fixture(scope="session")
def mlflow_server():
    """The server, on files of its own."""
    folder = Path(tempfile.mkdtemp(prefix="intent-mlflow-"))
    port = ports.free_ports(1)[0]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": (folder / "artifacts").as_uri(),
        "MLFLOW_SERVER_ALLOWED_HOSTS": "*",  # also through the relay of the tests
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: is_ok(f"http://127.0.0.1:{port}/health"), "MLflow", 300)
        yield Server(f"http://127.0.0.1:{port}", folder / "artifacts")
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)
        shutil.rmtree(folder)


@pytest.fixture
def installed(settings, mlflow_server, monkeypatch):
    """Settings of an installation with a model name of its own, and a training run of DAY."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    name = f"intent {secrets.token_hex(4)}"
    more = {"mlflow_url": mlflow_server.url, "model_name": name}
    found = settings.model_copy(update=more)
    train(found, DAY)
    return found


def train(settings, day, weights=b"weights", gate="passed"):
    """Leave what `window`, `train` and `evaluate` of a day leave."""
    folder = folder_of(settings, day)
    (folder / MODEL).mkdir(parents=True, exist_ok=True)
    rates = {str(h): 0.25 for h in HORIZONS_DAYS}
    size = {"events": 8, "steps": 4, "width": 4, "depth": 1}
    built = {"encoder": "mlp", "size": size, "vocabulary_sizes": {}, "mixed_precision": False}
    config = {"input_version": INPUT_VERSION, "architecture": built}
    config |= {"base_rates": rates, "thresholds": rates}
    for name, content in (("config.json", json.dumps(config).encode()), ("weights.npz", weights),
                          ("vocabulary.json", b"{}")):  # fmt: skip
        (folder / MODEL / name).write_bytes(content)
    pq.write_table(pa.table({"probability": np.zeros(3)}), folder / TEST)
    (folder / METRICS_FILE).write_text(json.dumps({"served_7d": {"auc": {"value": 0.7}}}))
    (folder / LOSSES).write_text(json.dumps([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]))
    (folder / EVIDENCE).write_text("<p>Evidence.</p>")
    window = {"first_day": str(day), "last_day": str(day), "snapshot_digest": "digest"}
    evaluated = {"gate": gate, "trained": digest_of(folder)}
    for step, receipt in (("window", window), ("evaluate", evaluated)):
        with ledger.transaction(settings, step, day) as connection:
            ledger.record(connection, step, day, receipt)


@pytest.fixture
def client(installed):
    """Whoever may use MLflow, and nothing else."""
    with registry.connected(installed) as found:
        yield found


@pytest.fixture
def served(installed):
    """The first version, registered and promoted."""
    receipt = register.run(installed, DAY)
    registry.promote(installed, receipt["model_version"])
    return receipt
