"""The gateway in front of a scripted upstream that all tests of a module share, because starting one takes longer."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes import RawClient, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS, RunningGateway, simple_config

ANSWER = {
    "id": "c1",
    "model": "vendor-model-dated",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def answer(_: RecordedRequest) -> list[Step]:
    """Answer any request that gets here."""
    return json_answer(ANSWER)


@dataclass(frozen=True)
class Site:
    """A gateway and its upstream."""

    gateway: RunningGateway
    upstream: ScriptedUpstream

    def client(self) -> RawClient:
        return self.gateway.client(5.0)

    def assert_serves(self) -> None:
        """The gateway still answers others."""
        with self.client() as client:
            self.gateway.chat(client, {"model": ALIAS, "messages": []})
            head, _ = client.read_answer()
        assert head.status == 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    config = simple_config(tmp_path_factory.mktemp("data"))
    with ScriptedUpstream(answer) as upstream:
        config = simple_config(tmp_path_factory.mktemp("data"), upstream.base_url)
        with RunningGateway(config) as gateway:
            site = Site(gateway, upstream)
            site.assert_serves()
            # Its threads are up once it has stored a row and written a line.
            gateway.rows()
            gateway.call(lambda running: running.access.flush())
            yield site
