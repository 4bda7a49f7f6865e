"""Attempts: each is counted once, whether it was reported as failed or served its request."""

import pytest

from proxy.errors import UpstreamConnectFailed, UpstreamTimeout
from proxy.observability.attempts import AttemptCounter
from proxy.observability.metrics import Counter, Labels, Metrics
from tests.ledger.samples import final


def test_failed_attempts_are_counted_by_upstream_and_error() -> None:
    metrics = Metrics()
    attempts = AttemptCounter(metrics)
    attempts.failed("one/a/model", UpstreamTimeout("late"))
    attempts.failed("one/b", UpstreamConnectFailed("no"))
    assert counted(metrics) == {("one", "upstream_timeout"): 1, ("one", "upstream_connect_failed"): 1}


@pytest.mark.parametrize(
    ("outcome", "code", "expected"),
    [
        ("complete", None, 1),
        ("client_closed", "client_closed", 1),
        ("upstream_error", None, 1),
        ("upstream_error", "rate_limited", 0),
        ("upstream_cut", "x", 0),
        ("timeout", "x", 0),
    ],
)
def test_the_last_attempt_is_counted_unless_it_was_reported(outcome: str, code: str | None, expected: int) -> None:
    metrics = Metrics()
    AttemptCounter(metrics).ended(final(1, upstream="one", attempts=1, outcome=outcome, error_code=code))
    assert counted(metrics) == ({("one", outcome): 1} if expected else {})


def test_a_request_without_an_attempt_counts_none() -> None:
    metrics = Metrics()
    AttemptCounter(metrics).ended(final(1, attempts=0, outcome="refused"))
    assert counted(metrics) == {}


def counted(metrics: Metrics) -> dict[Labels, int]:
    counter = metrics.families["prometheus_gateway_attempts_total"]
    assert isinstance(counter, Counter)
    return counter.values
