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
from intent_tasks.steps.evaluate import EVIDENCE, MEASURED
from intent_tasks.steps.train import LOSSES, MODEL, digest_of, folder_of
from intent_tasks.stores import manifest, postgres, registry
from intent_tasks.stores.privacy import erasure
from intent_tasks.tables import model_versions


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Register the training run of a day once; doing it again finds the version.

    Raises:
        BadInput: the day is not evaluated, or its files changed since.
        Refused: somebody whom it learned from was erased since its window was chosen.
        TemporaryFailure: MLflow does not answer.
    """
    evaluated = postgres.receipt_of(settings, "evaluate", as_of_date)
    folder = folder_of(settings, as_of_date)
    if evaluated is None or evaluated["trained"] != digest_of(folder):
        raise BadInput(f"Run `intent step evaluate --as-of-date {as_of_date}` first.")
    erasure.require_none_since_window(settings, as_of_date)
    trained_from = f"{as_of_date}:{evaluated['trained']}"
    version = registry.registered(settings, trained_from)
    if version is None:
        version = _register(settings, as_of_date, folder, evaluated, trained_from)
    receipt = {
        "as_of_date": str(as_of_date),
        "model_version": version.number,
        "run_id": version.run_id,
        "run_url": registry.run_url(settings, version.run_id),
        "gate": evaluated["gate"],
    }
    erasure.require_none_since_window(settings, as_of_date)
    with postgres.writing(settings, "register", as_of_date) as connection:
        _note_days(connection, as_of_date, version)
        postgres.record(connection, "register", as_of_date, receipt)
    return receipt


def _note_days(connection: sa.Connection, as_of_date: date, version: registry.Version) -> None:
    """Write down which days the version learned from, so that an erasure can name the version."""
    window = postgres.recorded_receipt(connection, "window", as_of_date) or {}
    insert = postgresql.insert(model_versions).values(
        model_version=version.number,
        as_of_date=as_of_date,
        first_day=date.fromisoformat(window["first_day"]),
        last_day=date.fromisoformat(window["last_day"]),
        snapshot_digest=window["snapshot_digest"],
        run_id=version.run_id,
    )
    connection.execute(insert.on_conflict_do_nothing())


def _register(
    settings: Settings, as_of_date: date, folder: Path, evaluated: Receipt, trained_from: str
) -> registry.Version:
    window = postgres.receipt_of(settings, "window", as_of_date) or {}
    signed = folder / "signed"
    shutil.rmtree(signed, ignore_errors=True)
    shutil.copytree(folder / MODEL, signed)
    registry.write_signature(signed)
    facts = {
        "as_of_date": str(as_of_date),
        "snapshot_digest": window.get("snapshot_digest"),
        "gate": evaluated["gate"],
    }
    digest = manifest.sign(signed, facts, settings.manifest_key.get_secret_value().encode())
    return registry.register(
        settings,
        signed,
        folder / EVIDENCE,
        trained_from,
        params=facts
        | {
            "seed": settings.seed,
            "model_encoder": settings.model_encoder,
            "model_size": settings.model_size,
        },
        metrics=_metrics(folder),
        curve=json.loads((folder / LOSSES).read_text()),
        tags={
            registry.GATE: evaluated["gate"],
            registry.MANIFEST_DIGEST: digest,
            "as_of_date": str(as_of_date),
        },
    )


def _metrics(folder: Path) -> dict[str, float]:
    measured = json.loads((folder / MEASURED).read_text())
    values = {
        f"{name}_{metric}": estimate["value"]
        for name, row in measured.items()
        for metric, estimate in row.items()
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}
