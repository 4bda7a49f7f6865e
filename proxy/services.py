"""What an exchange is given: what all exchanges of one gateway share, and the face of the client's side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.deadlines import Deadlines
from proxy.errors import GatewayError
from proxy.ledger.estimate import Estimator
from proxy.ledger.journal import Journal
from proxy.ledger.record import Final
from proxy.policies.base import Call


class Client(Protocol):
    """The client's side: `server.client.ClientCycle`."""

    stalled: bool
    status: int
    bytes_out: int
    reader: Any

    def begin(self, status: int, lines: bytes, length: int | None) -> None: ...

    def write(self, data: bytes, last: bool) -> None: ...

    def cut(self) -> None: ...


@dataclass(frozen=True, eq=False, slots=True)
class Services:
    """See the module."""

    journal: Journal
    estimator: Estimator
    deadlines: Deadlines
    #: Told of every settled request: the access line and the metrics.
    settled: Callable[[Call, Final], None]
    #: (call, upstream, error) of every failed attempt, for the operator's log.
    attempt_failed: Callable[[Call, str, GatewayError], None]
    expose_upstream: bool
    max_event_bytes: int
    drain_max_seconds: float
    drain_max_tokens: int
