"""`intent status` reads the champion from MLflow's REST API as the client does."""

import pytest

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.local.champion import read_champion
from intent_tasks.steps import register
from intent_tasks.stores import registry
from tests.registry.conftest import DAY
from tests.registry.test_mlflow_failures import answering

pytestmark = pytest.mark.database


# Names of their own: the tests of a worker share one MLflow.
@pytest.mark.parametrize("model_name", ["Eve's model", "Verkäufe 10 %"])
def test_the_champion_is_the_promoted_version_or_none(installed, model_name):
    named = installed.model_copy(update={"model_name": model_name})
    assert read_champion(named) is None
    version = register.run(named, DAY)["model_version"]
    assert read_champion(named) is None
    registry.promote(named, version)
    assert read_champion(named) == registry.champion(named) == version


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (401, b"You are not authenticated.", Refused),
        (404, b"<html>", Refused),
        (500, b"", TemporaryFailure),
        (200, b"<html>", TemporaryFailure),
        (200, b"[]", TemporaryFailure),
        (200, b'{"model_version": null}', TemporaryFailure),
    ],
)
def test_every_other_answer_is_a_failure_that_names_the_server(settings, status, body, failure):
    with (
        answering(status, body) as address,
        pytest.raises(failure, match=f"MLflow at {address}") as raised,
    ):
        read_champion(settings.model_copy(update={"mlflow_url": address}))
    assert type(raised.value) is failure
