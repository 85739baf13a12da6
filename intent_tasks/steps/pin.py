"""Resolve the champion, verify its manifest, and pin that version for a day."""

from datetime import date
from pathlib import Path

import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.models import config
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, manifest, postgres, registry
from intent_tasks.stores.temporary_folders import remove_abandoned, scratch_folder
from intent_tasks.tables import model_versions


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Pin the version that carries the alias `champion`.

    Raises:
        Refused: there is no champion, or it did not pass the gate, is not approved, or has other
            files than the signed ones.
        TemporaryFailure: MLflow does not answer.
    """
    version = registry.by_alias(settings)
    if version is None:
        raise _no_champion(settings)
    _require_approval(settings, version)
    path, verified = _verified(settings, version)
    _require_recorded(settings, version, verified.facts)
    served = config.read_served(verified.contents)
    receipt = {
        "as_of_date": str(as_of_date),
        "model_version": version.number,
        "run_id": version.run_id,
        "run_url": registry.run_url(settings, version.run_id),
        "model_path": str(path.relative_to(settings.home)),
        "manifest_digest": version.tags[registry.MANIFEST_DIGEST],
        "buckets": list(range(settings.bucket_count)),
        "base_rates": served.base_rates,
        "thresholds": served.thresholds,
        "approved_by": version.tags.get(registry.APPROVED_BY),
        "promotion_reason": version.tags.get(registry.REASON),
    }
    return ledger.finish_step(settings, "pin", as_of_date, receipt)


def _no_champion(settings: Settings) -> Refused:
    name = settings.model_name
    if (alias := registry.find_miswritten_alias(settings)) is not None:
        return Refused(
            f"No version of {name} is promoted: the alias is written {alias!r}, and capitals "
            f"count. In the MLflow UI open Models → {name} → the version → Aliases and write "
            f"`{registry.CHAMPION}`, or run `intent promote VERSION`; then clear this task."
        )
    return Refused(
        f"No version of {name} is promoted. In the MLflow UI open Models → {name} → the version → "
        "Aliases and add `champion`, or run `intent promote VERSION`; then clear this task."
    )


def _require_approval(settings: Settings, version: registry.Version) -> None:
    name = f"Version {version.number} of {settings.model_name}"
    if version.tags.get(registry.GATE) != "passed":
        raise Refused(
            f"{name} is champion but did not pass the gate: look at evidence.html of its run, and "
            "give the alias to a version that did."
        )
    if settings.require_approver and not version.tags.get(registry.APPROVED_BY):
        raise Refused(f"{name} does not name its approver: set its tag {registry.APPROVED_BY}.")


def _require_recorded(settings: Settings, version: registry.Version, facts: manifest.Facts) -> None:
    """Require that an erasure can name the version: its training days are recorded."""
    query = sa.select(model_versions.c.model_version).where(
        model_versions.c.run_id == version.run_id,
        model_versions.c.model_version == version.number,
    )
    with postgres.reading(settings.pipeline_url) as connection:
        if connection.scalar(query) is None:
            raise Refused(
                f"Version {version.number} of {settings.model_name} is not in "
                "intent.model_versions, so an erasure could not name it: not served. Run "
                f"`intent step register --as-of-date {facts.get('as_of_date')}` again, to its end."
            )


def _verified(settings: Settings, version: registry.Version) -> tuple[Path, manifest.Verified]:
    """Return the folder of the version's files, copied once, and its verified contents."""
    subject = manifest.Subject(settings.model_name, version.number, version.run_id)
    digest = version.tags.get(registry.MANIFEST_DIGEST, "")
    key = settings.manifest_key.get_secret_value().encode()
    target = settings.home / "models" / f"{version.number}-{version.run_id[:8]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o700)
    remove_abandoned(target.parent)
    if not target.exists():
        with scratch_folder(target.parent) as folder:
            copied = _copy_verified(settings, version, folder, (digest, subject, key))
            manifest.verify(copied, digest, subject, key)
            copied.chmod(0o700)
            _move(copied, target)
    verified = manifest.verify(target, digest, subject, key)
    if verified.facts.get("gate") != "passed":
        raise Refused(
            f"Version {version.number} of {settings.model_name} carries the tag of a passed gate, "
            "but was signed with another verdict: not served."
        )
    return target, verified


def _copy_verified(
    settings: Settings,
    version: registry.Version,
    folder: Path,
    expected: tuple[str, manifest.Subject, bytes],
) -> Path:
    """Verify the manifest, check that MLflow lists the same files, and download them."""
    subject = expected[1]
    listed = registry.list_files(settings, version, 2 * manifest.MOST_FILES)
    manifest_bytes = listed.pop(manifest.NAME, 0)
    if not 0 < manifest_bytes <= manifest.MOST_MANIFEST_BYTES:
        raise manifest.broken(subject)
    copied = registry.download(settings, version, {manifest.NAME: manifest_bytes}, folder)
    signed = manifest.signed_in(copied, *expected)
    manifest.require_listed(listed, signed.files, subject)
    return registry.download(settings, version, listed, folder)


def _move(copied: Path, target: Path) -> None:
    """Move a verified copy to its place, unless a parallel run for another day was faster."""
    try:
        copied.rename(target)
    except OSError:
        if not target.exists():
            raise
