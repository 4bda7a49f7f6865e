"""The table of faults itself: that it is as large as it must be, and names each fault once."""

import pytest

from tests.faults.runner import all_cases, sample
from tests.faults.table import GROUPS, SCENARIOS

#: Faults, and faults in their formats, of which there must be so many.
FAULTS, VARIANTS = 80, 250


def test_every_name_stands_once() -> None:
    assert len(SCENARIOS) == sum(len(group) for group in GROUPS.values())


def test_there_are_as_many_faults_as_were_promised() -> None:
    assert len(SCENARIOS) >= FAULTS
    assert sum(len(one.wires) for one in SCENARIOS.values()) >= VARIANTS


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_matrix_has_every_fault_with_and_without_a_second_target(stream: bool, backed: bool) -> None:
    wanted = {(one.name, wire) for one in SCENARIOS.values() if stream in one.modes for wire in one.wires}
    cases = [case for case in all_cases(SCENARIOS) if (case.stream, case.backed) == (stream, backed)]
    assert {(case.scenario.name, case.wire.name) for case in cases} == wanted


def test_the_sample_has_every_quick_fault() -> None:
    assert {case.scenario.name for case in sample(SCENARIOS)} == {
        one.name for one in SCENARIOS.values() if not one.slow
    }


def test_nothing_is_expected_to_take_more_than_three_attempts() -> None:
    assert max(case.end.attempts for case in all_cases(SCENARIOS)) == 3
