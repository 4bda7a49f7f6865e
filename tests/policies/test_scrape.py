"""A scrape: without the token no name of an upstream is in it, whatever was counted."""

import asyncio

import msgspec

from proxy.config.tree import Upstream
from proxy.observability.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from proxy.policies.base import GatewayState
from proxy.policies.scrape import Pseudonyms, scrape
from tests.serving import idle_state


def state_with_upstreams(*names: str) -> GatewayState:
    state = idle_state()
    state.config = msgspec.structs.replace(state.config, upstreams={name: Upstream() for name in names})
    return state


def test_upstreams_are_numbered_in_the_order_of_the_file_and_what_is_gone_is_other() -> None:
    names = Pseudonyms(["zeta", "alpha"])
    assert [names.visible("upstream", one) for one in ("zeta", "alpha", "removed", "")] == ["t1", "t2", "other", ""]
    assert names.visible("provider", "alpha") == "t2"
    assert names.visible("alias", "alpha") == "alpha"


def test_an_open_page_names_no_upstream_and_one_with_the_token_does() -> None:
    state = state_with_upstreams("secret-vendor")
    attempts = state.metrics.counter("prometheus_gateway_attempts_total", "A.", "upstream", "outcome")
    attempts.add(3, "secret-vendor", "complete")
    state.metrics.column.publish()
    body, kind = asyncio.run(scrape(state, "", is_open=True))
    assert b"secret-vendor" not in body
    assert b'prometheus_gateway_attempts_total{upstream="t1",outcome="complete"} 3' in body
    assert kind == TEXT_TYPE
    body, _ = asyncio.run(scrape(state, "", is_open=False))
    assert b'upstream="secret-vendor"' in body


def test_openmetrics_is_sent_to_those_that_ask_for_it() -> None:
    body, kind = asyncio.run(scrape(idle_state(), "application/openmetrics-text", is_open=False))
    assert kind == OPENMETRICS_TYPE
    assert body.endswith(b"# EOF\n")
