"""Times how long commands of the gateway take to start: real processes, started one after another, interleaved.

What is timed is from before the process exists until its line is there, or until it has ended.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import BenchmarkFailed
from benchmarks.scenarios.base import Starting

_LIMIT = 30.0
#: What a bare interpreter takes: none of it is the gateway's, and a command cannot be faster.
FLOOR = "interpreter"


@dataclass(frozen=True, slots=True)
class Started:
    """How long one command took, each time."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)


def run_starting(scenario: Starting, times: int, folder: Path, gateway: Sequence[str]) -> list[Started]:
    """Each command of the gateway `times` times, in turn. Raises BenchmarkFailed."""
    commands = {FLOOR: ([sys.executable, "-c", "pass"], "")} | {
        name: ([*gateway, *arguments], line) for name, (arguments, line) in scenario.commands.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    # The first start of each compiles what was not compiled.
    for number in range(times + 1):
        for name, (command, line) in commands.items():
            data = folder / f"{name}-{number}"
            data.mkdir(exist_ok=True)
            seconds = _timed(command, line, data)
            if number:
                taken[name].append(seconds)
    return [Started(name, tuple(values)) for name, values in taken.items()]


def as_table(scenario: Starting, results: Sequence[Started]) -> str:
    """The table."""
    rows = [f"  {one.name:<12} {one.median:6.3f} s   {min(one.seconds):.3f}..{max(one.seconds):.3f}" for one in results]
    return "\n".join([f"{scenario.name}: {scenario.about}", *rows])


def as_seconds(results: Sequence[Started]) -> Mapping[str, float]:
    """The median of each."""
    return {one.name: one.median for one in results}


def _timed(command: Sequence[str], line: str, folder: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if not line:
                process.wait(_LIMIT)
                status = process.returncode
                if status:
                    raise BenchmarkFailed(f"{' '.join(command)} ended with status {status}")
                return time.perf_counter() - began
            for said in process.stdout:
                if said.startswith(line):
                    return time.perf_counter() - began
            raise BenchmarkFailed(f"{' '.join(command)} ended without `{line}`")
        finally:
            process.terminate()
