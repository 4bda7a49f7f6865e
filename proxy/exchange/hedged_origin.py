"""A hedged request as an `Origin`: the upstreams, with a second attempt beside the first one where content is late.

The first of the two to bring content responds. The other one is cancelled at once, and has a row of its own with what
it cost. Of all this the client must see nothing but the faster response.
"""

import asyncio
import logging
import time
from typing import ClassVar, Final

import msgspec

from proxy.errors import GatewayError, StoreFailed
from proxy.exchange.context import RequestContext
from proxy.exchange.hedge_rules import may_repeat
from proxy.exchange.interfaces import COMMITTED, HEAD_SENT, SETTLED, WAITING, Origin, ResponseWriter
from proxy.exchange.services import Services
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.ledger.record import Outcome, UsageRecord
from proxy.routing.hedging import AliasHedging
from proxy.upstream.latency import size_factor
from proxy.upstream.target import Target

#: The beginning of a request's id, and that of its second row.
_REQUEST: Final = "req_"
_HEDGE: Final = "hdg_"
_log = logging.getLogger(__name__)
_now: Final = time.monotonic


def second_id(request_id: str) -> str:
    """The id of the row of the attempt that lost: that of its request but for the beginning, and as long."""
    return _HEDGE + request_id.removeprefix(_REQUEST)


class Lane(ResponseWriter):
    """What one of the two attempts writes to: its first content goes to the exchange if it is the first of both."""

    def __init__(self, hedge: "HedgedOrigin", origin: UpstreamOrigin) -> None:
        self._hedge = hedge
        self.origin = origin

    def begin(self, status: int, lines: bytes, is_events: bool) -> None:
        exchange = self._hedge.win(self)
        exchange.begin(status, lines, is_events)
        self._follow(exchange)

    def write(self, data: bytes) -> None:
        # Of the call that began the response: what comes later is written to the exchange.
        exchange = self._hedge.exchange
        exchange.write(data)
        self._follow(exchange)

    def finish(self, status: int, lines: bytes, is_events: bool, last: bytes, outcome: Outcome = "complete") -> None:
        exchange = self._hedge.win(self)
        self.state = SETTLED
        exchange.finish(status, lines, is_events, last, outcome)

    def refuse(self, status: int, lines: bytes, body: bytes, error: GatewayError, error_code: str) -> None:
        exchange = self._hedge.fail(self, status, error_code)
        if exchange is not None:
            exchange.refuse(status, lines, body, error, error_code)

    def fail(self, error: GatewayError) -> None:
        exchange = self._hedge.fail(self, error.status, error.code)
        if exchange is not None:
            exchange.fail(error)

    def settle_disconnected(self, outcome: Outcome | None = None, *, whole: bool = False) -> None:
        self.state = SETTLED
        self._hedge.exchange.settle_disconnected(outcome, whole=whole)

    def heartbeat(self, now: float, between_events: bool) -> None:
        self._hedge.heartbeat(now, between_events)

    def cancel(self, error: GatewayError) -> None:
        self._hedge.exchange.cancel(error)

    def crash(self, fault: Exception) -> None:
        self._hedge.exchange.crash(fault)

    def _follow(self, exchange: ResponseWriter) -> None:
        self.state, self.client_gone, self.paused = exchange.state, exchange.client_gone, exchange.paused


