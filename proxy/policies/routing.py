"""RoutingPolicy: puts the targets of a request into the order in which its alias's strategy wants them tried."""

from typing import ClassVar

from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.policies.base import Policy


class RoutingPolicy(Policy):
    """Chooses the target that is tried first. It refuses nothing, and does nothing for an alias without routing."""

    checks_resources: ClassVar[bool] = False

    def is_enabled(self) -> bool:
        return any([alias.routing is not None for alias in self.state.aliases.values()])  # noqa: C419 (compiled)

    def admit(self, context: RequestContext) -> Origin | None:
        alias = context.alias
        if alias is None or alias.routing is None or context.references:
            # Objects are where they are, with the key that is first.
            return None
        context.targets = alias.routing.order(context.targets)
        return None
