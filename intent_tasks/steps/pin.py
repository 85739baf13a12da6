"""Resolve the champion, verify its manifest, and pin that version for a day."""

import json
from datetime import date
from pathlib import Path

from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import manifest, postgres, registry
from intent_tasks.stores.scratch import remove_abandoned, scratch_folder


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Pin the version that carries the alias `champion`.

    Raises:
        Refused: no champion, one that did not pass the gate, is not approved, or whose files are
            not those that were signed.
        TemporaryFailure: MLflow does not answer.
    """
    version = registry.by_alias(settings)
    if version is None:
        raise Refused(
            f"No version of {settings.model_name} is promoted. In the MLflow UI open Models → "
            f"{settings.model_name} → the version → Aliases and add `champion`, or run `intent "
            "promote VERSION`; then clear this task."
        )
    _require_approval(settings, version)
    path = _verified(settings, version)
    config = json.loads((path / "config.json").read_text())
    receipt = {
        "as_of_date": str(as_of_date),
        "model_version": version.number,
        "run_id": version.run_id,
        "run_url": registry.run_url(settings, version.run_id),
        "model_path": str(path.relative_to(settings.home)),
        "manifest_digest": version.tags[registry.MANIFEST_DIGEST],
        "buckets": list(range(settings.bucket_count)),
        "base_rates": config["base_rates"],
        "thresholds": config["thresholds"],
        "approved_by": version.tags.get(registry.APPROVED_BY),
        "promotion_reason": version.tags.get(registry.REASON),
    }
    with postgres.writing(settings, "pin", as_of_date) as connection:
        postgres.record(connection, "pin", as_of_date, receipt)
    return receipt


def _require_approval(settings: Settings, version: registry.Version) -> None:
    name = f"Version {version.number} of {settings.model_name}"
    if version.tags.get(registry.GATE) != "passed":
        raise Refused(
            f"{name} is champion but did not pass the gate: look at evidence.html of its run, and "
            "give the alias to a version that did."
        )
    if settings.require_approver and not version.tags.get(registry.APPROVED_BY):
        raise Refused(f"{name} says not who approved it: set its tag {registry.APPROVED_BY}.")


def _verified(settings: Settings, version: registry.Version) -> Path:
    """Return the folder of the version's files, copied once and verified each time."""
    key = settings.manifest_key.get_secret_value().encode()
    digest = version.tags.get(registry.MANIFEST_DIGEST, "")
    target = settings.home / "models" / str(version.number)
    remove_abandoned(target.parent)
    if not target.exists():
        with scratch_folder(target.parent) as folder:
            copied = registry.download(settings, version, folder)
            manifest.verify(copied, digest, key)
            _keep(copied, target)
    facts = manifest.verify(target, digest, key)
    if facts.get("gate") != "passed":
        raise Refused(
            f"Version {version.number} of {settings.model_name} carries the tag of a passed gate, "
            "but was signed with another verdict: not served."
        )
    return target


def _keep(copied: Path, target: Path) -> None:
    """Move a verified copy to its place, unless another day that is pinned just now was faster."""
    try:
        copied.rename(target)
    except OSError:
        if not target.exists():
            raise
