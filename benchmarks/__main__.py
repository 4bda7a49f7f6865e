"""The command: `python -m benchmarks`. Runs scenarios against systems, prints tables, and writes a JSON file.

Tables go to stdout, talk to stderr. It holds no method of its own: see `runner` and `summary`.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.processes import BenchmarkFailed
from benchmarks.report import ceilings, table, warnings, write
from benchmarks.runner import Run, cores, run_scenario, shortened, start
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.base import Scenario
from benchmarks.summary import Line, summarise
from benchmarks.systems import SYSTEMS

DEFAULT_ROUNDS = 7
QUICK_ROUNDS = 3
MOST_ROUNDS = 1_000


def parser() -> argparse.ArgumentParser:
    """The options; `--help` is the reference."""
    known = "\n".join(f"  {scenario.name:<18} {scenario.about}" for scenario in SCENARIOS)
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what the gateway adds, beside a plain proxy and beside none.",
        epilog=f"scenarios:\n{known}\n\nHow to read the tables: benchmarks/README.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [scenario.name for scenario in SCENARIOS]
    result.add_argument("--scenario", nargs="+", choices=names, metavar="NAME", help="only these (default: all)")
    result.add_argument(
        "--systems",
        default=",".join(SYSTEMS),
        metavar="A,B",
        help=f"which, and in which order (default: {','.join(SYSTEMS)})",
    )
    result.add_argument(
        "--rounds", type=int, metavar="N", help=f"default {DEFAULT_ROUNDS}; {QUICK_ROUNDS} with --quick"
    )
    result.add_argument("--quick", action="store_true", help="short runs: to see that it works, not for figures")
    result.add_argument(
        "--json", type=Path, metavar="FILE", help="where to write (default: a new file in benchmarks/results/)"
    )
    return result


def main() -> None:
    options = parser()
    arguments = options.parse_args()
    systems = [name.strip() for name in arguments.systems.split(",") if name.strip()]
    if unknown := [name for name in systems if name not in SYSTEMS]:
        options.error(f"unknown system {unknown[0]!r}: choose from {', '.join(SYSTEMS)}")
    if not systems or len(set(systems)) != len(systems):
        options.error("--systems takes each system once, and at least one")
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else DEFAULT_ROUNDS)
    if not 1 <= rounds <= MOST_ROUNDS:
        options.error(f"--rounds must be from 1 to {MOST_ROUNDS}")
    scenarios = [one for one in SCENARIOS if arguments.scenario is None or one.name in arguments.scenario]
    if arguments.quick:
        scenarios = [shortened(one) for one in scenarios]
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _measure(systems, scenarios, rounds, arguments.json, quick=arguments.quick)
    except BenchmarkFailed as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _measure(
    systems: Sequence[str], scenarios: Sequence[Scenario], rounds: int, target: Path | None, *, quick: bool
) -> None:
    _warn_of_one_core()
    results: list[tuple[Scenario, list[Run], list[Line]]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        rig = start(systems, scenarios, folder, stack)
        for scenario in scenarios:
            runs = run_scenario(rig, scenario, rounds, _progress)
            lines = summarise(scenario, runs)
            results.append((scenario, runs, lines))
            _clear_progress()
            print(table(scenario, lines) + "\n", flush=True)
        versions = {system.name: system.version for system in rig.systems}
    print(ceilings([(scenario, lines) for scenario, _, lines in results]))
    for text in warnings([line for _, _, lines in results for line in lines]):
        print(text)
    path = write(target, {"rounds": rounds, "quick": quick}, versions, results)
    print(f"written to {path}", file=sys.stderr)


def _warn_of_one_core() -> None:
    system_core, rig_core = cores()
    if system_core == rig_core:
        print("only one core: systems and load share it, and all times are too long", file=sys.stderr)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # Through the stack, so that no process is left behind.
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
