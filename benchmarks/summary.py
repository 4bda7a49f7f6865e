"""From the runs of a scenario to one line for each system: medians over rounds, differences and ratios with intervals.

Pure. The formulas are those of the README.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Interval, paired_difference, paired_ratio
from benchmarks.runner import Run
from benchmarks.scenarios.base import Scenario

#: Above this share of their core, upstream and load generator limit the figure themselves.
RIG_BOUND = 0.85
BASE = "direct"
REFERENCE = "nginx"

Ratio = tuple[float, Interval] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One system in one scenario. Times in microseconds; a ratio is to the reference proxy."""

    system: str
    ttft_p50: float
    ttft_p99: float
    total_p50: float
    gap_p99: float
    per_second: float
    cpu: float
    upstream_cpu: float
    load_cpu: float
    busy: float
    others: float
    rig_busy: float
    resident_bytes: int
    errors: int
    lost_events: int
    late_events: int
    added_p50: tuple[float, Interval] | None = None
    added_p50_ratio: Ratio = None
    added_p99: tuple[float, Interval] | None = None
    added_p99_ratio: Ratio = None
    cpu_ratio: Ratio = None

    @property
    def rig_bound(self) -> bool:
        """Whether the rig, not the system, was the limit. Directly it always is: that is the ceiling."""
        return self.system != BASE and self.rig_busy > RIG_BOUND


def summarise(scenario: Scenario, runs: Sequence[Run]) -> list[Line]:
    """One line for each system, in the order in which they ran."""
    by_system: dict[str, list[Run]] = {}
    for run in runs:
        by_system.setdefault(run.system, []).append(run)
    return [_line(scenario, name, by_system) for name in by_system]


def _line(scenario: Scenario, name: str, by_system: dict[str, list[Run]]) -> Line:
    runs = by_system[name]
    base, reference = by_system.get(BASE), by_system.get(REFERENCE)
    added: dict[str, tuple[float, Interval] | None] = {}
    ratios: dict[str, Ratio] = {}
    for share in ("p50", "p99"):
        if base is not None and name != BASE and scenario.isolated:
            added[share] = paired_difference(_ttft(runs, share), _ttft(base, "p50"))
            if reference is not None:
                ratios[share] = paired_ratio(_added(runs, base, share), _added(reference, base, share))
    cpu_ratio = None
    if reference is not None and name != BASE:
        cpu_ratio = paired_ratio([run.cpu_us for run in runs], [run.cpu_us for run in reference])
    return Line(
        system=name,
        ttft_p50=median(_ttft(runs, "p50")),
        ttft_p99=median(_ttft(runs, "p99")),
        total_p50=median(run.times("total_us")["p50"] for run in runs),
        gap_p99=median(run.times("gap_us")["p99"] for run in runs),
        per_second=_median(runs, lambda run: float(run.load["per_second"])),
        cpu=_median(runs, lambda run: run.cpu_us),
        upstream_cpu=_median(runs, lambda run: run.upstream_cpu_us),
        load_cpu=_median(runs, lambda run: run.load_cpu_us),
        busy=_median(runs, lambda run: run.busy),
        others=_median(runs, lambda run: run.others),
        rig_busy=_median(runs, lambda run: run.rig_busy),
        resident_bytes=max(run.resident_bytes for run in runs),
        errors=sum(sum(run.load["errors"].values()) for run in runs),
        lost_events=sum(run.load["lost_events"] for run in runs),
        late_events=sum(run.load["late_events"] for run in runs),
        added_p50=added.get("p50"),
        added_p50_ratio=ratios.get("p50"),
        added_p99=added.get("p99"),
        added_p99_ratio=ratios.get("p99"),
        cpu_ratio=cpu_ratio,
    )


def _ttft(runs: Sequence[Run], share: str) -> list[float]:
    return [run.times("ttft_us")[share] for run in runs]


def _added(runs: Sequence[Run], base: Sequence[Run], share: str) -> list[float]:
    """Each round's percentile less the same round's direct median: never a percentile less a percentile of the tail."""
    return [one - other for one, other in zip(_ttft(runs, share), _ttft(base, "p50"), strict=True)]


def _median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return median(value(run) for run in runs)
