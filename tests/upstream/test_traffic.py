"""Counts, the moving average of the time to the first byte, and the last error."""

import pytest

from proxy.upstream.traffic import Traffic


def test_the_first_latency_counts_whole_and_later_ones_by_a_part() -> None:
    traffic = Traffic()
    traffic.responded(1.0, 5.0)
    assert (traffic.latency, traffic.responses, traffic.responded_at) == (1.0, 1, 5.0)
    traffic.responded(2.0, 6.0)
    assert traffic.latency == pytest.approx(1.1)


def test_a_failure_keeps_its_reason_and_its_time() -> None:
    traffic = Traffic()
    traffic.failed("status 503", 1.0)
    traffic.failed("upstream_timeout: late", 2.0)
    traffic.responded(1.0, 3.0)
    assert (traffic.failures, traffic.last_error, traffic.failed_at) == (2, "upstream_timeout: late", 2.0)
