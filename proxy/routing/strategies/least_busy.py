"""The strategy "least-busy": the target with the fewest requests in flight, of several such any one."""

from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target


class LeastBusy(Strategy):
    """Chooses by the requests in flight of this worker process."""

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        least = min([one.state.in_flight for one in targets])
        idle = [one for one in targets if one.state.in_flight == least]
        return idle[0] if len(idle) == 1 else idle[int(self.random() * len(idle))]
