"""What ten open dashboards add to the time to first token of streams through the same gateway.

Rounds alternate: without dashboards, and with them. In each one the same client asks the upstream itself, and then the
gateway: what the gateway adds is the difference. So a slow minute of the machine hits both sides of a comparison.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.figures import Interval, interval
from benchmarks.pages.dashboards import INTERVAL
from benchmarks.pages.gateway import AT_ONCE, RunningGateway, begin_sessions, running
from benchmarks.processes import ROOT, BenchmarkFailed, Child

DASHBOARDS: Final = 10
#: What ten dashboards may add to what the gateway adds, in percent.
MAX_MORE_PERCENT: Final = 10.0
_ROUNDS: Final = 12
_SECONDS: Final = 3.0
#: Streams in a second: not as many as are possible, since dashboards are to take what is left.
_RATE: Final = 100
_SHARES: Final = {"p50": 50, "p90": 90, "p99": 99}


@dataclass
class Side:
    """The rounds without dashboards, or with them: microseconds at each share, direct and by the gateway."""

    direct: list[dict[str, float]] = field(default_factory=list)
    gateway: list[dict[str, float]] = field(default_factory=list)
    pages: int = 0
    events: int = 0
    #: What the gateway has used of its core.
    busy: list[float] = field(default_factory=list)

    def added(self, share: str) -> list[float]:
        """What the gateway adds in each round, to the median of the upstream itself."""
        return [one[share] - base["p50"] for one, base in zip(self.gateway, self.direct, strict=True)]


def run(data_dir: Path, rounds: int = _ROUNDS, seconds: float = _SECONDS) -> bool:
    """Print the times; whether the median is within its bound."""
    without, beside = Side(), Side()
    with tempfile.TemporaryDirectory(prefix="pages-") as name, running(data_dir, Path(name)) as gateway:
        sessions = begin_sessions(gateway, DASHBOARDS)
        # Once, so that both sides find the same caches.
        with _dashboards(gateway, Path(name), sessions, 3.0) as child:
            _result(child)
        for number in range(rounds):
            _round(gateway, without, seconds)
            with _dashboards(gateway, Path(name), sessions, 2 * seconds + 4) as child:
                _round(gateway, beside, seconds)
                counts = _result(child)
            beside.pages += counts.get("pages", 0)
            beside.events += counts.get("events", 0)
            print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return _report(without, beside)


def _round(gateway: RunningGateway, side: Side, seconds: float) -> None:
    side.direct.append(_load(gateway, gateway.upstream_port, seconds))
    before = gateway.child.cpu_nanoseconds()
    side.gateway.append(_load(gateway, gateway.port, seconds))
    side.busy.append((gateway.child.cpu_nanoseconds() - before) / seconds / 1e9)


def _load(gateway: RunningGateway, port: int, seconds: float) -> dict[str, float]:
    """Microseconds to the first content at each share. Raises BenchmarkFailed where a stream has failed."""
    command = [sys.executable, "-m", "benchmarks.load", f"--port={port}", f"--model={AT_ONCE}", "--stream"]
    command += [f"--key={gateway.key}", "--events=3", f"--rate={_RATE}", f"--seconds={seconds}", "--connections=8"]
    command = ["taskset", "--cpu-list", str(gateway.core), *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if done.returncode:
        raise BenchmarkFailed(f"the load generator has failed: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"] or result["lost_events"]:
        raise BenchmarkFailed(f"streams have failed: {result['errors']}, {result['lost_events']} events were lost")
    return {name: result["ttft_curve_us"][percent] for name, percent in _SHARES.items()}


def _dashboards(gateway: RunningGateway, folder: Path, sessions: list[str], seconds: float) -> Child:
    command = [sys.executable, "-m", "benchmarks.pages.dashboards", f"--port={gateway.port}", f"--seconds={seconds}"]
    return Child([*command, "--sessions", *sessions], core=gateway.core, log=folder / "dashboards.log", talks=True)


def _result(child: Child) -> dict[str, int]:
    assert child.process.stdout is not None
    line = child.process.stdout.readline()
    if not line:
        raise child.failure("the dashboards have failed")
    counts: dict[str, int] = json.loads(line)
    if failed := {name: count for name, count in counts.items() if name.startswith("status")}:
        raise BenchmarkFailed(f"dashboards were refused: {failed}")
    return counts


def _report(without: Side, beside: Side) -> bool:
    rounds = len(without.gateway)
    print(f"{DASHBOARDS} dashboards, two pages each {INTERVAL:g} s and the live list: {beside.pages:,} pages,")
    print(f"{beside.events:,} events; {_RATE} streams a second, {rounds} pairs of rounds; the gateway's core is busy")
    print(f"{100 * median(without.busy):.0f} % without them, and {100 * median(beside.busy):.0f} % with them\n")
    print(f"{'added by the gateway, µs':26}{'without':>10}{'with':>10}{'with / without':>18}")
    kept = True
    for share in _SHARES:
        ratio, bounds = _ratio(without.added(share), beside.added(share))
        text = f"{ratio:.2f} [{bounds[0]:.2f}..{bounds[1]:.2f}]"
        print(f"{share:26}{median(without.added(share)):10,.0f}{median(beside.added(share)):10,.0f}{text:>22}")
        kept &= share != "p50" or ratio <= 1 + MAX_MORE_PERCENT / 100
    print(f"the median may be {MAX_MORE_PERCENT:.0f} % more")
    return kept


def _ratio(without: list[float], beside: list[float]) -> tuple[float, Interval]:
    """The median over rounds of each pair's ratio, with its interval."""
    ratios = [two / one for one, two in zip(without, beside, strict=True)]
    return median(ratios), interval(len(ratios), lambda chosen: median(ratios[index] for index in chosen))
