"""MLflow: training runs, model versions, and the alias by which a person promotes one."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from intent_tasks.core.encoding import NUMERIC, STEP
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import CODE_COLUMNS
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import manifest, mlflow_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

T = TypeVar("T")

CHAMPION, CHALLENGER = "champion", "challenger"
GATE, MANIFEST_DIGEST, APPROVED_BY, REASON = "gate", "manifest_digest", "approved_by", "reason"
"""Tags of a version."""
TRAINED_FROM = "trained_from"
"""Tag of a run: digest of the trained files, by which a second registration finds the first."""
ARTIFACTS = "model"
FINISHED = "FINISHED"
"""Status of a run whose version is complete."""
RUN_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Version:
    """A registered version: number, the run that trained it and its tags."""

    number: int
    run_id: str
    tags: Mapping[str, str]


@contextmanager
def connected(settings: Settings) -> Iterator["MlflowClient"]:
    """Yield a client of the MLflow server, and translate its errors into failures with advice.

    Raises:
        TemporaryFailure: the server does not answer, or stops in the middle of an answer.
        Refused: it refuses the log-in or the request.
        BadInput: its address is invalid.
    """
    mlflow_errors.require_address(settings)
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
    except (MlflowException, UnicodeError, *mlflow_errors.UNREACHABLE) as error:
        raise mlflow_errors.failure_of(settings, error) from error


def by_alias(settings: Settings, alias: str = CHAMPION) -> Version | None:
    """Return the version that carries an alias, or None."""
    with connected(settings) as client:
        entry = _or_none(lambda: client.get_model_version_by_alias(settings.model_name, alias))
    return _version(entry) if entry else None


def champion(settings: Settings) -> int | None:
    """Return the number of the promoted version, or None."""
    version = by_alias(settings)
    return version.number if version else None


def find_miswritten_alias(settings: Settings, alias: str = CHAMPION) -> str | None:
    """Return an alias that differs from the given one only by capitals, or None."""
    with connected(settings) as client:
        model = _or_none(lambda: client.get_registered_model(settings.model_name))
    aliases = model.aliases if model else {}
    return next((name for name in aliases if name.lower() == alias and name != alias), None)


def promote(settings: Settings, version: int) -> None:
    """Give a version the alias `champion`: the call that the MLflow UI makes.

    Raises:
        BadInput: there is no such version.
    """
    name = settings.model_name
    with connected(settings) as client:
        if _or_none(lambda: client.get_model_version(name, str(version))) is None:
            raise BadInput(f"There is no version {version} of {name}. {_newest(client, name)}")
        client.set_registered_model_alias(name, CHAMPION, str(version))


def _newest(client: "MlflowClient", name: str) -> str:
    model = _or_none(lambda: client.get_registered_model(name))
    numbers = [int(each.version) for each in (model.latest_versions if model else None) or ()]
    if not numbers:
        return "There is none yet; run intent_train in Airflow first."
    return f"The newest is {max(numbers)}."


def run_url(settings: Settings, run_id: str) -> str:
    """Return the address of the page of a training run."""
    with connected(settings) as client:
        experiment = client.get_run(run_id).info.experiment_id
    return f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{run_id}"


def list_files(settings: Settings, version: Version, max_count: int) -> dict[str, int]:
    """Return the files of a version as MLflow lists them, path → size in bytes.

    Args:
        settings: of this installation.
        version: the version.
        max_count: number of files and folders after which the list ends.
    """
    sizes: dict[str, int] = {}
    folders = [ARTIFACTS]
    with connected(settings) as client:
        while folders and len(sizes) < max_count:
            for entry in client.list_artifacts(version.run_id, folders.pop()):
                if entry.is_dir:
                    folders.append(entry.path)
                else:
                    sizes[entry.path.removeprefix(f"{ARTIFACTS}/")] = int(entry.file_size or 0)
                if len(sizes) + len(folders) > max_count:
                    return sizes | dict.fromkeys(folders, 0)
    return sizes


def download(settings: Settings, version: Version, sizes: Mapping[str, int], target: Path) -> Path:
    """Copy files that MLflow lists to a folder and return the folder of the copies.

    Args:
        settings: of this installation.
        version: the version.
        sizes: path of each file → its bytes, as MLflow lists them.
        target: folder.

    Raises:
        TemporaryFailure: MLflow does not answer, or a file is shorter than listed.
    """
    from mlflow.exceptions import MlflowException

    copied = target / ARTIFACTS
    with connected(settings) as client:
        for path, size in sizes.items():
            file = copied / path
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                client.download_artifacts(version.run_id, f"{ARTIFACTS}/{path}", str(file.parent))
            except MlflowException as error:  # it hides the cause; the file was just listed
                raise mlflow_errors.cut(settings, path) from error
            if file.stat().st_size < size:
                raise mlflow_errors.cut(settings, path)
    return copied


@dataclass(frozen=True)
class Registration:
    """The part of a training run that MLflow stores.

    Args:
        folder: files of the model.
        evidence: page with the metrics and the gate.
        trained_from: digest that identifies this training.
        params: settings of the training.
        metrics: name → value.
        curve: values at each training step, name → value; `step` is the number of the step.
        tags: tags of the version.
    """

    folder: Path
    evidence: Path
    trained_from: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    curve: list[dict[str, float]]
    tags: Mapping[str, str]


def register(
    settings: Settings, registration: Registration, sign: Callable[[Version], str]
) -> Version:
    """Register a training run as a signed version with the alias `challenger`.

    Each part can be repeated. So a call after an interrupted one continues where that one ended,
    and a call after a complete one finds the version. The alias comes after the signature.

    Args:
        settings: of this installation.
        registration: the training run.
        sign: writes the manifest of the version into the folder and returns its digest.

    Raises:
        Refused: the experiment or the run was deleted in MLflow.
    """
    with connected(settings) as client:
        run = _run_of(client, settings, registration)
        version = _version_of(client, settings, run)
        if version is not None and run.info.status == FINISHED and MANIFEST_DIGEST in version.tags:
            return version
        _require_active(settings, run)
        _log(client, run, registration)
        if version is None:
            version = _create_version(client, settings.model_name, run, registration.tags)
        digest = sign(version)
        run_id = run.info.run_id
        client.log_artifact(run_id, str(registration.folder / manifest.NAME), ARTIFACTS)
        tags = {**registration.tags, MANIFEST_DIGEST: digest}
        for name, value in tags.items():
            client.set_model_version_tag(settings.model_name, str(version.number), name, value)
        _challenge(client, settings.model_name, version.number)
        client.set_terminated(run_id)
    return Version(version.number, version.run_id, {**version.tags, **tags})


def _run_of(client: "MlflowClient", settings: Settings, registration: Registration) -> "Run":
    """Return the run of these trained files; create it if there is none."""
    from mlflow.entities import ViewType

    name = settings.model_name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        experiment_id = client.create_experiment(name)
    elif experiment.lifecycle_stage == "active":
        experiment_id = experiment.experiment_id
    else:
        raise Refused(
            f"The experiment {name!r} was deleted in MLflow, and its name is taken. Restore it "
            f"(`mlflow experiments restore --experiment-id {experiment.experiment_id}`), then run "
            "this step again: nothing has to be trained anew."
        )
    query = f"tags.{TRAINED_FROM} = '{registration.trained_from}'"
    order = ["attributes.start_time ASC"]
    for run in client.search_runs([experiment_id], query, ViewType.ALL, order_by=order):
        # A deleted run with a version counts: there must not be a second version.
        if run.info.lifecycle_stage == "active" or _version_of(client, settings, run):
            return run
    return client.create_run(experiment_id, tags={TRAINED_FROM: registration.trained_from})


def _version_of(client: "MlflowClient", settings: Settings, run: "Run") -> Version | None:
    """Return the first version that was registered from a run, or None."""
    versions = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    registered = [_version(each) for each in versions if each.name == settings.model_name]
    return min(registered, key=lambda version: version.number, default=None)


def _require_active(settings: Settings, run: "Run") -> None:
    if run.info.lifecycle_stage != "active":
        raise Refused(
            f"The run {run.info.run_id} of {settings.model_name} was deleted in MLflow before its "
            "version was complete. Restore it there, then run this step again."
        )


def _log(client: "MlflowClient", run: "Run", registration: Registration) -> None:
    """Log parameters that are not logged yet, metrics and files; a second call changes nothing."""
    from mlflow.entities import Metric, Param

    run_id, logged = run.info.run_id, run.data.params
    values = [Metric(name, value, 0, 0) for name, value in registration.metrics.items()]
    curve = [
        Metric(name, value, 0, int(point["step"]))
        for point in registration.curve
        for name, value in point.items()
        if name != "step"
    ]
    params = [
        Param(name, str(value)) for name, value in registration.params.items() if name not in logged
    ]
    client.log_batch(run_id, values + curve, params)
    client.log_artifacts(run_id, str(registration.folder), ARTIFACTS)
    client.log_artifact(run_id, str(registration.evidence))


def _create_version(
    client: "MlflowClient", name: str, run: "Run", tags: Mapping[str, str]
) -> Version:
    if _or_none(lambda: client.get_registered_model(name)) is None:
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/{ARTIFACTS}"
    return _version(client.create_model_version(name, source, run.info.run_id, tags=dict(tags)))


def _challenge(client: "MlflowClient", name: str, number: int) -> None:
    """Give the alias `challenger`, unless a newer version has it."""
    holder = _or_none(lambda: client.get_model_version_by_alias(name, CHALLENGER))
    if holder is None or int(holder.version) < number:
        client.set_registered_model_alias(name, CHALLENGER, str(number))


def write_signature(folder: Path, as_of_date: date) -> None:
    """Write the file `MLmodel` with the signature: inputs and outputs of the model."""
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
    signature = ModelSignature(Schema(inputs), Schema(outputs))
    # No current time and no random id, so that a second registration writes the same bytes.
    model = Model(signature=signature, utc_time_created=str(as_of_date), model_uuid=None)
    model.add_flavor("intent", code="intent_tasks.models.model_io.load")
    model.save(str(folder / "MLmodel"))


def _version(entry: "ModelVersion") -> Version:
    """Convert a version of MLflow.

    Raises:
        Refused: no run of MLflow belongs to it.
    """
    if not RUN_ID.fullmatch(str(entry.run_id)):
        raise Refused(
            f"Version {entry.version} of {entry.name} belongs to no run of MLflow: not served. "
            "Give the alias to a version that `intent_train` registered."
        )
    return Version(int(entry.version), str(entry.run_id), dict(entry.tags))


def _or_none(request: Callable[[], T]) -> T | None:
    """Return the answer of MLflow, or None if the requested object does not exist."""
    from mlflow.exceptions import RestException

    try:
        return request()
    except RestException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
