"""OverloadPolicy: an overloaded gateway refuses new requests at every kind of endpoint."""

from pathlib import Path

import pytest

from proxy.policies import POLICIES
from proxy.policies.overload import OverloadPolicy
from tests.exchange.samples import MESSAGES
from tests.resources.samples import ask_json
from tests.serving import ALIAS, RunningGateway, simple_config


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", {"model": ALIAS, "messages": MESSAGES}),
        ("POST", "/v1/threads", {}),
        ("GET", "/v1/files/file_1", None),
    ],
)
def test_an_overloaded_gateway_refuses_new_requests(tmp_path: Path, method: str, path: str, body: object) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9", server={"max_in_flight": 1})) as gateway:

        def fill(running: object) -> None:
            gateway.gateway.overload.others += 1

        gateway.call(fill)
        status, answer = ask_json(gateway, method, path, body)
        assert (status, answer["error"]["code"]) == (503, "server_is_overloaded")
        (row,) = gateway.rows()
        assert (row.outcome, row.error_code) == ("refused", "server_is_overloaded")


def test_it_runs_first_and_before_the_body_is_read() -> None:
    assert POLICIES[0] is OverloadPolicy
    assert OverloadPolicy.before_body
