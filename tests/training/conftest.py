"""One trained network for all tests that only read it.

Threads and determinism are set before the first use of TensorFlow, whichever test comes first.
"""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models import calibration, model_io, network, training
from tests.training.shop import (
    CUSTOMERS,
    SEED,
    architecture_of,
    ensemble_of,
    rows_of,
    simulated,
    source,
)


@pytest.fixture(scope="session", autouse=True)
def _set_before_anything_is_built():
    network.deterministic(7)


@pytest.fixture(scope="session")
def trained():
    """A model and its data; the first half of the customers trains, the second calibrates."""
    network.deterministic(SEED)
    events = simulated()
    vocabulary = learn_vocabulary([events])
    early = pa.array([key < f"c{CUSTOMERS // 2:05d}" for key in events["customer_key"].to_pylist()])
    train = rows_of(events.filter(early), vocabulary)
    later = rows_of(events.filter(pa.compute.invert(early)), vocabulary)
    architecture = architecture_of(vocabulary)
    built = network.build(architecture)
    built.start_from_ensemble(ensemble_of(train, later))
    plan = training.Plan(len(train.first_purchase), SEED, learning_rate=1e-2, batch=50)
    curve = training.fit(built, source(train), source(later), plan)
    raw = training.predict_logits(built, later.encoded)
    calibration.fit(built, raw, later.first_purchase, len(later.first_purchase))
    rates = {str(h): float((later.first_purchase <= n).mean()) for n, h in enumerate(HORIZONS_DAYS)}
    model = model_io.Model(architecture, vocabulary, built, rates, rates)
    return SimpleNamespace(
        model=model, train=train, later=later, events=events, curve=curve, vocabulary=vocabulary
    )
