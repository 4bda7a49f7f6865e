"""Shows the lines of a scenario as a table, and writes everything that was measured into one JSON file.

It computes nothing.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.runner import Run
from benchmarks.scenarios.base import Scenario
from benchmarks.summary import Line, Ratio
from benchmarks.systems import DIRECT

#: Above this share of one core, other work on the machine disturbed the run.
DISTURBED = 0.05


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its heading, its cells, and the scenarios it applies to."""

    heading: str
    cell: Callable[[Line], str]
    matters: Callable[[Scenario], bool] = lambda scenario: True


def _isolated(scenario: Scenario) -> bool:
    return scenario.isolated


def _paced(scenario: Scenario) -> bool:
    return bool(scenario.interval_ms)


_COLUMNS = (
    _Column("TTFT p50", lambda line: f"{line.ttft_p50:,.0f}"),
    _Column("p99", lambda line: f"{line.ttft_p99:,.0f}"),
    _Column("reused p50", lambda line: f"{line.reused_p50:,.0f}", lambda scenario: bool(scenario.per_connection)),
    _Column("added p50", lambda line: _difference(line.added_p50), _isolated),
    _Column("x nginx", lambda line: _ratio(line.added_p50_ratio), _isolated),
    _Column("added p99", lambda line: _difference(line.added_p99), _isolated),
    _Column("x nginx", lambda line: _ratio(line.added_p99_ratio), _isolated),
    _Column("total p50", lambda line: f"{line.total_p50:,.0f}", lambda scenario: not scenario.interval_ms),
    _Column("gap p50", lambda line: f"{line.gap_p50:,.0f}", _paced),
    _Column("p99", lambda line: f"{line.gap_p99:,.0f}", _paced),
    _Column("per s", lambda line: f"{line.per_second:,.0f}"),
    _Column("CPU/{unit}", lambda line: f"{line.cpu:.1f}"),
    _Column("x nginx", lambda line: _ratio(line.cpu_ratio)),
    _Column("busy", lambda line: f"{line.busy:.0%}"),
    _Column("others", lambda line: _share(line.others, line.others > DISTURBED)),
    _Column("rig", lambda line: _share(line.rig_busy, line.rig_bound)),
    _Column("RSS", lambda line: f"{line.resident_bytes / 1024 / 1024:.0f}M"),
    _Column("per stream", lambda line: f"{line.stream_bytes / 1024:.1f}K", lambda scenario: scenario.memory),
    _Column("failed", lambda line: str(line.errors)),
    _Column("lost", lambda line: str(line.lost_events)),
    _Column("late", lambda line: str(line.late_events), _paced),
)


def table(scenario: Scenario, lines: Sequence[Line]) -> str:
    """The scenario as text: a heading, and one row for each system. Times in microseconds."""
    columns = [column for column in _COLUMNS if column.matters(scenario)]
    rows = [["system", *(column.heading.format(unit=scenario.unit) for column in columns)]]
    rows += [[line.system, *(column.cell(line) for column in columns)] for line in lines if not line.failure]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns) + 1)]
    text = [f"{scenario.name}: {scenario.about}"]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        text.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    text += [f"{line.system}  not measured: {_short(line.failure)}" for line in lines if line.failure]
    return "\n".join(text)


def ceilings(scenarios: Sequence[tuple[Scenario, Sequence[Line]]]) -> str:
    """What upstream and load generator do without any system between, and what one unit costs each of them."""
    text = ["ceilings (direct: upstream and load generator share one core; CPU in µs)"]
    width = max((len(scenario.name) for scenario, _ in scenarios), default=0)
    for scenario, lines in scenarios:
        for line in lines:
            if line.system == DIRECT and not line.failure:
                text.append(
                    f"  {scenario.name.ljust(width)}  {line.per_second:>9,.0f} responses/s,"
                    f" upstream {line.upstream_cpu:.1f} and load {line.load_cpu:.1f} for each {scenario.unit}"
                )
    return "\n".join(text)


def warnings(lines: Sequence[Line]) -> list[str]:
    """Warnings that belong to the tables."""
    found = []
    if any(line.others > DISTURBED for line in lines):
        found.append(
            "others !: other work ran on this machine; times are too long, and ratios of these rows not to be trusted"
        )
    if any(line.rig_bound for line in lines):
        found.append("rig !: upstream and load generator were the limit; `per s` is a lower bound, CPU figures hold")
    if any(line.errors or line.lost_events for line in lines):
        found.append("failed or lost: a system that does not respond to everything has no valid times in that row")
    return found


def document(
    arguments: dict[str, Any],
    versions: Mapping[str, str],
    results: Sequence[tuple[Scenario, Sequence[Run], Sequence[Line]]],
    started: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Everything that was measured, and where."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD") or "unknown",
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": machine(),
        "arguments": arguments,
        "systems": dict(versions),
        "scenarios": [
            {
                "scenario": asdict(scenario),
                "lines": [asdict(line) for line in lines],
                "runs": [asdict(run) for run in runs],
            }
            for scenario, runs, lines in results
        ],
        "started_seconds": dict(started),
    }


def without_runs(whole: dict[str, Any]) -> dict[str, Any]:
    """The same with the lines alone: small enough to be kept."""
    scenarios = [{**one, "runs": [], "lines": [_small(line) for line in one["lines"]]} for one in whole["scenarios"]]
    return {**whole, "scenarios": scenarios}


def default_target(whole: dict[str, Any]) -> Path:
    """A new file in `results/`, named after date and commit."""
    moment = datetime.fromisoformat(whole["date"])
    return ROOT / "benchmarks" / "results" / f"{moment:%Y%m%dT%H%M%SZ}-{whole['commit']}.json"


def write(target: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".tmp")
    draft.write_text(text)
    draft.replace(target)


def machine() -> dict[str, Any]:
    """What the figures depend on and cannot be moved to another machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _small(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "curve"}


def _short(reason: str) -> str:
    """The reason on one line: how it begins, and how it ends, which is the last that the system said."""
    words = " ".join(reason.split())
    return words if len(words) <= 300 else f"{words[:100]} … {words[-200:]}"


def _share(value: float, alarming: bool) -> str:
    return f"{value:.0%}" + ("!" if alarming else "")


def _difference(value: Ratio) -> str:
    return "-" if value is None else f"{value[0]:,.0f} [{value[1][0]:,.0f}..{value[1][1]:,.0f}]"


def _ratio(value: Ratio) -> str:
    return "-" if value is None else f"{value[0]:.2f} [{value[1][0]:.2f}..{value[1][1]:.2f}]"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        # A checkout without git still has figures.
        return ""
    return done.stdout.strip()
