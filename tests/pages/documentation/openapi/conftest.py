"""The demo as `make run` starts it, for the tests that ask it what the document says."""

from collections.abc import Iterator

import pytest

from proxy.demo import demo_app
from tests.demo.conftest import serve
from tests.pages.documentation.serving import demo_gateway
from tests.serving import RunningGateway


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("demo")
    # Making up requests keeps this process busy, which is no reason to refuse them.
    with serve(demo_app) as provider, demo_gateway(provider, folder, max_loop_lag=3_600.0) as running:
        yield running
