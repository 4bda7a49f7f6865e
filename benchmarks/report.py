"""Shows the lines of a scenario as a table, and writes everything that was measured into one JSON file.

It computes nothing.
"""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.runner import Run, as_json
from benchmarks.scenarios.base import Scenario
from benchmarks.summary import Line, Ratio

#: Above this share of one core, other work on the machine disturbed the run.
DISTURBED = 0.05

_COLUMNS = (
    *("system", "TTFT p50", "p99", "added p50", "x nginx", "added p99", "x nginx"),
    *("per s", "CPU/{unit}", "x nginx", "busy", "others", "rig", "RSS", "failed", "lost", "late"),
)


def table(scenario: Scenario, lines: Sequence[Line]) -> str:
    """The scenario as text: a heading, and one row for each system. Times in microseconds."""
    heading = [column.format(unit=scenario.unit) for column in _COLUMNS]
    rows = [heading, *(_row(line) for line in lines)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(heading))]
    text = [f"{scenario.name}: {scenario.about}"]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        text.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(text)


def ceilings(scenarios: Sequence[tuple[Scenario, Sequence[Line]]]) -> str:
    """What upstream and load generator do without any system between, and what one unit costs each of them."""
    text = ["ceilings (direct: upstream and load generator share one core; CPU in µs)"]
    width = max((len(scenario.name) for scenario, _ in scenarios), default=0)
    for scenario, lines in scenarios:
        for line in lines:
            if line.system == "direct":
                text.append(
                    f"  {scenario.name.ljust(width)}  {line.per_second:>9,.0f} answers/s,"
                    f" upstream {line.upstream_cpu:.1f} and load {line.load_cpu:.1f} for each {scenario.unit}"
                )
    return "\n".join(text)


def warnings(lines: Sequence[Line]) -> list[str]:
    """What a reader must know before believing the tables."""
    found = []
    if any(line.others > DISTURBED for line in lines):
        found.append(
            "others !: other work ran on this machine; times are too long, and ratios of these rows not to be trusted"
        )
    if any(line.rig_bound for line in lines):
        found.append("rig !: upstream and load generator were the limit; `per s` is a lower bound, CPU figures hold")
    if any(line.errors or line.lost_events for line in lines):
        found.append("failed or lost: a system that does not answer everything has no valid times in that row")
    return found


def write(
    target: Path | None,
    arguments: dict[str, Any],
    versions: dict[str, str],
    results: Sequence[tuple[Scenario, Sequence[Run], Sequence[Line]]],
) -> Path:
    """Write the JSON file, whole or not at all; without a target, into `results/` under date and commit."""
    now = datetime.now(UTC)
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    document = {
        "date": now.isoformat(timespec="seconds"),
        "commit": commit,
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": machine(),
        "arguments": arguments,
        "systems": versions,
        "scenarios": [
            {
                "scenario": asdict(scenario),
                "lines": [asdict(line) for line in lines],
                "runs": [as_json(run) for run in runs],
            }
            for scenario, runs, lines in results
        ],
    }
    if target is None:
        target = ROOT / "benchmarks" / "results" / f"{now:%Y%m%dT%H%M%SZ}-{commit}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".tmp")
    draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    draft.replace(target)
    return target


def machine() -> dict[str, Any]:
    """What the figures depend on and cannot be moved to another machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _row(line: Line) -> list[str]:
    return [
        line.system,
        f"{line.ttft_p50:,.0f}",
        f"{line.ttft_p99:,.0f}",
        _difference(line.added_p50),
        _ratio(line.added_p50_ratio),
        _difference(line.added_p99),
        _ratio(line.added_p99_ratio),
        f"{line.per_second:,.0f}",
        f"{line.cpu:.1f}",
        _ratio(line.cpu_ratio),
        f"{line.busy:.0%}",
        _share(line.others, line.others > DISTURBED),
        _share(line.rig_busy, line.rig_bound),
        f"{line.resident_bytes / 1024 / 1024:.0f}M",
        str(line.errors),
        str(line.lost_events),
        str(line.late_events),
    ]


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
