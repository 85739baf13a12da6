"""How often each fault is tried, and the small shop of the database tests."""

import pytest

from tests.database.conftest import scored_shop, small_shop

__all__ = ["scored_shop", "small_shop"]


@pytest.fixture
def trials(request):
    """How often a test tries: few in the whole suite, --trials for a figure to publish."""
    return request.config.getoption("--trials")
