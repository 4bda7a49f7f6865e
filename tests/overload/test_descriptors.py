"""The descriptors' grade: counted now and then, and at once when the last ones are given away."""

import sys

from proxy.overload.descriptors import COUNT_SWEEPS, DescriptorGauge
from proxy.overload.grades import PAUSE
from tests.overload.forced import MOST, Forced


def test_they_are_counted_at_every_few_sweeps() -> None:
    gauge, readings = DescriptorGauge(), Forced()
    counts = []
    for number in range(COUNT_SWEEPS + 1):
        readings.descriptor_share = (number + 1) / 100
        gauge.sample(readings, float(number))
        counts.append(gauge.open)
    assert counts == [MOST // 100] * COUNT_SWEEPS + [MOST * (COUNT_SWEEPS + 1) // 100]


def test_the_last_ones_are_for_upstreams_and_those_after_them_for_files() -> None:
    gauge, readings = DescriptorGauge(), Forced()
    gauge.sample(readings, 0.0)
    # Where the kernel reports none there is no limit either.
    assert (gauge.end_of_clients, gauge.end_of_upstreams) == (sys.maxsize, sys.maxsize)
    readings.descriptor_share = 0.5
    for _ in range(COUNT_SWEEPS):
        gauge.sample(readings, 1.0)
    assert (gauge.end_of_clients, gauge.end_of_upstreams) == (MOST * 95 // 100, MOST * 98 // 100)


def test_exhaustion_does_not_wait_for_the_next_count() -> None:
    gauge, readings = DescriptorGauge(), Forced()
    gauge.sample(readings, 0.0)
    gauge.exhausted(readings, 0.1)
    assert gauge.grade == PAUSE
