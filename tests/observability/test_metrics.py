"""Metrics: what is added is what is read."""

from proxy.observability.metrics import Metrics


def test_a_counter_sums_by_its_labels() -> None:
    requests = Metrics().counter("prometheus_requests_total", "Requests.", "alias")
    requests.add(1, "a")
    requests.add(2, "a")
    requests.add(1, "b")
    assert requests.values == {("a",): 3, ("b",): 1}


def test_a_name_is_made_once() -> None:
    metrics = Metrics()
    assert metrics.counter("a_total", "A.") is metrics.counter("a_total", "A.")


def test_an_observation_counts_in_the_first_bucket_that_holds_it() -> None:
    durations = Metrics().histogram("a_seconds", "A.", bounds=(0.1, 1.0))
    for seconds in (0.1, 0.5, 7.0):
        durations.observe(seconds)
    assert (durations.counts[()], durations.sums[()]) == ([1, 1, 1], 7.6)


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    metrics.gauge("in_flight", "Requests.", lambda: {(): 2.0})
    assert metrics.families["in_flight"].read() == {(): 2.0}  # type: ignore[attr-defined]
