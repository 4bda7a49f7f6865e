"""HedgePolicy: requests of aliases with `hedge` may have a second attempt, which `HedgedOrigin` makes."""

from functools import partial
from typing import ClassVar

from proxy.exchange.context import RequestContext
from proxy.exchange.hedge_rules import ENDPOINTS
from proxy.exchange.hedged_origin import HedgedOrigin
from proxy.exchange.interfaces import Origin
from proxy.policies.base import GatewayState, Policy
from proxy.routing.hedging import AliasHedging


class HedgePolicy(Policy):
    """Chooses the origin of a request that could have a second attempt. Behind all policies that may refuse it."""

    checks_resources: ClassVar[bool] = False

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        #: By alias; what is known of one outlives a reload.
        self._hedging: dict[str, AliasHedging] = {}
        self._results = state.metrics.counter(
            "prometheus_gateway_hedges_total",
            "Second attempts by result: the second or the first one responded, or it was due and not made.",
            "alias",
            "result",
        )

    def is_enabled(self) -> bool:
        hedging: dict[str, AliasHedging] = {}
        for name, model in self.state.config.models.items():
            settings = model.routing.hedge if model.routing is not None else None
            if settings is None:
                continue
            one = self._hedging.get(name)
            if one is None:
                one = AliasHedging(settings, self._is_calm, partial(self._count, name))
            one.configure(settings, model.costs)
            hedging[name] = one
        self._hedging = hedging
        return bool(hedging)

    def admit(self, context: RequestContext) -> Origin | None:
        services, alias = self.state.services, context.alias
        if services is None or alias is None or context.upload is not None or context.references:
            return None
        hedging = self._hedging.get(alias.name)
        if hedging is None or len(context.targets) < 2 or context.endpoint not in ENDPOINTS:
            return None
        return HedgedOrigin(services, context, hedging)

    def hedging_of(self, alias: str) -> AliasHedging:
        """What is known of an alias that hedges. Raises KeyError for another one."""
        return self._hedging[alias]

    def _is_calm(self) -> bool:
        return self.state.overload.grade == 0

    def _count(self, alias: str, result: str) -> None:
        self._results.add(1, alias, result)
