"""Runs scenarios: interleaved rounds over all systems, and for each run what the load saw and what the processes used.

It decides nothing about the figures: `summary` reads them, `report` shows them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchmarkFailed, Child, all_clocks
from benchmarks.scenarios.base import Scenario
from benchmarks.systems import SYSTEMS, Surroundings, System

#: Seconds after a run in which work that a system has put off (a ledger's batch) still counts as that run's.
SETTLE = 0.3
_READY_LIMIT = 10.0


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

    def times(self, kind: str) -> dict[str, float]:
        """The percentiles of "ttft_us", "total_us", "first_byte_us", "gap_us" or "start_delay_us"."""
        described: dict[str, float] = self.load[kind]
        return described


@dataclass(frozen=True, slots=True)
class Rig:
    """The running upstream and systems, and where the load generator runs."""

    systems: tuple[System, ...]
    upstream: Child
    core: int
    folder: Path


def cores() -> tuple[int, int]:
    """The core of the systems, and that of upstream and load generator."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def start(names: Sequence[str], scenarios: Sequence[Scenario], folder: Path, stack: ExitStack) -> Rig:
    """Start the upstream and the systems; all of them end with the stack. Raises BenchmarkFailed."""
    system_core, rig_core = cores()
    command = [sys.executable, "-m", "benchmarks.upstream"]
    upstream = stack.enter_context(Child(command, core=rig_core, log=folder / "upstream.log"))
    port = _upstream_port(upstream)
    scripts = sorted({script for scenario in scenarios for script in scenario.scripts})
    around = Surroundings(folder, upstream, port, system_core, scripts)
    return Rig(tuple(SYSTEMS[name](around, stack) for name in names), upstream, rig_core, folder)


def run_scenario(rig: Rig, scenario: Scenario, rounds: int, progress: Callable[[str], None]) -> list[Run]:
    """All rounds of one scenario, the systems in turn within each. Raises BenchmarkFailed."""
    runs = []
    for number in range(1, rounds + 1):
        for system in rig.systems:
            progress(f"{scenario.name}: round {number} of {rounds}, {system.name}")
            runs.append(_run(rig, system, scenario, number))
    return runs


def shortened(scenario: Scenario) -> Scenario:
    """The same in a fraction of the time, or for paced streams, with a fraction of the streams."""
    if not scenario.interval_ms:
        return replace(scenario, seconds=scenario.seconds * scenario.quick)
    return replace(
        scenario,
        connections=max(1, int(scenario.connections * scenario.quick)),
        rate=scenario.rate * scenario.quick,
        requests=max(1, int(scenario.requests * scenario.quick)),
        warmup=max(1, int(scenario.warmup * scenario.quick)),
    )


def as_json(run: Run) -> dict[str, Any]:
    return asdict(run)


def _run(rig: Rig, system: System, scenario: Scenario, number: int) -> Run:
    log = rig.folder / "load.log"
    command = _load_command(system, scenario)
    with Child(command, core=rig.core, log=log, talks=True) as load:
        assert load.process.stdin is not None
        assert load.process.stdout is not None
        if load.process.stdout.readline() != "ready\n":
            load.process.wait()
            raise load.failure(f"no load on {system.name}:\n{system.process.said()[-2_000:]}")
        before = _clocks(rig, system)
        others_before = all_clocks()
        load.process.stdin.write("go\n")
        load.process.stdin.flush()
        line = load.process.stdout.readline()
        if not line:
            load.process.wait()
            raise load.failure(f"the load on {system.name} ended early")
    time.sleep(SETTLE)
    used = tuple(after - earlier for after, earlier in zip(_clocks(rig, system), before, strict=True))
    others = _others(rig, system, others_before)
    return _measured(system, scenario, number, json.loads(line), used, others)


def _clocks(rig: Rig, system: System) -> tuple[int, int, int]:
    """Nanoseconds used by the system and by the upstream, and the time."""
    return system.process.cpu_nanoseconds(), rig.upstream.cpu_nanoseconds(), time.monotonic_ns()


def _others(rig: Rig, system: System, before: dict[int, int]) -> int:
    """Nanoseconds used since `before` by everything but this system, the upstream and this process."""
    ours = {os.getpid(), *system.process.family(), *rig.upstream.family()}
    return sum(used - before.get(one, 0) for one, used in all_clocks().items() if one not in ours)


def _measured(
    system: System, scenario: Scenario, number: int, result: dict[str, Any], used: Sequence[int], others: int
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
    )


def _load_command(system: System, scenario: Scenario) -> list[str]:
    options: dict[str, object] = {
        "port": system.port,
        "model": system.model_prefix + scenario.script,
        "key": system.key,
        "events": scenario.events,
        "interval-ms": scenario.interval_ms,
        "body-bytes": scenario.body_bytes,
        "connections": scenario.connections,
        "seconds": scenario.seconds,
        "rate": scenario.rate,
        "warmup": scenario.warmup,
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
