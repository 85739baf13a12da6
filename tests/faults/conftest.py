"""The number of trials of each fault, and the small shop of the database tests."""

import pytest

from tests.database.conftest import scored_shop, small_shop

__all__ = ["scored_shop", "small_shop"]


@pytest.fixture
def trials(request):
    """Number of trials of a test: few by default, --trials for a published figure."""
    return request.config.getoption("--trials")
