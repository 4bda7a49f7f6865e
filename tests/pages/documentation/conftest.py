"""The demo behind a gateway, for the tests of the docs page."""

from collections.abc import Iterator

import pytest

from tests.demo.conftest import Provider, provider
from tests.pages.documentation.serving import demo_gateway
from tests.serving import RunningGateway

__all__ = ["gateway", "provider", "public_gateway"]


@pytest.fixture(scope="package")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with demo_gateway(provider, tmp_path_factory.mktemp("docs")) as running:
        yield running


@pytest.fixture(scope="package")
def public_gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One that clients reach at another address than the test does."""
    with demo_gateway(provider, tmp_path_factory.mktemp("public"), public_url="https://ai.example.com") as running:
        yield running
