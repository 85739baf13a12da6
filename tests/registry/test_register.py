"""A training run becomes one version, whatever is interrupted, deleted or written otherwise."""

import pytest

from intent_tasks.errors import BadInput, Refused, TemporaryFailure
from intent_tasks.steps import pin, register
from intent_tasks.stores import postgres, registry
from tests.registry.conftest import DAY

pytestmark = pytest.mark.database

CALLS = ("create_run", "log_batch", "log_artifacts", "create_model_version", "log_artifact",
         "set_model_version_tag", "set_registered_model_alias", "set_terminated")  # fmt: skip
"""What registering asks of MLflow, in its order."""


def versions(client, settings):
    found = client.search_model_versions(f"name = '{settings.model_name}'")
    return sorted(int(each.version) for each in found)


@pytest.mark.parametrize("model_name", ["Bob's model", 'a "quoted" name', "Käufe 10 %"])
def test_a_name_with_quotes_is_registered_promoted_and_pinned(installed, model_name):
    named = installed.model_copy(update={"model_name": model_name})
    receipt = register.run(named, DAY)
    assert register.run(named, DAY) == receipt
    registry.promote(named, receipt["model_version"])
    assert pin.run(named, DAY)["model_version"] == receipt["model_version"]
    with pytest.raises(BadInput, match=r"no version 9 .*The newest is 1"):
        registry.promote(named, 9)


def test_killed_at_every_call_it_goes_on_and_no_unsigned_version_is_challenger(
    installed, monkeypatch
):
    from mlflow import MlflowClient

    with registry.connected(installed) as client:
        for call in CALLS:  # before it is made: the calls before it have been made
            with monkeypatch.context() as patch:
                patch.setattr(MlflowClient, call, killed)
                with pytest.raises(TemporaryFailure):
                    register.run(installed, DAY)
            challenger = registry.by_alias(installed, registry.CHALLENGER)
            assert challenger is None or registry.MANIFEST_DIGEST in challenger.tags
        receipt = register.run(installed, DAY)
        assert versions(client, installed) == [receipt["model_version"]]
    registry.promote(installed, receipt["model_version"])
    assert pin.run(installed, DAY)["model_version"] == receipt["model_version"]
    assert registry.by_alias(installed, registry.CHALLENGER).number == receipt["model_version"]


def killed(*_, **__):
    """End in a lost connection."""
    raise ConnectionResetError


def test_registering_twice_finds_the_version_and_leaves_the_alias(installed, served, client):
    client.set_registered_model_alias(installed.model_name, "challenger", "1")
    client.delete_registered_model_alias(installed.model_name, "challenger")
    assert register.run(installed, DAY) == served
    assert registry.by_alias(installed, registry.CHALLENGER) is None
    assert versions(client, installed) == [1]


def test_a_run_that_was_deleted_is_found_and_makes_no_second_version(installed, served, client):
    client.delete_run(served["run_id"])
    assert register.run(installed, DAY) == served
    assert versions(client, installed) == [1]


def test_a_run_deleted_before_its_version_was_complete_is_to_be_restored(installed, served, client):
    client.delete_model_version_tag(installed.model_name, "1", registry.MANIFEST_DIGEST)
    client.delete_run(served["run_id"])
    with pytest.raises(Refused, match=r"was deleted in MLflow .*Restore it"):
        register.run(installed, DAY)
    client.restore_run(served["run_id"])
    assert register.run(installed, DAY) == served


def test_an_experiment_that_was_deleted_is_to_be_restored(installed, served, client):
    experiment = client.get_experiment_by_name(installed.model_name).experiment_id
    client.delete_experiment(experiment)
    restore = f"mlflow experiments restore --experiment-id {experiment}"
    with pytest.raises(Refused, match=restore) as refused:
        register.run(installed, DAY)
    assert refused.value.exit_code == 78
    client.restore_experiment(experiment)
    assert register.run(installed, DAY) == served


def test_a_version_that_was_deleted_is_made_anew_and_signed_for_its_number(
    installed, served, client
):
    client.delete_model_version(installed.model_name, "1")
    receipt = register.run(installed, DAY)
    assert receipt["run_id"] == served["run_id"]
    registry.promote(installed, receipt["model_version"])
    assert pin.run(installed, DAY)["model_version"] == receipt["model_version"]


@pytest.mark.parametrize("written", ["Champion", "CHAMPION"])
def test_an_alias_in_capitals_is_named(installed, served, client, written):
    client.delete_registered_model_alias(installed.model_name, "champion")
    client.set_registered_model_alias(installed.model_name, written, "1")
    with pytest.raises(Refused, match=f"the alias is written '{written}'.*write `champion`"):
        pin.run(installed, DAY)


def test_without_a_model_the_message_explains_how_to_promote(installed):
    with pytest.raises(Refused, match="intent promote VERSION"):
        pin.run(installed, DAY)
    with pytest.raises(BadInput, match="run intent_train in Airflow first"):
        registry.promote(installed, 1)


def test_a_version_without_a_run_is_refused(installed, served, client):
    made = client.create_model_version(installed.model_name, "s3://elsewhere/model")
    client.set_registered_model_alias(installed.model_name, "champion", made.version)
    with pytest.raises(Refused, match="belongs to no run"):
        pin.run(installed, DAY)


def test_files_that_changed_after_they_were_evaluated_are_not_signed(installed):
    from intent_tasks.stores.training_files import MODEL, folder_of

    (folder_of(installed, DAY) / MODEL / "weights.npz").write_bytes(b"changed")
    with pytest.raises(BadInput, match="intent step evaluate"):
        register.run(installed, DAY)


def test_the_days_of_versions_with_one_number_are_kept_apart_by_their_run(installed, served):
    other = installed.model_copy(update={"model_name": installed.model_name + " too"})
    register.run(other, DAY)
    with postgres.reading(installed.pipeline_url) as connection:
        rows = connection.exec_driver_sql("SELECT model_version FROM intent.model_versions").all()
    assert [row[0] for row in rows] == [1, 1]
