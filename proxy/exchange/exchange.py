"""The exchange: sends the response of an `Origin` to a `Downstream`, and settles the request exactly once.

It runs inside callbacks of the event loop: what an origin writes reaches the client's transport in the same turn. There
is no await, no task and no queue. The bill is written before the last byte leaves. It must not know where a response
comes from, nor what kind of client it goes to.
"""

import logging
import math
import time
from functools import partial
from typing import Final

from proxy.errors import GatewayError, InternalFault, StoreFailed, UpstreamTimeout
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import (
    COMMITTED,
    HEAD_SENT,
    SETTLED,
    WAITING,
    Downstream,
    Origin,
    ResponseHead,
    ResponseWriter,
)
from proxy.exchange.response_head import (
    EVENT_LINES,
    JSON_LINE,
    NO_MODEL,
    PROVIDER,
    UNBUFFERED,
    cost_comment,
    cost_line,
    fact_lines,
    header_lines,
    outcome_of,
    timestamp,
    write_error,
)
from proxy.exchange.services import Services
from proxy.exchange.settlement import crashed_record, with_reserved, with_tries
from proxy.ledger.record import Outcome, UsageRecord
from proxy.routing.retry import seconds_to_respond
from proxy.wire.request_body import without_payload
from proxy.wire.sse import before_last_event

_log: Final = logging.getLogger(__name__)
_now: Final = time.monotonic


