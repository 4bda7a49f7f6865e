"""Runs scenarios: interleaved rounds over all systems, and for each run what the load saw and what the processes used.

It decides nothing about the figures: `summary` reads them, `report` shows them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchmarkFailed, Child, all_clocks
from benchmarks.scenarios.base import Scenario
from benchmarks.system import Surroundings, System
from benchmarks.systems import DIRECT, HEAVY_CONNECTIONS, OURS, SLOW, SYSTEMS

#: Seconds after a run in which work that a system has put off (a ledger's batch) still counts as that run's.
SETTLE = 0.3
_READY_LIMIT = 10.0
_ROUSING = Scenario(name="rousing", about="", script="bench-first", unit="stream", events=3, requests=100, warmup=20)


@dataclass(frozen=True, slots=True)
class Run:
    """One system, one scenario, one round. CPU figures are microseconds for each unit of the scenario."""

    system: str
    round: int
    #: The load generator's own result.
    load: dict[str, Any]
    #: CPU of the system; for `direct`, of the upstream.
    cpu_us: float
    upstream_cpu_us: float
    load_cpu_us: float
    #: Share of its core that the system used.
    busy: float
    #: CPU used by processes that have no part in this run, as a share of one core: near 0 on a quiet machine.
    others: float
    #: Share of their common core that upstream and load generator used; near 1, the rig is what limits the figure.
    rig_busy: float
    resident_bytes: int
    #: What each open stream added to the resident memory; 0 where that was not asked.
    stream_bytes: float = 0.0

    def times(self, kind: str) -> dict[str, float]:
        """The percentiles of "ttft_us", "reused_ttft_us", "total_us", "first_byte_us", "gap_us" or "start_delay_us"."""
        described: dict[str, float] = self.load[kind]
        return described


class Rig:
    """The running upstream and systems. A system is started when it is first needed, and ends with the stack."""

    def __init__(self, around: Surroundings, core: int, stack: ExitStack) -> None:
        self.around = around
        #: Where the load generator runs.
        self.core = core
        #: What each system said it is.
        self.versions: dict[str, str] = {}
        self._stack = stack
        self._running: dict[str, System] = {}
        self._broken: dict[str, str] = {}

    @contextmanager
    def system(self, name: str, *, fresh: bool) -> Iterator[System]:
        """A running system, one of its own where it must be fresh. Raises BenchmarkFailed, each time the same."""
        if name in self._broken:
            raise BenchmarkFailed(self._broken[name])
        with ExitStack() as ending:
            try:
                if fresh and name != DIRECT:
                    system = SYSTEMS[name](self.around, ending)
                else:
                    if name not in self._running:
                        self._running[name] = SYSTEMS[name](self.around, self._stack)
                    system = self._running[name]
            except BenchmarkFailed as error:
                self._broken[name] = str(error)
                raise
            self.versions[name] = system.version
            yield system


def cores() -> tuple[int, int]:
    """The core of the systems, and that of upstream and load generator."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def start_upstream(core: int, folder: Path, stack: ExitStack) -> tuple[Child, int]:
    """The fake upstream and its port. Raises BenchmarkFailed."""
    command = [sys.executable, "-m", "benchmarks.upstream"]
    upstream = stack.enter_context(Child(command, core=core, log=folder / "upstream.log"))
    return upstream, _upstream_port(upstream)


def run_scenario(
    rig: Rig, scenario: Scenario, names: Sequence[str], rounds: int, progress: Callable[[str], None]
) -> tuple[list[Run], dict[str, str]]:
    """All rounds of one scenario, the systems in turn within each; and why a system could not be measured.

    Raises BenchmarkFailed where that is the gateway itself, or the upstream.
    """
    runs: list[Run] = []
    failures = {name: "too slow for so many streams" for name in names if _too_slow(name, scenario)}
    for number in range(1, rounds + 1):
        for name in names:
            if name in failures:
                continue
            progress(f"{scenario.name}: round {number} of {rounds}, {name}")
            try:
                with rig.system(name, fresh=scenario.fresh) as system:
                    runs.append(_run(rig, system, scenario, number))
            except BenchmarkFailed as error:
                if name in OURS:
                    raise
                failures[name] = str(error)
    return [run for run in runs if run.system not in failures], failures


def _too_slow(name: str, scenario: Scenario) -> bool:
    return name in SLOW and scenario.connections > HEAVY_CONNECTIONS


def _run(rig: Rig, system: System, scenario: Scenario, number: int) -> Run:
    idle = 0
    if scenario.memory:
        with _load(rig, system, _ROUSING) as load:
            _result(load, system)
        idle = system.process.resident_bytes()
    resident = 0
    with ExitStack() as stack:
        loads = [stack.enter_context(_load(rig, system, one)) for one in (scenario.beside, scenario) if one is not None]
        before = _clocks(rig, system)
        others_before = all_clocks()
        for load in loads:
            _go(load)
        if scenario.memory:
            time.sleep(_all_open(scenario))
            resident = system.process.resident_bytes()
        result = _result_of(loads[-1], system)
    time.sleep(SETTLE)
    used = tuple(after - earlier for after, earlier in zip(_clocks(rig, system), before, strict=True))
    others = _others(rig, system, others_before)
    stream_bytes = (resident - idle) / scenario.connections if scenario.memory else 0.0
    return _measured(system, scenario, number, result, used, others, stream_bytes)


