"""The small parts of the gateway's own answers."""

import math
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
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.response_head import cost_line, fact_lines, header_lines, outcome_of, own_lines, timestamp
from proxy.ledger.record import Outcome, UsageRecord
from proxy.wire.prism_headers import read_prism_headers
from proxy.wire.request_body import parse_body


def final(cost: int | None) -> UsageRecord:
    return UsageRecord(
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
        EndpointSpec("/v1/chat/completions", CHAT, capabilities=frozenset({"chat"})),
        id="req_1",
        trace_id="trace",
        key=Key(id="key_1", name="one", models=None, created=0, expires=None),
        path=b"/chat/completions",
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
    assert re.fullmatch(r"X-Prism-Latency-Ms: [0-9]+", latency)
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


def test_a_latency_is_a_whole_number_of_milliseconds() -> None:
    assert 1234 <= int(facts(1, latency=1.2341)[3].partition(": ")[2]) < 3000


def test_no_timeout_is_shown_as_0() -> None:
    assert facts(math.inf)[-1] == "X-Prism-Timeout-Ms: 0"


def context_with(**values: str) -> RequestContext:
    """A context that no model is known of, with these `x-agentcc-` headers."""
    context = RequestContext(
        EndpointSpec("/v1/files", CHAT), id="req_1", started=0, arrived=time.monotonic(), trace_id="trace"
    )
    context.prism = read_prism_headers([(f"x-agentcc-{name}".encode(), one.encode()) for name, one in values.items()])
    return context


def test_a_response_without_a_model_has_all_lines_too() -> None:
    names = [line.partition(":")[0] for line in own_lines(context_with()).decode().splitlines()]
    wanted = ["Request-Id", "Trace-Id", "Latency-Ms", "Model-Used", "Provider", "Timeout-Ms"]
    assert names == ["x-request-id", *(f"X-Prism-{name}" for name in wanted)]
    assert b"X-Prism-Model-Used: none\r\nX-Prism-Provider: prometheus\r\n" in own_lines(context_with())


def test_lines_have_twins_where_the_request_had_a_header_of_their_kind() -> None:
    context = context_with(**{"user-id": "me"})
    context.lines = b"X-Prism-Cache: hit\r\nage: 3\r\n"
    lines = own_lines(context).decode().splitlines()
    ours = [line.removeprefix("X-Prism-") for line in lines if line.startswith("X-Prism-")]
    assert [line.removeprefix("x-agentcc-") for line in lines if line.startswith("x-agentcc-")] == ours
    assert "Cache: hit" in ours
    assert "age: 3" in lines
    assert cost_line(final(5), has_twins=True).count(b"ost: 0.000000005\r\n") == 2


def test_what_was_ignored_of_the_request_headers_is_said() -> None:
    assert b"X-Prism-Warning: x-agentcc-metadata: ignored 1 entry" in own_lines(context_with(metadata="none"))


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


@pytest.mark.parametrize(
    "lines",
    [
        b"x-a: 1",
        b"x-a: 1\n",
        b"x-a: 1\r\n\r\n<html>",
        b"x-a: 1\r\n\r\n",
        b"x-a: 1\rx-b: 2\r\n",
        b"x-a: \0\r\n",
        b": 1\r\n",
        b"x a: 1\r\n",
        b" x-a: 1\r\n",
        b"\r\n",
    ],
)
def test_lines_of_policies_that_are_no_header_lines_are_left_out_and_logged(
    lines: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    context = RequestContext(EndpointSpec("/v1/files", CHAT), id="req_1", started=0, arrived=time.monotonic())
    without = own_lines(context)
    context.lines = b"x-b: 2\r\n" + lines
    assert own_lines(context).split(b"Latency")[0] == without.split(b"Latency")[0]
    assert own_lines(context).endswith(b"X-Prism-Timeout-Ms: 0\r\n")
    assert "left out" in caplog.text
    context.lines = b"x-b: 2\r\nx-c:\r\nx-d: a\tb \xff\r\n"
    assert own_lines(context).endswith(context.lines)


def test_no_header_of_an_error_adds_another_line() -> None:
    assert header_lines(Overloaded("Not now.", headers={"retry-after": "1\r\nx: y"})) == b"retry-after: 1  x: y\r\n"
