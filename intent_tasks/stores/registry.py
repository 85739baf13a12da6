"""MLflow: training runs, model versions, and the alias by which a person promotes one."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import requests

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import BadInput, TemporaryFailure
from intent_tasks.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

T = TypeVar("T")

CHAMPION, CHALLENGER = "champion", "challenger"
GATE, MANIFEST_DIGEST, APPROVED_BY, REASON = "gate", "manifest_digest", "approved_by", "reason"
"""Tags of a version."""
TRAINED_FROM = "trained_from"
"""Tag of a run: digest of the trained files, by which registering twice finds the first time."""
ARTIFACTS = "model"


@dataclass(frozen=True)
class Version:
    """A registered version: number, the run that trained it and its tags."""

    number: int
    run_id: str
    tags: Mapping[str, str]


@contextmanager
def connected(settings: Settings) -> Iterator["MlflowClient"]:
    """Give a client of the MLflow server.

    Raises:
        TemporaryFailure: the server does not answer.
    """
    os.environ["MLFLOW_TRACKING_USERNAME"] = settings.mlflow_username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = settings.mlflow_password.get_secret_value()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        yield MlflowClient(settings.mlflow_url, settings.mlflow_url)
    except requests.ConnectionError as error:
        raise _away(settings, error) from error
    except MlflowException as error:
        if error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]
            raise _away(settings, error) from error
        raise


def _away(settings: Settings, error: Exception) -> TemporaryFailure:
    reason = str(error).splitlines()[0][:200]
    return TemporaryFailure(
        f"MLflow at {settings.mlflow_url} does not answer: {reason}. Check that it runs "
        "(`intent status`); the step can simply be run again."
    )


def by_alias(settings: Settings, alias: str = CHAMPION) -> Version | None:
    """Return the version that carries an alias, or None."""
    with connected(settings) as client:
        found = _or_none(lambda: client.get_model_version_by_alias(settings.model_name, alias))
    return _version(found) if found else None


def champion(settings: Settings) -> int | None:
    """Return the number of the promoted version, or None."""
    found = by_alias(settings)
    return found.number if found else None


def promote(settings: Settings, version: int) -> None:
    """Give a version the alias `champion`: the call that the MLflow UI makes.

    Raises:
        BadInput: there is no such version.
    """
    with connected(settings) as client:
        found = client.search_model_versions(f"name = '{settings.model_name}'")
        known = sorted(int(each.version) for each in found)
        if version not in known:
            raise BadInput(
                f"There is no version {version} of {settings.model_name}. Versions: "
                f"{', '.join(map(str, known)) or 'none yet; run intent_train in Airflow first'}."
            )
        client.set_registered_model_alias(settings.model_name, CHAMPION, str(version))


def run_url(settings: Settings, run_id: str) -> str:
    """Return the address of the page of a training run."""
    with connected(settings) as client:
        experiment = client.get_run(run_id).info.experiment_id
    return f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{run_id}"


def download(settings: Settings, version: Version, target: Path) -> Path:
    """Copy the files of a version below a folder and return where they are."""
    with connected(settings) as client:
        return Path(client.download_artifacts(version.run_id, ARTIFACTS, str(target)))


def registered(settings: Settings, trained_from: str) -> Version | None:
    """Return the version that was registered from these trained files, or None."""
    with connected(settings) as client:
        experiment = client.get_experiment_by_name(settings.model_name)
        if experiment is None:
            return None
        query = f"tags.{TRAINED_FROM} = '{trained_from}'"
        for run in client.search_runs([experiment.experiment_id], query):
            for found in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
                return _version(found)
    return None


def register(
    settings: Settings,
    folder: Path,
    evidence: Path,
    trained_from: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    curve: list[dict[str, float]],
    tags: Mapping[str, str],
) -> Version:
    """Log a training run and register it as a new version, which becomes challenger.

    Args:
        settings: of this installation.
        folder: files of the model, signed.
        evidence: the page that shows how it did.
        trained_from: digest that tells this training from others.
        params: what it was trained with.
        metrics: name → value.
        curve: what was seen at each step while it learned, each as name → value.
        tags: of the version.
    """
    from mlflow.entities import Metric, Param

    with connected(settings) as client:
        experiment = client.get_experiment_by_name(settings.model_name)
        place = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(settings.model_name)
        )
        run = client.create_run(place, tags={TRAINED_FROM: trained_from}).info.run_id
        values = [Metric(name, value, 0, 0) for name, value in metrics.items()]
        seen = [
            Metric(name, value, 0, int(look["step"]))
            for look in curve
            for name, value in look.items()
            if name != "step"
        ]
        client.log_batch(
            run, values + seen, [Param(name, str(value)) for name, value in params.items()]
        )
        client.log_artifacts(run, str(folder), ARTIFACTS)
        client.log_artifact(run, str(evidence))
        version = _create_version(client, settings.model_name, run, tags)
        client.set_terminated(run)
    return _version(version)


def write_signature(folder: Path) -> None:
    """Write the file that tells MLflow what goes into the model and what comes out."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    whole, real = np.dtype(np.int32), np.dtype(np.float32)
    inputs: list[ColSpec | TensorSpec] = [
        TensorSpec(whole, (-1, len(CODE_COLUMNS)), "codes"),
        TensorSpec(real, (-1, len(NUMERIC)), "numeric"),
        TensorSpec(whole, (-1,), "place"),
        TensorSpec(real, (-1, -1, len(STEP)), "steps"),
        TensorSpec(real, (-1, len(FEATURES)), "features"),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(np.float64), (-1, len(HORIZONS_DAYS)), "probabilities")
    ]
    model = Model(signature=ModelSignature(Schema(inputs), Schema(outputs)))
    model.add_flavor("intent", code="intent_tasks.models.files.load")
    model.save(str(folder / "MLmodel"))


def _create_version(
    client: "MlflowClient", name: str, run_id: str, tags: Mapping[str, str]
) -> "ModelVersion":
    if _or_none(lambda: client.get_registered_model(name)) is None:
        client.create_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACTS}"
    version = client.create_model_version(name, source, run_id, tags=dict(tags))
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return version


def _version(found: "ModelVersion") -> Version:
    return Version(int(found.version), str(found.run_id), dict(found.tags))


def _or_none(ask: Callable[[], T]) -> T | None:
    from mlflow.exceptions import RestException

    try:
        return ask()
    except RestException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
