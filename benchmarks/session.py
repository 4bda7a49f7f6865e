"""One session of measuring: the options, the rig, all scenarios in turn, their tables, and the files it writes.

Tables go to stdout, talk to stderr. It holds no method of its own: see `runner`, `starting` and `summary`.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.peers import PEERS
from benchmarks.picture import distribution
from benchmarks.report import ceilings, default_target, document, table, warnings, without_runs, write
from benchmarks.runner import Rig, Run, cores, run_scenario, start_upstream
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.base import Scenario
from benchmarks.starting import Started, as_seconds, as_table, run_starting
from benchmarks.summary import Line, summarise
from benchmarks.system import PLAIN, Surroundings
from benchmarks.systems import SYSTEMS

DEFAULT_ROUNDS = 7
QUICK_ROUNDS = 1
MOST_ROUNDS = 1_000
DEFAULT_SYSTEMS = ("direct", "nginx", "gateway")
#: Of the full store: what the budget speaks of, and what is made in seconds.
FULL_STORE = (100_000, 10_000_000)
QUICK_STORE = (10_000, 100_000)
#: The scenario that the picture shows.
PICTURED = "stream-1"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    scenarios: tuple[str, ...]
    systems: tuple[str, ...] = DEFAULT_SYSTEMS
    rounds: int = DEFAULT_ROUNDS
    quick: bool = False
    target: Path | None = None
    #: Keys and rows of the full store.
    store: tuple[int, int] = FULL_STORE
    #: The command that is the gateway.
    gateway: tuple[str, ...] = PLAIN


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all commands share."""
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", nargs="+", choices=names, metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--systems",
        default=",".join(DEFAULT_SYSTEMS),
        metavar="A,B",
        help=f"which, and in which order (default: {','.join(DEFAULT_SYSTEMS)}; `all` adds {', '.join(PEERS)})",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help=f"default {DEFAULT_ROUNDS}; {QUICK_ROUNDS} with --quick"
    )
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not for figures")
    parser.add_argument("--keys", type=int, metavar="N", help=f"keys in the full store (default: {FULL_STORE[0]:,})")
    parser.add_argument("--rows", type=int, metavar="N", help=f"rows in the full store (default: {FULL_STORE[1]:,})")
    parser.add_argument("--gateway", metavar="PROGRAM", help="the gateway to measure (default: that of this folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results/…)")


def options_from(parser: argparse.ArgumentParser) -> Options:
    """Read and check the command line; ends the process where it is wrong."""
    arguments = parser.parse_args()
    text = ",".join([*DEFAULT_SYSTEMS, *PEERS]) if arguments.systems == "all" else arguments.systems
    systems = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in systems if name not in SYSTEMS]:
        parser.error(f"unknown system {unknown[0]!r}: choose from {', '.join(SYSTEMS)}, or all")
    if not systems or len(set(systems)) != len(systems):
        parser.error("--systems takes each system once, and at least one")
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else DEFAULT_ROUNDS)
    if not 1 <= rounds <= MOST_ROUNDS:
        parser.error(f"--rounds must be from 1 to {MOST_ROUNDS}")
    keys, rows = QUICK_STORE if arguments.quick else FULL_STORE
    return Options(
        scenarios=tuple(one.name for one in SCENARIOS if arguments.scenario is None or one.name in arguments.scenario),
        systems=systems,
        rounds=rounds,
        quick=arguments.quick,
        target=arguments.json,
        store=(arguments.keys or keys, arguments.rows or rows),
        gateway=(arguments.gateway,) if arguments.gateway else PLAIN,
    )


@dataclass(slots=True)
class Session:
    """See the module. `run` once, then look."""

    options: Options
    results: list[tuple[Scenario, list[Run], list[Line]]] = field(default_factory=list)
    started_each: list[Started] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> dict[str, list[Line]]:
        """The lines of each scenario, by its name."""
        return {scenario.name: lines for scenario, _, lines in self.results}

    @property
    def started(self) -> dict[str, float]:
        """Seconds that each command took to start, by its name."""
        return dict(as_seconds(self.started_each))

    def run(self, names: Sequence[str]) -> None:
        """Measure these scenarios, print their tables, write the files. Raises BenchmarkFailed."""
        signal.signal(signal.SIGTERM, _terminated)
        _warn_of_one_core()
        chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
        loads = [one.shortened() if self.options.quick else one for one in chosen if isinstance(one, Scenario)]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
            rig = self._rig(folder, loads, stack)
            for scenario in loads:
                self._measure(rig, scenario)
            for starting in chosen:
                if not isinstance(starting, Scenario):
                    times = starting.quick if self.options.quick else starting.times
                    self.started_each = run_starting(starting, times, folder, self.options.gateway)
                    print(as_table(starting, self.started_each) + "\n", flush=True)
            self.versions = rig.versions
        print(ceilings([(scenario, lines) for scenario, _, lines in self.results]))
        for text in warnings([line for _, _, lines in self.results for line in lines]):
            print(text)
        self._write()

    def _rig(self, folder: Path, loads: Sequence[Scenario], stack: ExitStack) -> Rig:
        system_core, rig_core = cores()
        upstream, port = start_upstream(rig_core, folder, stack)
        scripts = sorted({"bench-first"}.union(*(scenario.scripts for scenario in loads)))
        around = Surroundings(folder, upstream, port, system_core, scripts, self.options.store, self.options.gateway)
        return Rig(around, rig_core, stack)

    def _measure(self, rig: Rig, scenario: Scenario) -> None:
        names = scenario.systems or self.options.systems
        rounds = max(min(2, self.options.rounds), round(self.options.rounds * scenario.rounds))
        runs, failures = run_scenario(rig, scenario, names, rounds, _progress)
        lines = summarise(scenario, runs, failures)
        self.results.append((scenario, runs, lines))
        _progress("")
        print(table(scenario, lines) + "\n", flush=True)

    def _write(self) -> None:
        """The whole as JSON, its summary, and the picture beside it."""
        arguments = {"rounds": self.options.rounds, "quick": self.options.quick, "store": self.options.store}
        started = {one.name: one.seconds for one in self.started_each}
        whole = document(arguments, self.versions, self.results, started)
        target = self.options.target or default_target(whole)
        write(target, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        summary = target.with_suffix(".summary.json")
        write(summary, json.dumps(without_runs(whole), indent=1, ensure_ascii=False) + "\n")
        written = [target, summary]
        if curves := {line.system: line.curve for line in self.lines.get(PICTURED, []) if line.curve}:
            title = f"Time to first token, one connection ({whole['commit']})"
            written.append(target.with_suffix(".svg"))
            write(written[-1], distribution(title, curves))
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def _warn_of_one_core() -> None:
    system_core, rig_core = cores()
    if system_core == rig_core:
        print("only one core: systems and load share it, and all times are too long", file=sys.stderr)


def _progress(text: str) -> None:
    """The line that says what runs now, on a terminal; an empty one takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # Through the stack, so that no process is left behind.
    sys.exit(128 + number)
