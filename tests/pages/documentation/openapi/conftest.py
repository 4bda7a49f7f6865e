"""The demo as `make run` starts it, for the tests that ask it what the document says."""

from collections.abc import Iterator

import pytest

from proxy.demo import demo_app
from tests.demo.conftest import serve
from tests.pages.documentation.serving import demo_gateway
from tests.serving import RunningGateway


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with serve(demo_app) as provider, demo_gateway(provider, tmp_path_factory.mktemp("demo")) as running:
        yield running
