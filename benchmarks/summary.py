"""From the runs of a scenario to one line for each system: medians over rounds, differences and ratios with intervals.

Pure. The formulas are those of the README.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Interval, paired_difference, paired_ratio
from benchmarks.runner import Run
from benchmarks.scenarios.base import Scenario
from benchmarks.systems import DIRECT, REFERENCE

#: Above this share of their core, upstream and load generator limit the figure themselves.
RIG_BOUND = 0.85

Ratio = tuple[float, Interval] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One system in one scenario. Times in microseconds; a ratio is to the reference proxy."""

    system: str
    #: Why it could not be measured; then everything else is nothing.
    failure: str = ""
    ttft_p50: float = 0.0
    ttft_p99: float = 0.0
    #: The same, of requests that were not the first on their connection.
    reused_p50: float = 0.0
    total_p50: float = 0.0
    gap_p50: float = 0.0
    gap_p99: float = 0.0
    per_second: float = 0.0
    cpu: float = 0.0
    upstream_cpu: float = 0.0
    load_cpu: float = 0.0
    busy: float = 0.0
    others: float = 0.0
    rig_busy: float = 0.0
    resident_bytes: int = 0
    stream_bytes: float = 0.0
    errors: int = 0
    lost_events: int = 0
    late_events: int = 0
    added_p50: tuple[float, Interval] | None = None
    added_p50_ratio: Ratio = None
    added_p99: tuple[float, Interval] | None = None
    added_p99_ratio: Ratio = None
    cpu_ratio: Ratio = None
    #: Percentiles 0 to 100 of the times to first token, each the median over the rounds.
    curve: tuple[float, ...] = ()

    @property
    def rig_bound(self) -> bool:
        """Whether the rig, not the system, was the limit. Directly it always is: that is the ceiling."""
        return self.system != DIRECT and self.rig_busy > RIG_BOUND

    @property
    def valid(self) -> bool:
        """Whether every request had its response, and every event came."""
        return not (self.failure or self.errors or self.lost_events)


def summarise(scenario: Scenario, runs: Sequence[Run], failures: Mapping[str, str]) -> list[Line]:
    """One line for each system, in the order in which they ran, then those that did not."""
    by_system: dict[str, list[Run]] = {}
    for run in runs:
        by_system.setdefault(run.system, []).append(run)
    measured = [_line(scenario, name, by_system) for name in by_system]
    return measured + [Line(system=name, failure=reason) for name, reason in failures.items()]


def _line(scenario: Scenario, name: str, by_system: dict[str, list[Run]]) -> Line:
    runs = by_system[name]
    base, reference = by_system.get(DIRECT), by_system.get(REFERENCE)
    added: dict[str, tuple[float, Interval] | None] = {}
    ratios: dict[str, Ratio] = {}
    for share in ("p50", "p99"):
        if base is not None and name != DIRECT and scenario.isolated:
            added[share] = paired_difference(_ttft(runs, share), _ttft(base, "p50"))
            if reference is not None:
                ratios[share] = paired_ratio(_added(runs, base, share), _added(reference, base, share))
    cpu_ratio = None
    if reference is not None and name != DIRECT:
        cpu_ratio = paired_ratio([run.cpu_us for run in runs], [run.cpu_us for run in reference])
    return Line(
        system=name,
        ttft_p50=median(_ttft(runs, "p50")),
        ttft_p99=median(_ttft(runs, "p99")),
        reused_p50=median(run.times("reused_ttft_us")["p50"] for run in runs),
        total_p50=median(run.times("total_us")["p50"] for run in runs),
        gap_p50=median(run.times("gap_us")["p50"] for run in runs),
        gap_p99=median(run.times("gap_us")["p99"] for run in runs),
        per_second=_median(runs, lambda run: float(run.load["per_second"])),
        cpu=_median(runs, lambda run: run.cpu_us),
        upstream_cpu=_median(runs, lambda run: run.upstream_cpu_us),
        load_cpu=_median(runs, lambda run: run.load_cpu_us),
        busy=_median(runs, lambda run: run.busy),
        others=_median(runs, lambda run: run.others),
        rig_busy=_median(runs, lambda run: run.rig_busy),
        resident_bytes=max(run.resident_bytes for run in runs),
        stream_bytes=_median(runs, lambda run: run.stream_bytes),
        errors=sum(sum(run.load["errors"].values()) for run in runs),
        lost_events=sum(run.load["lost_events"] for run in runs),
        late_events=sum(run.load["late_events"] for run in runs),
        added_p50=added.get("p50"),
        added_p50_ratio=ratios.get("p50"),
        added_p99=added.get("p99"),
        added_p99_ratio=ratios.get("p99"),
        cpu_ratio=cpu_ratio,
        curve=_curve(runs),
    )


def _curve(runs: Sequence[Run]) -> tuple[float, ...]:
    curves = [run.load["ttft_curve_us"] for run in runs if run.load["ttft_curve_us"]]
    return tuple(median(values) for values in zip(*curves, strict=True)) if curves else ()


def _ttft(runs: Sequence[Run], share: str) -> list[float]:
    return [run.times("ttft_us")[share] for run in runs]


def _added(runs: Sequence[Run], base: Sequence[Run], share: str) -> list[float]:
    """Each round's percentile less the same round's direct median: never a percentile less a percentile of the tail."""
    return [one - other for one, other in zip(_ttft(runs, share), _ttft(base, "p50"), strict=True)]


def _median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return median(value(run) for run in runs)
