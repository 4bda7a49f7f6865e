"""Policy: the base class of everything that may refuse, answer, delay or follow a request.

A policy overrides the methods that it needs; those that it does not override cost nothing. It never writes to the
client: it raises a `GatewayError`, returns an origin, or adds response header lines and observers to the context.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from proxy.config.tree import Config
from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.exchange.services import Services
from proxy.ledger.ledger import Ledger
from proxy.ledger.record import UsageRecord
from proxy.limits.counters import SharedCounters
from proxy.native import mypyc_attr
from proxy.observability.access_log import AccessLog
from proxy.observability.metrics import Metrics
from proxy.overload.monitor import Overload
from proxy.routing.models import Alias
from proxy.upstream.target_state import TargetStates

#: Returned by `Policy.admit` to have `Policy.admit_async` awaited before the next policy runs.
WAIT: Final = Origin()


@dataclass(frozen=True, slots=True)
class EndpointPaths:
    """The paths of endpoints, by what clients look for."""

    by_capability: Mapping[str, str]
    #: By (format, capability).
    by_format: Mapping[tuple[str, str], str]


class GatewayState:
    """What policies may use of their gateway. A reload changes `config`, `aliases` and `services`; all else stays."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        overload: Overload,
        access_log: AccessLog,
        created: int,
        paths: EndpointPaths,
        counters: SharedCounters,
        metrics: Metrics,
    ) -> None:
        """`created` is when the gateway came up, in seconds since 1970."""
        self.config = config
        self.aliases: Mapping[str, Alias] = {}
        #: What an origin works with; None until the gateway has started.
        self.services: Services | None = None
        self.ledger = ledger
        self.overload = overload
        self.access_log = access_log
        self.created = created
        self.paths = paths
        self.metrics = metrics
        #: What all workers count together; it outlives a reload too.
        self.counters = counters
        #: What is known of each target of each alias.
        self.targets = TargetStates()
        #: A key, a team or an organisation has limits or budgets of its own.
        self.has_accounts = False


@mypyc_attr(allow_interpreted_subclasses=True)
class Policy:
    """One check of a request. Each runs once per request, in the order of `proxy.policies.POLICIES`.

    One object per gateway: its own state outlives a reload of the configuration, which `GatewayState` follows.
    """

    #: It runs before the request body is read: `context.body` and `context.alias` are not known yet. It may return no
    #: origin.
    before_body: ClassVar[bool] = False
    #: It runs for requests to resource endpoints (files, batches, threads, ...) too, always before their body is read.
    #: It may return no origin there, and add no observer: such a request fails.
    checks_resources: ClassVar[bool] = True

    def __init__(self, state: GatewayState) -> None:
        self.state = state

    def is_enabled(self) -> bool:
        """Whether there is anything for it to do, by the configuration and the keys as they are now.

        Called when either has changed; a policy that is not enabled costs no request anything. A request that came in
        before goes on with the policies that it began with.
        """
        return True

    def admit(self, context: RequestContext) -> Origin | None:
        """Let a request pass: return None, an origin that answers in place of the upstreams, or `WAIT`.

        Raises `GatewayError` to refuse it. Must not block.
        """
        return WAIT

    async def admit_async(self, context: RequestContext) -> Origin | None:
        """The part of `admit` that waits; called after `WAIT`, and where `admit` is not overridden."""
        return None

    def may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Whether another alias may serve a request in place of its own, which has failed it.

        What `admit` has checked and taken for its own alias is checked and taken here for the other one. Called for
        requests that this policy has let pass; must neither wait nor raise.
        """
        return True

    def attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        """An attempt that was made beside the one that responds, or will, has its row, with what it cost.

        It is no request of its own; its key is empty where the operator pays for it, and else that of the request.
        Called for the requests that `settled` is called for, before it. Must not raise.
        """

    def attempt_failed(self, context: RequestContext, target: str, error: GatewayError) -> None:
        """An attempt at a target, "upstream/model", has failed; the request may go on by another. Must not raise.

        Called for the requests that `settled` is called for, before it.
        """

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        """The request has ended, however it did; called exactly once for each that this policy has let pass.

        A policy that overrides no `admit` is called for every request of an endpoint. Must not raise.
        """

    def close(self) -> None:
        """The gateway has stopped, and no request runs any more. Called in a thread, and may block for a moment."""
