"""With access to MLflow alone nobody has anything served that was not signed for that version."""

from datetime import timedelta
from pathlib import Path

import pytest

from intent_tasks.errors import Refused
from intent_tasks.steps import pin
from intent_tasks.stores import ledger, manifest, postgres, registry, temporary_folders
from tests.registry.conftest import DAY

pytestmark = pytest.mark.database

FORGED = b"forged weights"
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def forge(installed, served, client, tmp_path, mlflow_server):
    """What an attacker does: a few calls of MLflow's client, on copies of what it gives out."""
    return Forge(installed, served, client, tmp_path / "attacker", mlflow_server)


class Forge:
    """Ways to have forged files, or true ones as another version, under the alias champion."""

    def __init__(self, settings, served, client, folder, server):
        self.name, self.run, self.client = settings.model_name, served["run_id"], client
        self.folder, self.server = folder, server
        folder.mkdir()
        self.copy = Path(client.download_artifacts(self.run, "model", str(folder)))

    def put(self, content, path, run=None):
        """Upload a file of the model."""
        file = self.folder / Path(path).name
        file.write_bytes(content)
        place = str(Path("model", path).parent)
        self.client.log_artifact(run or self.run, str(file), place)

    def version(self, run, name=None, source=None):
        """Register a run as a new version that looks like the first, and promote it."""
        first = self.client.get_model_version(self.name, "1")
        made = self.client.create_model_version(
            name or self.name, source or f"runs:/{run}/model", run, tags=dict(first.tags)
        )
        self.client.set_registered_model_alias(name or self.name, "champion", made.version)

    def new_run(self):
        """Make a run with copies of all files of the first version."""
        experiment = self.client.get_experiment_by_name(self.name).experiment_id
        run = self.client.create_run(experiment).info.run_id
        self.client.log_artifacts(run, str(self.copy), "model")
        return run

    def beside(self):
        self.put((self.copy / "weights.npz").read_bytes(), "zz/weights.npz")
        self.put(FORGED, "weights.npz")

    def manifest_in_a_folder(self):
        self.put(FORGED, "more/manifest.json")

    def swapped_names(self):
        self.put((self.copy / "config.json").read_bytes(), "weights.npz")
        self.put((self.copy / "weights.npz").read_bytes(), "config.json")

    def symlink(self):
        (found,) = self.server.artifacts.rglob(f"{self.run}/artifacts/model/weights.npz")
        found.rename(found.with_name("kept"))
        found.symlink_to(found.with_name("kept"))

    def replayed(self):
        self.version(self.new_run())

    def source_elsewhere(self):
        self.version(self.run, source="s3://elsewhere/forged")

    def files_of_another_run(self):
        other = self.new_run()
        self.put(FORGED, "weights.npz", other)
        self.version(other)

    def odd_names(self):
        self.put(FORGED, "wei ghts\N{RIGHT-TO-LEFT OVERRIDE}.npz")


VARIANTS = {
    "beside": "weights.npz",
    "manifest_in_a_folder": "more/manifest.json",
    "swapped_names": "config.json, weights.npz",
    "symlink": "kept",
    "replayed": "was signed for version 1",
    "source_elsewhere": "was signed for version 1",
    "files_of_another_run": "was signed for version 1",
    "odd_names": "ghts",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_refused_with_the_reason_and_the_last_good_version_stays(
    installed, forge, variant, monkeypatch
):
    good = pin.run(installed, DAY)
    path = installed.home / good["model_path"]
    moved = path.rename(path.with_name("elsewhere"))  # another machine, which must download it
    getattr(forge, variant)()
    with pytest.raises(Refused, match=VARIANTS[variant]) as refused:
        pin.run(installed, NEXT)
    assert refused.value.exit_code == 78
    assert ledger.receipt_of(installed, "pin", NEXT) is None
    assert [each.name for each in path.parent.iterdir()] == ["elsewhere"]
    subject = manifest.Subject(installed.model_name, good["model_version"], good["run_id"])
    key = installed.manifest_key.get_secret_value().encode()
    verified = manifest.verify(moved, good["manifest_digest"], subject, key)
    assert verified.contents["weights.npz"] == b"weights"

    without_verification(monkeypatch)
    receipt = pin.run(installed, NEXT)
    folder = installed.home / receipt["model_path"]
    forged = {p for p in folder.rglob("*") if p.is_file() and p.read_bytes() == FORGED}
    changed = variant in ("swapped_names", "symlink")
    assert forged or receipt["model_version"] == 2 or changed, "the control: it would be served"


def without_verification(monkeypatch):
    """Let `pin` download and believe whatever MLflow has."""

    def copied(settings, version, folder, expected):
        return registry.download(
            settings, version, registry.list_files(settings, version, 99), folder
        )

    def believed(folder, *_):
        config = folder / "config.json"
        swapped = folder / "weights.npz"
        content = config if config.read_bytes().startswith(b"{") else swapped
        return manifest.Verified({"config.json": content.read_bytes()}, {"gate": "passed"})

    monkeypatch.setattr(pin, "_copy_verified", copied)
    monkeypatch.setattr(manifest, "verify", believed)
    monkeypatch.setattr(pin, "_require_recorded", lambda *_: None)


def test_a_copy_under_another_registered_model_is_refused(installed, forge, monkeypatch):
    forge.client.create_registered_model("other " + installed.model_name)
    forge.version(forge.run, name="other " + installed.model_name)
    other = installed.model_copy(update={"model_name": "other " + installed.model_name})
    with pytest.raises(Refused, match=f"was signed for version 1 of {installed.model_name}"):
        pin.run(other, NEXT)
    without_verification(monkeypatch)
    assert pin.run(other, NEXT)["model_version"] == 1, "the control: it would be served"


def test_a_file_larger_than_was_signed_is_not_downloaded(installed, forge, monkeypatch):
    forge.put(b"0" * 2**20, "weights.npz")
    downloaded = []
    download = registry.download

    def noted(settings, version, paths, target):
        downloaded.extend(paths)
        return download(settings, version, paths, target)

    monkeypatch.setattr(registry, "download", noted)
    with pytest.raises(Refused, match=r"weights\.npz"):
        pin.run(installed, NEXT)
    assert downloaded == ["manifest.json"]


def test_a_version_that_an_erasure_could_not_name_is_refused(installed, served):
    with postgres.changing(installed.pipeline_url, "test") as connection:
        connection.exec_driver_sql("DELETE FROM intent.model_versions")
    with pytest.raises(Refused, match=f"intent step register --as-of-date {DAY}"):
        pin.run(installed, NEXT)


def test_a_killed_pin_leaves_no_copies_and_the_folder_is_closed_to_others(installed, served):
    left = installed.home / "models" / f"{temporary_folders.PREFIX}abc"
    left.mkdir(parents=True)
    path = installed.home / pin.run(installed, DAY)["model_path"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert {each.stat().st_mode & 0o077 for each in (path, path.parent)} == {0}
