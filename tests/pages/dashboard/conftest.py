"""One seeded gateway for all tests of the dashboard: none of them changes a row."""

from collections.abc import Iterator

import httpx
import pytest

from tests.pages.dashboard.seeded import Dashboard, seeded
from tests.pages.serving import reader


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with seeded(tmp_path_factory.mktemp("dashboard")) as one:
        yield one


@pytest.fixture
def admin(dashboard: Dashboard) -> Iterator[httpx.Client]:
    """A client with the session of an admin."""
    with reader(dashboard.gateway, dashboard.admin) as client:
        yield client


@pytest.fixture
def owner(dashboard: Dashboard) -> Iterator[httpx.Client]:
    """A client with the session of the owner of a key."""
    with reader(dashboard.gateway, dashboard.owner) as client:
        yield client
