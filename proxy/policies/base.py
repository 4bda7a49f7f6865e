"""What a policy is: it looks at a request before any upstream is asked, and may refuse it.

A policy never writes to the client; it raises one of our errors, or fills in what the context still lacks.
"""

from typing import Protocol

from proxy.exchange.context import RequestContext


class Policy(Protocol):
    """One check of a request, asked once, in the order of `proxy.policies.ordered`."""

    def admit(self, call: RequestContext) -> None:
        """Let the request pass, or raise a `GatewayError`."""
        ...
