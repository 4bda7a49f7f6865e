"""Every fault of an upstream is survived: the quick ones once in each run, the whole matrix by `make faults`.

FAULTS_SEED is a number that changes where the upstream cuts what it sends in pieces.
After each run nothing may be left of its requests in the gateway, and no secret of theirs in anything it wrote.
"""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.runner import Case, Result, all_cases, config_for, faulty_upstream, left_over, run, sample
from tests.faults.secrets import FOR_UPSTREAM, OF_THE_CLIENT, everything_logged, files_of, found_in
from tests.faults.table import GROUPS, SCENARIOS
from tests.serving import RunningGateway

#: Seconds beyond its deadlines that a case may take: in the sample only a bound against waiting for ever.
PATIENCE, PROMISE = 15.0, 1.0


class Aftermath:
    """All that is to be seen when the cases have gone through one gateway."""

    def __init__(
        self, folder: Path, cases: list[Case], capture: pytest.CaptureFixture[str], *, grace: float, at_once: int
    ) -> None:
        data, seed = folder / "data", int(os.environ.get("FAULTS_SEED", "1"))
        # Those that keep everybody busy do not stand side by side.
        random.Random(seed).shuffle(cases)
        with everything_logged() as log, faulty_upstream(seed) as upstream:
            with RunningGateway(config_for(cases, upstream, folder)) as gateway:
                self.results = run(gateway, upstream, cases, grace, at_once)
                self.left_over = left_over(gateway)
                written = files_of(data)
            #: For each secret, how many requests had it in them when they came to the upstream.
            self.upstream_saw = {
                name: upstream.requests_with(text) for name, text in {**OF_THE_CLIENT, **FOR_UPSTREAM}.items()
            }
        printed = capture.readouterr()
        self.log, self.access, self.data = log.getvalue(), gateway.log.getvalue(), written + files_of(data)
        answers = b"".join(str(one.head).encode() + one.body.payload for one in self.results)
        self.places: dict[str, bytes | str] = {
            "the log": self.log,
            "the access log": self.access,
            "the standard output": printed.out,
            "the standard error": printed.err,
            "the data folder": self.data,
            "an answer": answers,
        }

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        wrong = [f"{result.case}: {problem}" for result in self.results for problem in result.problems]
        return [*wrong, *self.left_over, *found_in(self.places)]


def test_a_sample_of_all_faults_is_survived(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = Aftermath(tmp_path, sample(SCENARIOS), capfd, grace=PATIENCE, at_once=8)
    assert not after.wrong
    # The search for secrets looked where something is to be found.
    some = next(result for result in after.results if result.case.end.ending == "error")
    for written in (after.log, after.access, after.data.decode("latin-1")):
        assert some.id in written
    assert not [name for name in OF_THE_CLIENT if after.upstream_saw[name]]
    assert all(after.upstream_saw[name] for name in FOR_UPSTREAM)


@pytest.mark.slow
def test_every_fault_is_survived_in_every_format_and_mode(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = Aftermath(tmp_path, all_cases(SCENARIOS), capfd, grace=PROMISE, at_once=12)
    with capfd.disabled():
        print(f"\n{table(after.results)}")
    assert not after.wrong
    assert not [name for name in OF_THE_CLIENT if after.upstream_saw[name]]


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
