"""The small parts of the gateway's own answers."""

import re
import time
from typing import get_args

import pytest

from proxy.auth.keys import Key
from proxy.dialects.openai_chat import CHAT
from proxy.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    ClientGone,
    GatewayError,
    ModelNotFound,
    Overloaded,
    StoreFailed,
    UpstreamConnectFailed,
    UpstreamDropped,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import cost_line, fact_lines, header_lines, outcome_of, timestamp
from proxy.ledger.record import Final, Outcome
from proxy.wire.request_body import parse_body


def final(cost: int | None) -> Final:
    return Final(
        id="req_1",
        started=0,
        key="key_1",
        alias="core",
        endpoint="/v1/chat/completions",
        upstream="vendor",
        upstream_model="model",
        stream=False,
        status=200,
        outcome="complete",
        cost=cost,
    )


@pytest.mark.parametrize(
    ("cost", "line"),
    [
        (0, b"X-Prism-Cost: 0.000000000\r\n"),
        (1, b"X-Prism-Cost: 0.000000001\r\n"),
        (12_345_678_901, b"X-Prism-Cost: 12.345678901\r\n"),
        (None, b""),
    ],
)
def test_a_cost_is_told_to_the_nano_dollar_or_not_at_all(cost: int | None, line: bytes) -> None:
    assert cost_line(final(cost)) == line


def facts(timeout: float, latency: float = 0.0, fell_back: bool = False) -> list[str]:
    call = RequestContext(
        id="req_1",
        trace_id="trace",
        key=Key(id="key_1", name="one", models=None, created=0, expires=None),
        endpoint="/v1/chat/completions",
        dialect=CHAT,
        path=b"/chat/completions",
        may_ask_usage=True,
        capabilities=frozenset({"chat"}),
        body=parse_body(b'{"model":"core"}'),
        forwarded=b"",
        started=0,
        arrived=time.monotonic() - latency,
    )
    lines = fact_lines(call, model="core", provider="vendor", timeout=timeout, fell_back=fell_back)
    assert lines.endswith(b"\r\n")
    return lines.decode().splitlines()


def test_the_facts_of_a_request_are_one_line_each() -> None:
    lines = facts(60)
    latency = lines.pop(3)
    assert re.fullmatch(r"X-Prism-Latency-Ms: [0-9]+\.[0-9]", latency)
    assert lines == [
        "x-request-id: req_1",
        "X-Prism-Request-Id: req_1",
        "X-Prism-Trace-Id: trace",
        "X-Prism-Model-Used: core",
        "X-Prism-Provider: vendor",
        "X-Prism-Timeout-Ms: 60000",
    ]
    assert facts(60, fell_back=True)[-1] == "X-Prism-Fallback-Used: true"


@pytest.mark.parametrize(("seconds", "told"), [(0.5, "500"), (0.0014, "1"), (0.0016, "2"), (86_400, "86400000")])
def test_a_timeout_is_told_in_whole_milliseconds(seconds: float, told: str) -> None:
    assert facts(seconds)[-1] == f"X-Prism-Timeout-Ms: {told}"


def test_a_latency_is_told_in_milliseconds() -> None:
    assert 1234.5 <= float(facts(1, latency=1.2345)[3].partition(": ")[2]) < 3000


def test_an_error_brings_its_headers_along() -> None:
    error = Overloaded("full", headers={"retry-after": "1", "x-should-retry": "true"})
    assert header_lines(error) == b"retry-after: 1\r\nx-should-retry: true\r\n"
    assert header_lines(Overloaded("full")) == b""


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ClientGone("left"), "client_closed"),
        (UpstreamTimeout("late"), "timeout"),
        (UpstreamConnectFailed("down"), "upstream_error"),
        (UpstreamDropped("cut"), "upstream_error"),
        (UpstreamProtocolError("odd"), "upstream_error"),
        (AuthenticationFailed("who"), "refused"),
        (ModelNotFound("what"), "refused"),
        (BodyTooLarge("big"), "refused"),
        (Overloaded("full"), "refused"),
        (StoreFailed("disk"), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_before_the_answer_has_an_outcome(error: GatewayError, outcome: str) -> None:
    assert outcome_of(error) == outcome
    assert outcome in get_args(Outcome)
