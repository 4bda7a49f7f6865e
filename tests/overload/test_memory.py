"""The memory's grade: free memory is given back first, and not too often."""

import pytest

from proxy.overload import memory
from proxy.overload.grades import GRADE_RATIOS, PAUSE
from proxy.overload.memory import GIVE_BACK_SECONDS, MemoryGauge
from tests.overload.forced import Forced

MAX_BYTES = 1_000_000


@pytest.fixture
def readings() -> Forced:
    return Forced(MAX_BYTES)


@pytest.fixture
def gauge() -> MemoryGauge:
    gauge = MemoryGauge()
    gauge.max_bytes = MAX_BYTES
    return gauge


def test_memory_that_can_be_given_back_has_no_grade(
    gauge: MemoryGauge, readings: Forced, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[float] = []

    def give_back() -> None:
        calls.append(readings.memory_share)
        readings.memory_share = 0.3

    monkeypatch.setattr(memory, "give_back", give_back)
    readings.memory_share = 0.97
    gauge.sample(readings, 1_000.0)
    assert (gauge.grade, gauge.value) == (0, 0.3)
    readings.memory_share = GRADE_RATIOS[0] - 0.1
    gauge.sample(readings, 1_000.0 + GIVE_BACK_SECONDS)
    assert calls == [0.97]


def test_memory_in_use_is_graded_and_given_back_at_intervals(
    gauge: MemoryGauge, readings: Forced, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append(gauge.grade))
    readings.memory_share = 0.97
    for number in range(41):
        gauge.sample(readings, 1_000.0 + number * GIVE_BACK_SECONDS / 20)
    assert gauge.grade == PAUSE
    assert len(calls) in (2, 3)
