"""Every fault of an upstream is survived: the quick ones once in each run, the whole matrix by `make faults`."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.runner import Case, Result, all_cases, config_for, faulty_upstream, run, sample
from tests.faults.table import GROUPS, SCENARIOS
from tests.serving import RunningGateway

#: Seconds beyond its deadlines that a case may take: in the sample only a bound against waiting for ever.
PATIENCE, PROMISE = 15.0, 1.0


def meet(folder: Path, cases: list[Case], grace: float, at_once: int) -> list[Result]:
    """All cases through one gateway."""
    with faulty_upstream() as upstream, RunningGateway(config_for(cases, upstream, folder)) as gateway:
        return run(gateway, upstream, cases, grace, at_once)


def wrong(results: list[Result]) -> list[str]:
    """What is not as it must be."""
    return [f"{result.case}: {problem}" for result in results for problem in result.problems]


def test_a_sample_of_all_faults_is_survived(tmp_path: Path) -> None:
    assert not wrong(meet(tmp_path, sample(SCENARIOS), PATIENCE, 8))


@pytest.mark.slow
def test_every_fault_is_survived_in_every_format_and_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = meet(tmp_path, all_cases(SCENARIOS), PROMISE, 24)
    with capsys.disabled():
        print(f"\n{table(results)}")
    assert not wrong(results)


def table(results: list[Result]) -> str:
    """One line a fault: of how many cases how many were as expected, how they ended for the client, and what it is."""
    lines = []
    for title, group in GROUPS.items():
        lines.append(f"\n{title}")
        for scenario in group:
            met = [result for result in results if result.case.scenario is scenario]
            good = sum(not result.problems for result in met)
            ends = Counter(f"{result.case.end.ending} {result.head.status}" for result in met)
            endings = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
            lines.append(f"  {scenario.name:36} {good:3}/{len(met):<3} {endings:36} {scenario.says}")
    good = sum(not result.problems for result in results)
    longest = max(results, key=lambda result: result.seconds)
    variants = len({(result.case.scenario.name, result.case.wire.name) for result in results})
    lines.append(
        f"\n{len(SCENARIOS)} faults, {variants} with their formats, {len(results)} cases: {good} as expected; "
        f"the longest took {longest.seconds:.2f} s ({longest.case})"
    )
    return "\n".join(lines)
