"""What an exchange is given: what all exchanges of one gateway share."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.clock.sweeper import Deadlines
from proxy.errors import GatewayError
from proxy.ledger.estimator import Estimator
from proxy.ledger.journal import Journal
from proxy.ledger.record import Final
from proxy.policies.base import Call


@dataclass(frozen=True, eq=False, slots=True)
class Services:
    """See the module."""

    journal: Journal
    estimator: Estimator
    deadlines: Deadlines
    #: Told of every settled request: the access line and the metrics.
    settled: Callable[[Call, Final], None]
    #: (call, "upstream/model", error) of every failed attempt, for the operator's log.
    attempt_failed: Callable[[Call, str, GatewayError], None]
    expose_upstream: bool
    max_event_bytes: int
    drain_max_seconds: float
    drain_max_tokens: int