@contextmanager
def _load(rig: Rig, system: System, scenario: Scenario) -> Iterator[Child]:
    """A load generator that has warmed up and waits for its start."""
    command = _load_command(system, scenario)
    with Child(command, core=rig.core, log=rig.around.folder / "load.log", talks=True) as load:
        assert load.process.stdout is not None
        if load.process.stdout.readline() != "ready\n":
            load.process.wait()
            raise BenchmarkFailed(f"no load on {system.name}: {load.said()}\n{system.process.said()[-2_000:]}")
        yield load


def _go(load: Child) -> None:
    assert load.process.stdin is not None
    load.process.stdin.write("go\n")
    load.process.stdin.flush()


def _result_of(load: Child, system: System) -> dict[str, Any]:
    assert load.process.stdout is not None
    line = load.process.stdout.readline()
    if not line:
        load.process.wait()
        raise load.failure(f"the load on {system.name} ended early")
    result: dict[str, Any] = json.loads(line)
    return result


def _result(load: Child, system: System) -> dict[str, Any]:
    _go(load)
    return _result_of(load, system)


def _all_open(scenario: Scenario) -> float:
    """Seconds from the first start to the middle of the time in which all streams are open."""
    opened = scenario.connections / scenario.rate
    first_end = (scenario.events - 1) * scenario.interval_ms / 1000
    return (opened + max(first_end, opened)) / 2


def _clocks(rig: Rig, system: System) -> tuple[int, int, int]:
    """Nanoseconds used by the system and by the upstream, and the time."""
    return system.process.cpu_nanoseconds(), rig.around.upstream.cpu_nanoseconds(), time.monotonic_ns()


def _others(rig: Rig, system: System, before: dict[int, int]) -> int:
    """Nanoseconds used since `before` by everything but this system, the upstream and this process."""
    ours = {os.getpid(), *system.process.family(), *rig.around.upstream.family()}
    return sum(used - before.get(one, 0) for one, used in all_clocks().items() if one not in ours)


def _measured(
    system: System,
    scenario: Scenario,
    number: int,
    result: dict[str, Any],
    used: Sequence[int],
    others: int,
    stream_bytes: float,
) -> Run:
    cpu, upstream_cpu, elapsed = used
    units = result["events"] if scenario.unit == "chunk" else result["completed"]
    if not units:
        raise BenchmarkFailed(f"{scenario.name}: {system.name} completed nothing: {result['errors']}")
    seconds = result["seconds"]
    return Run(
        system=system.name,
        round=number,
        load=result,
        cpu_us=round(cpu / 1000 / units, 2),
        upstream_cpu_us=round(upstream_cpu / 1000 / units, 2),
        load_cpu_us=round(result["load_cpu_us"] / units, 2),
        busy=round(cpu / 1e9 / seconds, 3),
        others=round(others / elapsed, 3),
        rig_busy=round((upstream_cpu / 1e9 + result["load_cpu_us"] / 1e6) / seconds, 3),
        resident_bytes=system.process.resident_bytes(),
        stream_bytes=round(stream_bytes),
    )


def _load_command(system: System, scenario: Scenario) -> list[str]:
    options: dict[str, object] = {
        "port": system.port,
        "model": system.model_prefix + scenario.script,
        "path": scenario.path,
        "key": system.key,
        "events": scenario.events,
        "interval-ms": scenario.interval_ms,
        "body-bytes": scenario.body_bytes,
        "connections": scenario.connections,
        "seconds": scenario.seconds,
        "rate": scenario.rate,
        "burst": scenario.burst,
        "per-connection": scenario.per_connection,
        "warmup": scenario.warmup,
        "warm-connections": scenario.warm_connections,
    }
    if scenario.requests:
        options["requests"] = scenario.requests
    if scenario.warmup_script:
        options["warmup-model"] = system.model_prefix + scenario.warmup_script
    command = [sys.executable, "-m", "benchmarks.load", "--wait"]
    command += [f"--{name}={value}" for name, value in options.items()]
    return [*command, "--stream"] if scenario.stream else command


def _upstream_port(upstream: Child) -> int:
    deadline = time.monotonic() + _READY_LIMIT
    while time.monotonic() < deadline:
        if upstream.process.poll() is not None:
            break
        if (said := upstream.said()).endswith("\n"):
            return int(said.strip().rpartition(":")[2])
        time.sleep(0.02)
    raise upstream.failure("the fake upstream does not start")
