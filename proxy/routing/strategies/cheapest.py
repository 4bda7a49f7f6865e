"""The strategy "cheapest": the target at which this request is likely to cost the operator least."""

import math

from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target


class Cheapest(Strategy):
    """Chooses by the estimate of the request; a target whose costs are not known is dearer than all others."""

    estimates = True

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        costs, given, produced = self.costs, estimate.input_tokens, estimate.output_tokens
        chosen, least = targets[0], math.inf
        for target in targets:
            prices = costs.get(target.state)
            if prices is not None:
                cost = prices[0] * given + prices[1] * produced
                if cost < least:
                    chosen, least = target, cost
        return chosen
