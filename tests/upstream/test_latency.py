"""The times to the first content of a target: a peak-EWMA and quantiles, by a clock that the test moves."""

import pytest

from proxy.upstream.latency import DECAY_SECONDS, MAX_SAMPLES, Latency, size_factor


def test_a_slower_time_raises_it_at_once() -> None:
    latency = Latency()
    latency.observe(0.1, 0.0)
    latency.observe(2.0, 0.1)
    assert latency.peak == 2.0


def test_faster_times_lower_it_by_how_old_the_last_one_is() -> None:
    latency = Latency()
    latency.observe(2.0, 0.0)
    latency.observe(0.1, 0.0)
    assert latency.peak == 2.0, "no time has passed"
    latency.observe(0.1, DECAY_SECONDS)
    assert 0.1 < latency.peak < 0.9
    latency.observe(0.1, 10 * DECAY_SECONDS)
    assert latency.peak == pytest.approx(0.1, rel=0.01)


def test_the_quantiles_are_of_the_last_times() -> None:
    latency = Latency()
    for number in range(MAX_SAMPLES):
        latency.observe(100.0 + number, 0.0)
    for number in range(MAX_SAMPLES):
        latency.observe(number / 100, 0.0)
    assert (latency.p50, latency.p90) == (0.64, 1.15)


def test_hedged_times_are_left_out_of_the_quantiles_alone() -> None:
    latency = Latency()
    latency.observe(1.0, 0.0)
    latency.observe(5.0, 0.0, hedged=True)
    assert (latency.p90, latency.count, latency.peak) == (1.0, 1, 5.0)


def test_a_request_that_was_given_up_counts_as_at_least_its_wait() -> None:
    latency = Latency()
    latency.observe(1.0, 0.0)
    latency.waited(0.5, 1.0)
    assert latency.peak == 1.0
    latency.waited(3.0, 1.0)
    assert latency.peak == 3.0


def test_a_target_is_stale_when_it_was_not_measured_lately() -> None:
    latency = Latency()
    assert latency.is_stale(0.0)
    latency.observe(1.0, 0.0)
    assert not latency.is_stale(DECAY_SECONDS)
    assert latency.is_stale(DECAY_SECONDS + 0.1)


def test_a_long_prompt_does_not_make_a_target_slow() -> None:
    assert (size_factor(0), size_factor(16_000)) == (1.0, 2.0)
