"""RoutingPolicy: puts the targets of a request into the order in which its alias's strategy wants them tried.

It keeps the metrics of targets too. What is measured of a target is measured where attempts are made.
"""

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import ClassVar, Final

from proxy.errors import InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.fallback import session_of
from proxy.exchange.interfaces import Origin
from proxy.ledger.record import UsageRecord
from proxy.observability.metrics import Counter, Labels, Metrics
from proxy.policies.access import is_usable, may_use
from proxy.policies.base import GatewayState, Policy
from proxy.policies.references import check_models
from proxy.routing.alias_routing import NO_ESTIMATE
from proxy.routing.models import Alias
from proxy.routing.selection import may_try
from proxy.routing.strategies.base import Estimate
from proxy.upstream.target import Target

#: Bytes of a body for each token that it is estimated to have.
BYTES_PER_TOKEN: Final = 4
#: Fields that bound the tokens of a response, of which one is set.
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def fallbacks_counter(metrics: Metrics) -> Counter:
    """The counter of attempts that followed a failed one, at another target or for another alias."""
    help = "Attempts at another target, or for another alias, by the cause for which the one before failed."
    return metrics.counter("prometheus_gateway_fallbacks_total", help, "alias", "to", "cause")


def may_serve(context: RequestContext, alias: Alias) -> bool:
    """Whether another alias may serve a request in place of its own: the key may use it, and the body names no models
    at it that the key may not use."""
    if not may_use(context.key, alias.name):
        return False
    fields = context.body.fields
    if not alias.watched.isdisjoint(fields):
        usable = partial(is_usable, context.aliases, context.key)
        try:
            check_models(fields, alias.choosing, alias.choosing_in, usable)
        except InvalidRequest:
            return False
    return True


class RoutingPolicy(Policy):
    """Chooses the target that is tried first. It refuses nothing, and does nothing for an alias without routing."""

    checks_resources: ClassVar[bool] = False

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        metrics = state.metrics
        # Added to where an attempt follows another one; known from the start.
        fallbacks_counter(metrics)
        labels = ("alias", "upstream", "target")
        metrics.gauge(
            "prometheus_gateway_target_ttft_seconds",
            "Peak-EWMA of the time to the first content of an empty request, by target and key.",
            self._ttft,
            *labels,
            merge="max",
        )
        metrics.gauge(
            "prometheus_gateway_target_in_flight", "Requests that a target has now.", self._in_flight, *labels
        )
        metrics.gauge(
            "prometheus_gateway_target_healthy",
            "1 while a target is tried like the others, 0 while a worker lets it cool down or has ejected it.",
            self._healthy,
            *labels,
            merge="min",
        )
        self._input = metrics.counter(
            "prometheus_gateway_routed_input_tokens_total",
            "Input tokens of requests to aliases with routing.",
            *("alias", "strategy", "sticky"),
        )
        self._cached = metrics.counter(
            "prometheus_gateway_routed_cached_tokens_total",
            "Those of them that a provider read from its prompt cache.",
            *("alias", "strategy", "sticky"),
        )

    def is_enabled(self) -> bool:
        return bool([1 for alias in self.state.aliases.values() if alias.routing is not None])

    def admit(self, context: RequestContext) -> Origin | None:
        alias = context.alias
        if alias is None or alias.routing is None or context.references:
            # Objects are where they are, with the key that is first.
            return None
        routing = alias.routing
        estimate = NO_ESTIMATE
        if routing.strategy.estimates:
            estimate = Estimate(len(context.body.data) // BYTES_PER_TOKEN, self._output(context, routing.mean_output))
        session = session_of(context, alias) if routing.affinity is not None else 0
        context.targets = routing.order(context.targets, estimate, session)
        return None

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        alias = context.alias
        if alias is None or alias.routing is None or final.outcome != "complete":
            return
        routing = alias.routing
        if final.output_tokens:
            routing.note_output(final.output_tokens)
        if final.input_tokens and final.usage_source == "reported":
            labels = (alias.name, routing.names[0], routing.names[1])
            self._input.add(final.input_tokens, *labels)
            if final.cached_input_tokens:
                self._cached.add(final.cached_input_tokens, *labels)

    def _output(self, context: RequestContext, mean: float) -> int:
        """The tokens that the response is likely to have: the mean of the alias's, within what the client allows."""
        fields = context.body.fields
        for name in _OUTPUT_LIMITS:
            value = fields.get(name)
            if value is not None:
                digits = bytes(value)
                if digits.isdigit() and len(digits) <= 9:
                    return int(min(float(int(digits)), mean))
        return int(mean)

    # metrics

    def _targets(self) -> dict[Labels, Target]:
        """The targets of aliases with routing, each with each key once; `target` is its place in the alias."""
        found: dict[Labels, Target] = {}
        for alias in self.state.aliases.values():
            if alias.routing is not None:
                for place, target in enumerate({one.state: one for one in alias.targets}.values()):
                    found[(alias.name, target.pool.name, str(place + 1))] = target
        return found

    def _ttft(self) -> Mapping[Labels, float]:
        return {labels: one.state.latency.peak for labels, one in self._targets().items() if one.state.latency.peak}

    def _in_flight(self) -> Mapping[Labels, float]:
        return {labels: float(one.state.in_flight) for labels, one in self._targets().items()}

    def _healthy(self) -> Mapping[Labels, float]:
        now = monotonic()
        return {labels: 1.0 if may_try(one, now) else 0.0 for labels, one in self._targets().items()}
