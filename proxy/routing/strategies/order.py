"""The strategy "order": the first target of the configuration that may be tried."""

from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target


class InOrder(Strategy):
    """Chooses the first one."""

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        return targets[0]
