"""The strategy "weighted": smooth weighted round robin, as nginx has it.

Each target gets its share of every few requests, evenly spread, and not first all of one and then all of another.
"""

from collections.abc import Callable, Mapping

from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target
from proxy.upstream.target_state import TargetState


class Weighted(Strategy):
    """Shares requests by weight among those that may be tried."""

    def __init__(
        self,
        weights: Mapping[TargetState, int],
        costs: Mapping[TargetState, tuple[float, float]],
        random: Callable[[], float],
    ) -> None:
        super().__init__(weights, costs, random)
        #: By how much each is behind its share.
        self._behind: dict[TargetState, int] = dict.fromkeys(weights, 0)

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        behind, weights = self._behind, self.weights
        chosen = targets[0]
        most, total = 0, 0
        for target in targets:
            state = target.state
            weight = weights[state]
            total += weight
            lacks = behind[state] = behind[state] + weight
            if lacks > most:
                most, chosen = lacks, target
        behind[chosen.state] -= total
        return chosen
