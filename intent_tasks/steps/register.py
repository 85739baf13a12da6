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
    MEASURED,
    MODEL,
    TEST,
    digest_of_files,
    folder_of,
)
from intent_tasks.tables import model_versions


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Register the training run of a day once; doing it again finds the version.

    Raises:
        BadInput: the day is not evaluated, or its files changed since.
        Refused: somebody whom it learned from was erased since its window was chosen, or what was
            registered before was deleted in MLflow.
        TemporaryFailure: MLflow does not answer.
    """
    evaluated = ledger.receipt_of(settings, "evaluate", as_of_date)
    if evaluated is None:
        raise _not_evaluated(as_of_date)
    erasure.require_none_since_window(settings, as_of_date)
    folder = folder_of(settings, as_of_date)
    signed = _copied(folder, as_of_date, evaluated["trained"])
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
        _note_days(connection, as_of_date, version)
        ledger.record(connection, "register", as_of_date, receipt)
    return receipt


def _not_evaluated(as_of_date: date) -> BadInput:
    return BadInput(f"Run `intent step evaluate --as-of-date {as_of_date}` first.")


def _copied(folder: Path, as_of_date: date, trained: str) -> Path:
    """Copy the files of the model to a private folder, and require that they are the evaluated.

    Raises:
        BadInput: they are not.
    """
    signed = folder / "signed"
    shutil.rmtree(signed, ignore_errors=True)
    try:
        signed.mkdir(mode=0o700)
        for path in (folder / MODEL).iterdir():
            shutil.copyfile(path, signed / path.name)
        if digest_of_files([*signed.iterdir(), folder / TEST]) == trained:
            return signed
    except FileNotFoundError:
        pass  # it was not trained here, or its folder was removed
    raise _not_evaluated(as_of_date)


def _note_days(connection: sa.Connection, as_of_date: date, version: registry.Version) -> None:
    """Write down which days the version learned from, so that an erasure can name the version."""
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
    window = ledger.receipt_of(settings, "window", as_of_date) or {}
    facts = {
        "as_of_date": str(as_of_date),
        "snapshot_digest": window.get("snapshot_digest"),
        "gate": evaluated["gate"],
    }
    key = settings.manifest_key.get_secret_value().encode()

    def sign(version: registry.Version) -> str:
        subject = manifest.Subject(settings.model_name, version.number, version.run_id)
        return manifest.sign(signed, subject, facts, key)

    registry.write_signature(signed, as_of_date)
    folder = folder_of(settings, as_of_date)
    registration = registry.Registration(
        signed,
        folder / EVIDENCE,
        f"{as_of_date}:{evaluated['trained']}",
        params=facts
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
    measured = json.loads((folder / MEASURED).read_text())
    values = {
        f"{name}_{metric}": estimate["value"]
        for name, row in measured.items()
        for metric, estimate in row.items()
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}
