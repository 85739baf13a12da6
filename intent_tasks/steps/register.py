"""Register the evaluated model in MLflow, with its evidence and the gate's verdict."""

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, manifest, registry
from intent_tasks.stores.privacy import erasure
from intent_tasks.stores.training_files import (
    EVIDENCE,
    LOSSES,
    METRICS_FILE,
    MODEL,
    TEST,
    digest_of_files,
    folder_of,
)
from intent_tasks.tables import model_versions


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Register the training run of a day once; a second run returns the same version.

    Raises:
        BadInput: the training of the day is not evaluated, or its files changed since then.
        Refused: a customer of its window was erased since the window was chosen, or the version
            that was registered before was deleted in MLflow.
        TemporaryFailure: MLflow does not answer.
    """
    evaluated = ledger.receipt_of(settings, "evaluate", as_of_date)
    if evaluated is None:
        raise _not_evaluated(as_of_date)
    erasure.require_none_since_window(settings, as_of_date)
    folder = folder_of(settings, as_of_date)
    signed = _copy_model(folder, as_of_date, evaluated["trained"])
    version = _register(settings, as_of_date, signed, evaluated)
    receipt = {
        "as_of_date": str(as_of_date),
        "model_version": version.number,
        "run_id": version.run_id,
        "run_url": registry.run_url(settings, version.run_id),
        "gate": evaluated["gate"],
    }
    erasure.require_none_since_window(settings, as_of_date)
    with ledger.transaction(settings, "register", as_of_date) as connection:
        _record_days(connection, as_of_date, version)
        ledger.record(connection, "register", as_of_date, receipt)
    return receipt


def _not_evaluated(as_of_date: date) -> BadInput:
    return BadInput(f"Run `intent step evaluate --as-of-date {as_of_date}` first.")


def _copy_model(folder: Path, as_of_date: date, digest: str) -> Path:
    """Copy the files of the model to a private folder, and check that they are the evaluated ones.

    Args:
        folder: folder of the training run.
        as_of_date: day of the training run.
        digest: checksum of the files that were evaluated.

    Raises:
        BadInput: the files are missing or other ones.
    """
    signed = folder / "signed"
    shutil.rmtree(signed, ignore_errors=True)
    try:
        signed.mkdir(mode=0o700)
        for path in (folder / MODEL).iterdir():
            shutil.copyfile(path, signed / path.name)
        if digest_of_files([*signed.iterdir(), folder / TEST]) == digest:
            return signed
    except FileNotFoundError:
        pass  # the model was trained elsewhere, or its folder was removed
    raise _not_evaluated(as_of_date)


def _record_days(connection: sa.Connection, as_of_date: date, version: registry.Version) -> None:
    """Record the days that the version learned from, so that an erasure can name the version."""
    window = ledger.read_receipt(connection, "window", as_of_date) or {}
    days = {
        "model_version": version.number,
        "as_of_date": as_of_date,
        "first_day": date.fromisoformat(window["first_day"]),
        "last_day": date.fromisoformat(window["last_day"]),
        "snapshot_digest": window["snapshot_digest"],
    }
    insert = postgresql.insert(model_versions).values(run_id=version.run_id, **days)
    connection.execute(insert.on_conflict_do_update(index_elements=["run_id"], set_=days))


def _register(
    settings: Settings, as_of_date: date, signed: Path, evaluated: Receipt
) -> registry.Version:
    """Register the signed files with evidence, metrics and loss curve in MLflow."""
    window = ledger.receipt_of(settings, "window", as_of_date) or {}
    params = {
        "as_of_date": str(as_of_date),
        "snapshot_digest": window.get("snapshot_digest"),
        "gate": evaluated["gate"],
    }
    key = settings.manifest_key.get_secret_value().encode()

    def sign(version: registry.Version) -> str:
        subject = manifest.Subject(settings.model_name, version.number, version.run_id)
        return manifest.sign(signed, subject, params, key)

    registry.write_signature(signed, as_of_date)
    folder = folder_of(settings, as_of_date)
    registration = registry.Registration(
        signed,
        folder / EVIDENCE,
        f"{as_of_date}:{evaluated['trained']}",
        params=params
        | {
            "seed": settings.seed,
            "model_encoder": settings.model_encoder,
            "model_size": settings.model_size,
        },
        metrics=_metrics(folder),
        curve=json.loads((folder / LOSSES).read_text()),
        tags={registry.GATE: evaluated["gate"], "as_of_date": str(as_of_date)},
    )
    return registry.register(settings, registration, sign)


def _metrics(folder: Path) -> dict[str, float]:
    by_model = json.loads((folder / METRICS_FILE).read_text())
    values = {
        f"{name}_{metric}": estimate["value"]
        for name, row in by_model.items()
        for metric, estimate in row.items()
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}
