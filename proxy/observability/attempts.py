"""Counts attempts at upstreams by how they ended."""

from typing import Final

from proxy.errors import GatewayError
from proxy.ledger.record import UsageRecord
from proxy.observability.metrics import Metrics

#: Outcomes of requests whose last attempt was reported as a failed one before.
_REPORTED: Final = frozenset({"upstream_cut", "timeout"})


class AttemptCounter:
    """`prometheus_gateway_attempts_total`: each attempt once."""

    def __init__(self, metrics: Metrics) -> None:
        self._count = metrics.counter(
            "prometheus_gateway_attempts_total",
            "Attempts at upstreams: by the request's outcome for one that served it, else by its error code.",
            *("upstream", "outcome"),
            staged=True,
        )

    def failed(self, target: str, error: GatewayError) -> None:
        """An attempt at a target, "upstream/model", has failed."""
        self._count.add(1, target.partition("/")[0], error.code or "error")

    def ended(self, final: UsageRecord) -> None:
        """A request is settled: count its last attempt, unless that was counted when it failed."""
        outcome = final.outcome
        if not final.attempts or outcome in _REPORTED:
            return
        if outcome == "upstream_error" and final.error_code is not None:
            return
        self._count.add(1, final.upstream, outcome)
