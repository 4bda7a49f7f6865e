"""The services that all exchanges of one gateway share. Built by the composition root; holds no request."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.clock.sweeper import TimeoutSweeper
from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.ledger.estimator import Estimator
from proxy.ledger.journal import Journal
from proxy.ledger.record import UsageRecord
from proxy.routing.models import Alias


def _serves_none(context: RequestContext, alias: Alias) -> bool:
    """Let no other alias serve."""
    return False


def _ignore(alias: str, to: str, cause: str) -> None:
    """Count no fallbacks."""


@dataclass(frozen=True, eq=False, slots=True)
class Services:
    """What an exchange and its origin work with."""

    journal: Journal
    estimator: Estimator
    deadlines: TimeoutSweeper
    #: Called with every settled request: access log, metrics, policies.
    settled: Callable[[RequestContext, UsageRecord], None]
    #: Called with the row of an attempt that was made beside the one that responded: it is no request of its own.
    attempt_lost: Callable[[RequestContext, UsageRecord], None]
    #: (context, "upstream/model", error) of every failed attempt, for the operator's log.
    attempt_failed: Callable[[RequestContext, str, GatewayError], None]
    expose_upstream: bool
    max_event_bytes: int
    drain_max_seconds: float
    drain_max_tokens: int
    #: (alias, "target" or "alias", cause) where an attempt at another target, or for another alias, follows one that
    #: has failed.
    fell_back: Callable[[str, str, str], None] = _ignore
    #: Whether another alias may serve a request in place of its own: what policies have checked for its own.
    may_serve: Callable[[RequestContext, Alias], bool] = _serves_none
