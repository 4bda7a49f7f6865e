"""Holds what was measured against the budget: `python -m benchmarks.guard`, which is `make bench-guard`.

It runs the scenarios that the budget speaks of, and exits with 1 when a figure is beyond what it must be, or cannot be
had. It measures nothing itself.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.budget import BUDGET, Figure, Row
from benchmarks.processes import BenchmarkFailed
from benchmarks.report import DISTURBED
from benchmarks.session import Options, Session, add_options, options_from
from benchmarks.summary import Line
from benchmarks.systems import DIRECT, GATEWAY, REFERENCE

Lines = Mapping[str, Sequence[Line]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of the budget with its figure, or without one."""

    row: Row
    value: float | None
    #: Whether other work disturbed the measurement.
    disturbed: bool = False

    @property
    def kept(self) -> bool:
        return self.value is not None and not _beyond(self.row, self.value, self.row.must)

    @property
    def aimed(self) -> bool:
        return self.value is not None and not _beyond(self.row, self.value, self.row.aim)


def judge(lines: Lines, started: Mapping[str, float], budget: Sequence[Row] = BUDGET) -> list[Verdict]:
    """A verdict on each row, but for those about systems that were not measured and need not be."""
    measured = {line.system for those in lines.values() for line in those if line.valid}
    verdicts = []
    for row in budget:
        if not set(row.needs) <= measured:
            continue
        if row.figure == "seconds":
            verdicts.append(Verdict(row, started.get(row.system)))
            continue
        systems = {line.system: line for line in lines.get(row.scenario, ()) if line.valid}
        value = figure(row.figure, systems, row.system)
        verdicts.append(Verdict(row, value, any(line.others > DISTURBED for line in systems.values())))
    return verdicts


def figure(kind: Figure, systems: Mapping[str, Line], name: str) -> float | None:
    """A figure of one system in one scenario; None where it, or what it is compared to, was not measured."""
    line = systems.get(name)
    if line is None:
        return None
    if kind == "added_p50_ratio":
        return _added_to([systems.get(REFERENCE)], line, _floor(systems))
    if kind in ("added_p99_ratio", "cpu_ratio"):
        ratio = line.added_p99_ratio if kind == "added_p99_ratio" else line.cpu_ratio
        return None if ratio is None else ratio[0]
    if kind == "ttft_p99_ms":
        return line.ttft_p99 / 1000
    if kind == "stream_kib":
        return line.stream_bytes / 1024
    if kind == "rate_to_litellm":
        other = systems.get("litellm")
        return line.per_second / other.per_second if other is not None and other.per_second else None
    if kind == "added_p50_growth":
        ratio_to_empty = _added_to([systems.get(GATEWAY)], line)
        return None if ratio_to_empty is None else (ratio_to_empty - 1) * 100
    if kind == "cpu_growth":
        without = systems.get(GATEWAY)
        return (line.cpu / without.cpu - 1) * 100 if without is not None and without.cpu else None
    if kind == "added_p50_to_slowest":
        return _added_to([systems.get("vllm-router"), systems.get("envoy")], line)
    return _added_to([systems.get("litellm")], line)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """The table: measured, must, aim."""
    rows = [("", "measured", "must", "aim", "")]
    for one in verdicts:
        value = "none" if one.value is None else f"{one.value:.3g}"
        sign = "≥ " if one.row.floor else "≤ "
        word = "aim reached" if one.aimed else "kept" if one.kept else "BROKEN"
        note = word + (", but other work ran on the machine" if one.disturbed else "")
        limits = (f"{sign}{one.row.must:.3g}", f"{sign}{one.row.aim:.3g} {one.row.unit}")
        rows.append((one.row.name, value, *limits, note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0].ljust(widths[0])}  {row[1].rjust(widths[1])}  {row[2].rjust(widths[2])}  "
        f"{row[3].ljust(widths[3])}  {row[4]}".rstrip()
        for row in rows
    )


def _floor(systems: Mapping[str, Line]) -> float:
    """The least that counts as added: less than a tenth of the direct time cannot be told from that time.

    Upstream and generator take milliseconds for megabytes, of which a proxy hides a part by working beside them.
    """
    direct = systems.get(DIRECT)
    return direct.ttft_p50 / 10 if direct is not None else 0.0


def _added_to(others: Sequence[Line | None], line: Line, floor: float = 0.0) -> float | None:
    """What a system adds, as a multiple of what the slowest of the others adds, or of the floor where that is more."""
    if line.added_p50 is None or any(other is None or other.added_p50 is None for other in others):
        return None
    slowest = max(other.added_p50[0] for other in others if other is not None and other.added_p50 is not None)
    base = max(slowest, floor)
    return line.added_p50[0] / base if base > 0 else None


def _beyond(row: Row, value: float, limit: float) -> bool:
    return value < limit if row.floor else value > limit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description="Hold the speed to its budget.")
    add_options(parser)
    options = options_from(parser)
    try:
        session = run(options)
    except BenchmarkFailed as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    verdicts = judge(session.lines, session.started)
    print("\n" + verdict_table(verdicts))
    broken = [one.row.name for one in verdicts if not one.kept]
    if broken:
        sys.exit(f"beyond the budget, or without a figure: {', '.join(broken)}")


def run(options: Options) -> Session:
    """Measure the scenarios of the budget, or those of them that the options name."""
    asked = {row.scenario for row in BUDGET}
    session = Session(options)
    session.run([name for name in options.scenarios if name in asked])
    return session


if __name__ == "__main__":
    main()
