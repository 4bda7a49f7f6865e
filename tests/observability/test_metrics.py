"""Metrics: what is added is what is read, over all workers, and what passes the bounds is counted as other."""

import pytest

from proxy.observability.metrics import CAPPED, MAX_SERIES, OTHER, Labels, Metrics
from proxy.observability.metrics_memory import MetricsMemory


def values(metrics: Metrics, name: str) -> dict[Labels, list[int]]:
    """The values of a family over all workers."""
    return next(one.values for one in metrics.read()() if one.family.name == name)


def gauges(metrics: Metrics, name: str) -> dict[Labels, float]:
    return next(one.gauges for one in metrics.read()() if one.family.name == name)


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


def test_counters_and_histograms_of_all_workers_are_added_up() -> None:
    memory = MetricsMemory(3)
    workers = [Metrics(memory, place) for place in range(3)]
    for place, metrics in enumerate(workers):
        metrics.counter("a_total", "A.", "x").add(place + 1, "both")
        metrics.counter("a_total", "A.", "x").add(1, f"only-{place}")
        metrics.histogram("a_seconds", "A.", bounds=(1.0,)).observe(place)
    for metrics in workers:
        found = values(metrics, "a_total")
        assert found == {("both",): [6], ("only-0",): [1], ("only-1",): [1], ("only-2",): [1]}
        assert values(metrics, "a_seconds") == {(): [2, 1, 3_000_000_000]}


@pytest.mark.parametrize(("merge", "expected"), [("sum", 6.0), ("max", 3.0), ("min", 1.0)])
def test_gauges_of_all_workers_are_merged_as_each_says(merge: str, expected: float) -> None:
    memory = MetricsMemory(3)
    workers = [Metrics(memory, place) for place in range(3)]
    for place, metrics in enumerate(workers):
        metrics.gauge("a", "A.", lambda value=place + 1.0: {("x",): value}, "l", merge=merge)  # type: ignore[misc, arg-type]
        metrics.sweep()
    assert [gauges(metrics, "a") for metrics in workers] == [{("x",): expected}] * 3


def test_gauges_of_others_are_those_of_their_last_sweep_and_the_own_are_of_now() -> None:
    memory = MetricsMemory(2)
    first, second = Metrics(memory, 0), Metrics(memory, 1)
    value: dict[Labels, float] = {(): 1.0}
    for metrics in (first, second):
        metrics.gauge("a", "A.", lambda: dict(value))
    second.sweep()
    value[()] = 10.0
    assert gauges(first, "a") == {(): 11.0}


def test_series_of_a_family_are_bounded_and_the_rest_is_other() -> None:
    metrics = Metrics()
    counter = metrics.counter("a_total", "A.", "x", "y")
    for number in range(MAX_SERIES + 50):
        counter.add(1, str(number), "b")
    counter.add(1, "0", "b")
    found = values(metrics, "a_total")
    assert len(found) == MAX_SERIES + 1
    assert found[OTHER, OTHER] == [50]
    assert found["0", "b"] == [2]
    assert values(metrics, CAPPED) == {("a_total",): [50]}


def test_without_any_room_nothing_fails_and_what_is_known_is_counted_on() -> None:
    metrics = Metrics()
    known = metrics.counter("known_total", "K.", "x")
    known.add(1, "a")
    for number in range(60):
        histogram = metrics.histogram(f"h{number}_seconds", "H.", "x")
        for label in range(100):
            histogram.observe(0.1, str(label))
    known.add(1, "a")
    assert values(metrics, "known_total") == {("a",): [2]}


def test_a_wrong_number_of_labels_is_a_fault_of_the_code() -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Metrics().counter("a_total", "A.", "x").add(1)


def test_folds_are_called_before_the_values_are_read() -> None:
    metrics = Metrics()
    counter = metrics.counter("a_total", "A.")
    metrics.folds.append(lambda: counter.add(1))
    assert values(metrics, "a_total") == {(): [1]}
