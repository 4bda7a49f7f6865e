"""The one file of hedging: two origins race; the first that has something for the client wins, the other is dropped."""

from typing import Any

from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import COMMITTED, SETTLED, Origin, ResponseWriter
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.ledger.record import Outcome, UsageRecord
from proxy.policies.base import Policy


class Lane(ResponseWriter):
    """What one of the two writes to: the exchange once it has won, nothing once it has lost."""

    def __init__(self, hedge: "HedgedOrigin", origin: Origin) -> None:
        self.hedge = hedge
        self.origin = origin

    def begin(self, status: int, lines: bytes, is_events: bool) -> None:
        if self.hedge.wins(self):
            self.state = COMMITTED
            self.hedge.exchange.begin(status, lines, is_events)

    def write(self, data: bytes) -> None:
        self.hedge.exchange.write(data)

    def finish(self, status: int, lines: bytes, is_events: bool, last: bytes, outcome: Outcome = "complete") -> None:
        if self.hedge.wins(self):
            self.state = SETTLED
            self.hedge.exchange.finish(status, lines, is_events, last, outcome)

    def refuse(self, status: int, lines: bytes, body: bytes, error: GatewayError, error_code: str) -> None:
        if self.hedge.is_last(self):
            self.state = SETTLED
            self.hedge.exchange.refuse(status, lines, body, error, error_code)

    def fail(self, error: GatewayError) -> None:
        if self.hedge.is_last(self):
            self.state = SETTLED
            self.hedge.exchange.fail(error)

    def settle_disconnected(self, outcome: Outcome | None = None, *, whole: bool = False) -> None:
        self.state = SETTLED
        self.hedge.exchange.settle_disconnected(outcome, whole=whole)

    def heartbeat(self, now: float, between_events: bool) -> None:
        self.hedge.exchange.heartbeat(now, between_events)

    def cancel(self, error: GatewayError) -> None:
        self.hedge.exchange.cancel(error)

    def crash(self, fault: Exception) -> None:
        self.hedge.exchange.crash(fault)


class HedgedOrigin(Origin):
    """Two origins for one response. The loser's bill is not written: nothing of it reached the client."""

    exchange: ResponseWriter

    def __init__(self, first: Origin, second: Origin) -> None:
        self.lanes = [Lane(self, first), Lane(self, second)]

    def start(self, exchange: ResponseWriter) -> None:
        self.exchange = exchange
        for lane in list(self.lanes):
            if lane in self.lanes:
                lane.origin.start(lane)
        self._show()

    def wins(self, lane: Lane) -> bool:
        """The lane has something for the client; whether it is the first."""
        if lane not in self.lanes:
            return False
        for other in self.lanes:
            if other is not lane:
                self._lose(other)
        self.lanes = [lane]
        self._show()
        return True

    def is_last(self, lane: Lane) -> bool:
        """The lane came to nothing; whether no other one runs."""
        if self.lanes == [lane]:
            return True
        if lane in self.lanes:
            self.lanes.remove(lane)
            self._lose(lane)
        return False

    def _lose(self, lane: Lane) -> None:
        lane.state = SETTLED
        lane.origin.cancel()
        lane.origin.final("upstream_error", None, 0, 0.0, 0)

    def _show(self) -> None:
        winner: Any = self.lanes[0].origin
        self.provider, self.model = winner.provider, winner.model
        self.first_byte_limit, self.fell_back = winner.first_byte_limit, winner.fell_back

    def pause(self) -> None:
        for lane in self.lanes:
            lane.paused = True
            lane.origin.pause()

    def resume(self) -> None:
        for lane in self.lanes:
            lane.paused = False
            lane.origin.resume()

    def client_left(self, stalled: bool) -> bool:
        for lane in self.lanes[1:]:
            self._lose(lane)
        self.lanes = self.lanes[:1]
        self.lanes[0].client_gone = True
        return self.lanes[0].origin.client_left(stalled)

    def cancel(self) -> None:
        for lane in self.lanes:
            lane.origin.cancel()

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        for lane in self.lanes[1:]:
            self._lose(lane)
        return self.lanes[0].origin.final(outcome, error_code, status, first_write, bytes_out)


class HedgingPolicy(Policy):
    """Sends every request to the first two targets of its alias at once."""

    checks_resources = False

    def admit(self, context: RequestContext) -> Origin | None:
        services = self.state.services
        if services is None or context.upload is not None or len(context.targets) < 2:
            return None
        one, two = (UpstreamOrigin(services, context, (target,)) for target in context.targets[:2])
        return HedgedOrigin(one, two)
