"""A stored response as an `Origin`: sends a response again that was kept earlier. No upstream is asked."""

from dataclasses import dataclass

from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import SETTLED, Origin, ResponseWriter
from proxy.exchange.settlement import local_record
from proxy.ledger.record import Outcome, UsageRecord


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as observers saw it: after the gateway's rewriting."""

    status: int
    #: Header lines of the content, each with its CRLF.
    lines: bytes
    is_events: bool
    #: The body, in the parts in which it is sent again where it is made of events.
    parts: tuple[bytes, ...]
    #: The upstream and its model that it came from.
    provider: str = ""
    model: str = ""


class ReplayOrigin(Origin):
    """Sends a stored response as fast as the client reads it. It costs nothing."""

    def __init__(self, context: RequestContext, stored: StoredResponse) -> None:
        self._context = context
        self._stored = stored
        #: The part that is sent next.
        self._next = 0
        self.provider, self.model = stored.provider, stored.model
        if context.alias is not None:
            self.first_byte_limit = context.alias.total_timeout

    def start(self, exchange: ResponseWriter) -> None:
        stored = self._stored
        if stored.is_events:
            exchange.begin(stored.status, stored.lines, True)
            self._exchange = exchange
            self._send()
        else:
            exchange.finish(stored.status, stored.lines, False, b"".join(stored.parts))

    def _send(self) -> None:
        """Send parts until the client is behind; the last one ends the response."""
        exchange, stored = self._exchange, self._stored
        last = len(stored.parts) - 1
        while self._next < last and not exchange.paused and exchange.state != SETTLED:
            self._next += 1
            exchange.write(stored.parts[self._next - 1])
        if self._next >= last and not exchange.paused and exchange.state != SETTLED:
            exchange.finish(stored.status, stored.lines, True, stored.parts[last] if stored.parts else b"")

    def resume(self) -> None:
        self._send()

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        return local_record(self._context, outcome, error_code, status, first_write, bytes_out)