class Exchange(ResponseWriter):
    """One request and its response, from the admitted context to the settlement."""

    # What it begins with; set for each exchange only once it changes.
    #: Monotonic time at which the first content was sent; 0 before.
    _first_write = 0.0
    #: The body that was begun is made of events, so that an error can be sent inside it.
    _is_events = True
    #: Observers have been given the head.
    _observed = False
    #: `Downstream.bytes_out` at the last sweep, and when a heartbeat is due if it stays the same.
    _heartbeat_bytes = -1
    _heartbeat_at = math.inf

    def __init__(self, services: Services, context: RequestContext, origin: Origin, downstream: Downstream) -> None:
        self._services = services
        self._context = context
        self._downstream = downstream
        #: None once it is settled, so that the two no longer hold each other.
        self._origin: Origin | None = origin

    def start(self) -> None:
        """Have the origin produce the response."""
        origin = self._origin
        assert origin is not None
        self._downstream.producer = self
        if not origin.is_timed:
            self._services.deadlines.add(self)
        try:
            origin.start(self)
        except GatewayError as error:
            self.cancel(error)
        except Exception as fault:  # noqa: BLE001 (whatever an origin raises, its request must be settled)
            self.crash(fault)

    def hand_over(self, origin: Origin) -> None:
        before = self._origin
        if before is not None:
            if not before.is_timed:
                self._services.deadlines.discard(self)
            self._origin = origin
            self.start()

    # what an origin writes

    def begin(self, status: int, lines: bytes, is_events: bool) -> None:
        context, origin = self._context, self._origin
        if origin is None or (context.observers and not self._observe_head(status, lines, is_events)):
            return
        if self.client_gone:
            return
        if self.state == WAITING:
            # Else a heartbeat has taken the head along.
            if is_events or context.body.stream or context.spec.opaque:
                lines += UNBUFFERED
            self._downstream.begin(status, lines + self._gateway_lines(origin), None)
        self.state = COMMITTED
        self._is_events = is_events
        self._first_write = _now()
        context.body = without_payload(context.body)

    def write(self, data: bytes) -> None:
        if self._context.observers and not self._observe(data):
            return
        if not self.client_gone:
            self._downstream.write(data, False)

    def finish(self, status: int, lines: bytes, is_events: bool, last: bytes, outcome: Outcome = "complete") -> None:
        if self.state == SETTLED:
            return
        if self._context.observers and not (
            self._observe_head(status, lines, is_events) and (not last or self._observe(last))
        ):
            return
        if self.client_gone:
            self.settle_disconnected(whole=True)
            return
        head: bytes | None = None
        length: int | None = None
        if self.state == WAITING:
            head = lines
            self._is_events = is_events
            if is_events:
                head += UNBUFFERED
            else:
                length = len(last)
        if self.state != COMMITTED:
            self._first_write = _now()
        self._settle(outcome, None, status, head, length, last, whole=True)

    def refuse(self, status: int, lines: bytes, body: bytes, error: GatewayError, error_code: str) -> None:
        if self.state == SETTLED:
            return
        if self.state != WAITING:
            self._end_begun(error, error_code)
            return
        self._settle("upstream_error", error_code, status, lines, len(body), body)

    def fail(self, error: GatewayError) -> None:
        if self.state == SETTLED:
            return
        if self.state != WAITING:
            self._end_begun(error, error.code)
            return
        context = self._context
        body = context.dialect.error_body(error, context.id, timestamp())
        lines = JSON_LINE + header_lines(error)
        self._settle(outcome_of(error), error.code, error.status, lines, len(body), body)

    def heartbeat(self, now: float, between_events: bool) -> None:
        context, downstream, origin = self._context, self._downstream, self._origin
        if origin is None or self.client_gone or not context.body.stream or context.upload is not None:
            return
        if context.spec.opaque or context.alias is None:
            return
        if downstream.bytes_out != self._heartbeat_bytes:
            self._heartbeat_bytes = downstream.bytes_out
            self._heartbeat_at = now + context.alias.heartbeat_interval
        elif now >= self._heartbeat_at and between_events:
            # What was written so far are whole events, so that this stands between two.
            if self.state == WAITING:
                downstream.begin(200, EVENT_LINES + self._gateway_lines(origin), None)
                self.state = HEAD_SENT
            downstream.write(context.dialect.heartbeat, False)

    # the time, where the origin does not watch it itself

    def overdue(self, now: float) -> bool:
        """Whether the request has had its time; called at every sweep. Heartbeats are sent until a response begins."""
        context = self._context
        alias = context.alias
        if alias is None:
            return False
        if self.state < COMMITTED and alias.heartbeat_interval > 0 and context.dialect.heartbeat:
            self.heartbeat(now, True)
        seconds = alias.total_timeout
        if self.state == WAITING and context.upload is None and context.patience < seconds:
            seconds = seconds_to_respond(context.patience)
        return now > context.arrived + seconds

    def expire(self) -> None:
        """The request has had its time."""
        self.cancel(UpstreamTimeout("The answer took longer than it may in all.", detail="total"))

    # the client's side

    def pause(self) -> None:
        self.paused = True
        if self._origin is not None:
            self._origin.pause()

    def resume(self) -> None:
        self.paused = False
        if self._origin is not None:
            try:
                self._origin.resume()
            except Exception as fault:  # noqa: BLE001 (as in `start`)
                self.crash(fault)

    def client_disconnected(self) -> None:
        """Cancel the origin, or let it read on to the usage, as it chooses."""
        origin = self._origin
        if origin is not None:
            self.client_gone = True
            self.paused = False
            try:
                if origin.client_left(self._downstream.stalled):
                    return
            except Exception as fault:  # noqa: BLE001 (as in `start`)
                _log.error("An origin failed when its client left.", exc_info=fault)
            self.settle_disconnected()

    # endings from outside, and of responses that are not whole

    def cancel(self, error: GatewayError) -> None:
        """Stop the origin and end the response with an error of the gateway's: a bad upload, a shutdown."""
        if self._origin is not None:
            self._stop_origin()
            if self.client_gone:
                self.settle_disconnected()
            else:
                self.fail(error)

    def settle_disconnected(self, outcome: Outcome | None = None, *, whole: bool = False) -> None:
        """Bill a client that is gone, with what it got until then."""
        if self.state == SETTLED:
            return
        downstream = self._downstream
        status = downstream.status if self.state != WAITING else 499
        code: str | None = None
        if outcome is None:
            outcome = "client_stalled" if downstream.stalled else "client_closed"
            code = "client_closed"
        self._settle(outcome, code, status, None, None, b"", whole)

    def _end_begun(self, error: GatewayError, code: str | None) -> None:
        """End a response that has begun: an error event in the caller's dialect, then an abort. Never a clean end."""
        context = self._context
        outcome = outcome_of(error)
        if self.state == COMMITTED and outcome == "upstream_error":
            outcome = "upstream_cut"
        last = context.dialect.error_event(error, context.id, timestamp()) if self._is_events else b""
        self._settle(outcome, code, self._downstream.status, None, None, last, aborts=True)

    def crash(self, fault: Exception) -> None:
        """A fault inside the gateway, such as an origin or an observer that raises what it must not: end with a 500."""
        _log.error("A request failed inside the gateway.", exc_info=fault)
        self.cancel(InternalFault())

    def _stop_origin(self) -> None:
        try:
            if self._origin is not None:
                self._origin.cancel()
        except Exception as fault:  # noqa: BLE001 (as in `start`)
            _log.error("An origin could not be stopped.", exc_info=fault)

    # settlement

    def _settle(
        self,
        outcome: Outcome,
        code: str | None,
        status: int,
        lines: bytes | None,
        length: int | None,
        last: bytes,
        whole: bool = False,
        aborts: bool = False,
    ) -> None:
        """Write the bill, once, and send what is left when that is as durable as configured.

        `lines` are those of the head, None where it has been sent; `last` the last bytes of the body. Of a `whole`
        response these count as sent, and the head says what it cost; `aborts` cuts the response behind them.
        """
        services, context, origin = self._services, self._context, self._origin
        assert origin is not None
        self.state = SETTLED
        if not origin.is_timed:
            services.deadlines.discard(self)
        try:
            bytes_out = self._downstream.bytes_out
            if whole:
                bytes_out += len(last)
            final = origin.final(outcome, code, status, self._first_write, bytes_out)
            self._origin = None
            if final.cost is None:
                final = with_reserved(context, final)
            if context.tries:
                final = with_tries(context, final)
            if whole and lines is not None:
                lines += cost_line(final, has_twins=context.prism.has_twins)
            if whole and context.prism.include_metadata and self._is_events and context.dialect.heartbeat:
                last = before_last_event(last, cost_comment(final))
            flush = partial(self._flush, origin, status, lines, length, last, aborts)
            try:
                services.journal.append(final, flush)
            except StoreFailed as error:
                # The journal keeps what it could not write and refuses new work; this response was already earned.
                services.attempt_failed(context, f"{origin.provider}/{origin.model}", error)
                flush()
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            self._settle_crashed(fault)
            return
        services.settled(context, final)
        if context.observers:
            end_observers(context, final, whole)

    def _settle_crashed(self, fault: Exception) -> None:
        """Settle where there is no bill, so that policies are notified all the same: the cost is not known."""
        context, downstream, origin = self._context, self._downstream, self._origin
        self._stop_origin()
        self._origin = None
        if not self.client_gone:
            self._fail(fault)
        final = crashed_record(
            context,
            upstream=origin.provider if origin is not None else "",
            model=origin.model if origin is not None else "",
            status=downstream.status or 500,
            first_write=self._first_write,
            bytes_out=downstream.bytes_out,
        )
        try:
            self._services.journal.append(final)
        except Exception as failure:  # noqa: BLE001 (it may be what has failed in the first place)
            # What was begun at an upstream has its row when the journal of this process is read again.
            _log.error("A request has no bill: it could not be written.", exc_info=failure)
        self._services.settled(context, final)
        end_observers(context, final, whole=False)

    def _flush(
        self, origin: Origin, status: int, lines: bytes | None, length: int | None, last: bytes, aborts: bool
    ) -> None:
        """The bill is written: send the last bytes, with the head where it has not been sent."""
        if self.client_gone:
            return
        downstream = self._downstream
        try:
            if lines is not None:
                downstream.begin(status, lines + self._gateway_lines(origin), length)
            if last or not aborts:
                downstream.write(last, not aborts)
            if aborts:
                downstream.abort()
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            self._fail(fault)

    def _fail(self, fault: Exception) -> None:
        """End the response after a fault in its settlement: by a 500 that names the request, if it has not begun."""
        downstream = self._downstream
        if downstream.status == 0:
            try:
                write_error(downstream, self._context, InternalFault())
            except Exception as second:  # noqa: BLE001 (whatever is raised, the client must have an end)
                _log.error("A response could not begin.", exc_info=second)
            else:
                _log.error("A request failed inside the gateway.", exc_info=fault)
                return
        downstream.fail(fault)

    def _gateway_lines(self, origin: Origin) -> bytes:
        """The header lines that the gateway adds about itself."""
        context, expose = self._context, self._services.expose_upstream
        alias = context.alias.name if context.alias is not None else NO_MODEL
        return fact_lines(
            context,
            model=origin.model if expose else alias,
            provider=origin.provider if expose else PROVIDER,
            timeout=origin.first_byte_limit,
            fell_back=origin.fell_back,
        )

    # observers

    def _observe_head(self, status: int, lines: bytes, is_events: bool) -> bool:
        """Give observers the head, once; whether the response goes on."""
        origin = self._origin
        if not self._observed and origin is not None:
            self._observed = True
            head = ResponseHead(status, lines, is_events, origin.provider, origin.model)
            try:
                for observer in self._context.observers:
                    observer.begin(head)
            except GatewayError as error:
                # Refused by the observer: the origin is stopped, and the client gets the observer's error.
                self.cancel(error)
            except Exception as fault:  # noqa: BLE001 (no other attempt may follow what an observer has seen in part)
                self.crash(fault)
        return self.state != SETTLED

    def _observe(self, data: bytes) -> bool:
        """Give observers the next bytes; whether the response goes on."""
        if self.state != SETTLED:
            try:
                for observer in self._context.observers:
                    observer.data(data)
            except GatewayError as error:
                # Refused by the observer: the origin is stopped, and the client gets the observer's error.
                self.cancel(error)
            except Exception as fault:  # noqa: BLE001 (as in `_observe_head`)
                self.crash(fault)
        return self.state != SETTLED


def end_observers(context: RequestContext, final: UsageRecord, whole: bool) -> None:
    """Call `end` of every observer of a settled request; the fault of one must not keep the others uninformed."""
    for observer in context.observers:
        try:
            observer.end(final, whole)
        except Exception as fault:  # noqa: BLE001 (the request is settled: nothing of it can fail any more)
            _log.error("An observer failed after a request.", exc_info=fault)
