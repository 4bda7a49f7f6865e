"""The small parts of the gateway's own answers."""

import re
from typing import get_args

import pytest

from proxy.answer import cost_line, header_lines, outcome_of, timestamp
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
from proxy.ledger.record import Final, Outcome


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
