"""Threads and exact repetition are set before TensorFlow is used first, whichever test that is."""

import pytest

from intent_tasks.models import network


@pytest.fixture(scope="session", autouse=True)
def _set_before_anything_is_built():
    network.deterministic(7)
