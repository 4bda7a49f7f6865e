"""What the SDKs talk to: a gateway over a scripted upstream that all tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.fakes import ScriptedUpstream
from tests.serving import RunningGateway, simple_config


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(simple_config(tmp_path_factory.mktemp("gateway"), upstream.base_url)) as one:
        yield one
