"""Policy: the base class of everything that may refuse, answer, delay or follow a request.

A policy overrides the methods that it needs; those that it does not override cost nothing. It never writes to the
client: it raises a `GatewayError`, returns an origin, or adds response header lines and observers to the context.
"""

from typing import Final

from proxy.exchange.context import RequestContext
from proxy.ledger.record import Final as Bill

#: Returned by `Policy.admit` to have `Policy.admit_async` awaited before the next policy runs.
WAIT: Final = object()


class Policy:
    """One check of a request. Each runs once per request, in the order of `proxy.policies.POLICIES`.

    One object per gateway: its state outlives a reload of the configuration.
    """

    #: Whether requests to resource endpoints (files, batches, threads, …) are checked too, before their body is read.
    checks_resources = True

    def admit(self, context: RequestContext) -> object | None:
        """Let a request pass: return None, an origin that answers in place of the upstreams, or `WAIT`.

        Raises `GatewayError` to refuse it. Must not block.
        """
        return WAIT

    async def admit_async(self, context: RequestContext) -> object | None:
        """The part of `admit` that waits; called after `WAIT`, and where `admit` is not overridden."""
        return None

    def settled(self, context: RequestContext, final: Bill) -> None:
        """The request has ended, however it did; called exactly once for each that `admit` let pass.

        A policy that overrides no `admit` is called for every request. Must not raise.
        """