class HedgedOrigin(Origin):
    """One request, whose targets are tried one after the other, and at two at once while the first content is late.

    The second attempt takes over what is left of the targets, so that none is asked twice.
    """

    is_timed: ClassVar[bool] = True
    #: The lane that responds; and the one whose attempt was made beside the first one, while there is one.
    _winner: Lane | None = None
    _second: Lane | None = None
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, services: Services, context: RequestContext, hedging: AliasHedging) -> None:
        self._services = services
        self._context = context
        self._hedging = hedging
        first = Lane(self, UpstreamOrigin(services, context))
        first.origin.races = True
        #: Those that may still respond, the one first that is billed if neither does.
        self._lanes = [first]

    def start(self, exchange: ResponseWriter) -> None:
        self.exchange = exchange
        delay = self._hedging.delay(self._context.body.stream)
        self._hedging.budget.earn()
        self._timer = asyncio.get_running_loop().call_later(delay, self._late)
        lane = self._lanes[0]
        lane.origin.start(lane)
        self._present()

    # the second attempt

    def _late(self) -> None:
        """No content has come in time: begin the second attempt, if it may be made."""
        self._timer = None
        if self._winner is not None or self.exchange.state == SETTLED or self.exchange.client_gone:
            return
        try:
            if not self._begin_second():
                self._hedging.count("suppressed")
                self._lanes[0].origin.races = False
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            self.exchange.crash(fault)

    def _begin_second(self) -> bool:
        hedging, context, first = self._hedging, self._context, self._lanes[0]
        target = self._choose(first.origin)
        if target is None or not hedging.is_calm() or not may_repeat(context) or not hedging.budget.try_spend():
            return False
        plan = first.origin.plan
        rest = plan.rest
        origin = UpstreamOrigin(self._services, context, (target, *[one for one in rest if one is not target]))
        if not origin.plan.run_beside(plan, _now()):
            hedging.budget.give_back()
            return False
        plan.take_rest()
        origin.races = True
        origin.row, origin.is_billed = second_id(context.id), hedging.settings.bill
        lane = self._second = Lane(self, origin)
        lane.state, lane.paused = first.state, first.paused
        self._lanes.append(lane)
        origin.start(lane)
        return True

    def _choose(self, first: UpstreamOrigin) -> Target | None:
        """The target of the second attempt: one that is well, has room, and costs the same unless it may differ."""
        plan = first.plan
        alias, rest = plan.alias, plan.rest
        if alias is None or alias.routing is None or alias is not self._context.alias:
            # Another alias, which serves after a fallback, has its own targets, price and settings.
            return None
        fit = tuple([one for one in rest if self._hedging.may_use(plan.target, one)])
        return alias.routing.second(fit, plan.target) if fit else None

    # what a lane brings

    def win(self, lane: Lane) -> ResponseWriter:
        """The lane has content, and is the one that responds: the exchange, to which it writes from now on."""
        exchange = self.exchange
        if self._winner is None:
            self._winner = lane
            lane.origin.races = False
            lane.origin.exchange = exchange
            lane.state = COMMITTED
            self._stop_timer()
            for other in self._lanes:
                if other is not lane:
                    self._lose(other, 200, None)
            self._lanes = [lane]
            if self._second is None:
                self._hedging.note_first_content(_now() - self._context.arrived, self._context.body.stream)
            self._present()
        return exchange

    def fail(self, lane: Lane, status: int, code: str | None) -> ResponseWriter | None:
        """The lane has come to nothing: the exchange, if it was the last one."""
        if len(self._lanes) > 1:
            self._lanes.remove(lane)
            # It is no attempt that was given up: what it refused costs nothing.
            lane.origin.sent = 0.0
            self._lose(lane, status, code)
            left = self._lanes[0].origin
            left.races = False
            # The row beside the request's own is settled: what it attempts from now on is the request's.
            left.row, left.is_billed = "", True
            self._present()
            return None
        lane.state = SETTLED
        self._stop_timer()
        self._present()
        return self.exchange

    def heartbeat(self, now: float, between_events: bool) -> None:
        """A sweep of the clock: what is sent makes the head of the response leave."""
        exchange = self.exchange
        exchange.heartbeat(now, between_events)
        if exchange.state == HEAD_SENT:
            for lane in self._lanes:
                if lane.state == WAITING:
                    lane.state = HEAD_SENT

    def _lose(self, lane: Lane, status: int, code: str | None) -> None:
        """Cancel an attempt whose response is not wanted any more, and write its row."""
        origin, context, services = lane.origin, self._context, self._services
        lane.state = SETTLED
        # So that the two no longer hold each other.
        origin.exchange = self.exchange
        origin.cancel()
        if origin.sent and not origin.has_content:
            waited, state = _now() - origin.sent, origin.plan.target.state
            state.latency.waited(waited / size_factor(context.text_in), _now())
        label = origin.plan.target.label
        final = origin.final("hedge_lost", code, status, 0.0, 0)
        # Of the two rows the request's own is that of the attempt that responded.
        row = msgspec.structs.replace(final, id=second_id(context.id))
        if not self._hedging.settings.bill:
            row = msgspec.structs.replace(row, key="", team="", org="", session="", user="", metadata="")
        try:
            services.journal.append(row)
        except StoreFailed as error:
            # The journal keeps what it could not write, and refuses new work.
            services.attempt_failed(context, label, error)
        services.attempt_lost(context, row)

    def _present(self) -> None:
        """What the head of the response says of its origin is that of the lane that responds, or is likely to."""
        if not self._lanes:
            # Settled within `start`.
            return
        origin = self._lanes[0].origin
        self.provider, self.model = origin.provider, origin.model
        self.first_byte_limit, self.fell_back = origin.first_byte_limit, origin.fell_back

    # the client's side

    def pause(self) -> None:
        for lane in self._lanes:
            lane.paused = True
            lane.origin.pause()

    def resume(self) -> None:
        for lane in self._lanes:
            lane.paused = False
            lane.origin.resume()

    def client_left(self, stalled: bool) -> bool:
        self._stop_timer()
        lane = self._keep_one()
        lane.origin.exchange = self.exchange
        return lane.origin.client_left(stalled)

    def cancel(self) -> None:
        self._stop_timer()
        for lane in self._lanes:
            lane.origin.cancel()

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        self._stop_timer()
        lane, second = self._keep_one(), self._second
        if second is not None:
            self._hedging.count("won" if self._winner is second else "lost")
        # So that what a request leaves need not wait for the collector.
        self._lanes, self._winner, self._second = [], None, None
        lane.origin.exchange = self.exchange
        return lane.origin.final(outcome, error_code, status, first_write, bytes_out)

    def _keep_one(self) -> Lane:
        """The lane that the request is billed by; one beside it has lost."""
        lane, *others = self._lanes
        if others:
            self._lanes = [lane]
            for other in others:
                self._lose(other, 499, None)
        return lane

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
