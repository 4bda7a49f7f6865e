"""The access line of every request: the one place that makes them."""

import time

from proxy.exchange.context import ANONYMOUS, RequestContext
from proxy.ledger.record import UsageRecord
from proxy.observability.access_log import AccessLog
from proxy.observability.schemas import Access
from proxy.policies.base import Policy


class AccessLinePolicy(Policy):
    """Writes the line of each request that is settled: it admits all, and follows them to their end."""

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        key = context.key
        # In the order of its fields, which costs a tenth of naming them.
        self.state.access_log.add(
            Access(
                context.started,
                context.spec.method,
                context.endpoint,
                final.status,
                context.id,
                final.total,
                key.name,
                None if key is ANONYMOUS else final,
            )
        )


def write_unbilled_line(log: AccessLog, context: RequestContext, status: int) -> None:
    """Write the line of a request that no endpoint bills, such as one for the list of models."""
    total = int((time.monotonic() - context.arrived) * 1_000_000)
    log.add(Access(context.started, context.spec.method, context.endpoint, status, context.id, total, context.key.name))
