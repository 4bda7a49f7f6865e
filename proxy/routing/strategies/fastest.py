"""The strategy "fastest": of two targets at random the one with the lower time to first content times its load.

The time is the peak-EWMA of `Latency`: one slow response is enough to turn away from a target. To learn that it has
become fast again, one percent of the requests goes to a target that was not measured lately.
"""

from typing import Final

from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target

#: The share of requests that measures targets which were not measured lately.
PROBE_SHARE: Final = 0.01


class Fastest(Strategy):
    """Chooses by what was measured; a target that never was counts as the median of the others."""

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        draw, count = self.random(), len(targets)
        if draw < PROBE_SHARE:
            # One at a time, so that a slow one holds up one request and not a hundredth of them.
            stale = [one for one in targets if not one.state.in_flight and one.state.latency.is_stale(now)]
            if stale:
                return stale[int(draw / PROBE_SHARE * len(stale))]
        if count == 2:
            one, two = targets
        else:
            place = int(self.random() * count)
            other = int(self.random() * (count - 1))
            one, two = targets[place], targets[other + 1 if other >= place else other]
        peak, other_peak = one.state.latency.peak, two.state.latency.peak
        if not (peak and other_peak):
            middle = _median(targets)
            peak, other_peak = peak or middle, other_peak or middle
        cost, other_cost = peak * (one.state.in_flight + 1), other_peak * (two.state.in_flight + 1)
        if cost == other_cost:
            return one if draw < 0.5 else two
        return one if cost < other_cost else two


def _median(targets: tuple[Target, ...]) -> float:
    """The median of the times that were measured; any time where none was."""
    peaks = sorted([one.state.latency.peak for one in targets if one.state.latency.peak])
    return peaks[(len(peaks) - 1) // 2] if peaks else 1.0
