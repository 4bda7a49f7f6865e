"""One exchange, from the admitted call to its settlement: the file to read first.

Everything here runs inside callbacks of the event loop: an attempt (`attempt`) reads upstream's bytes and hands on what
is the client's, which is written to its transport in the same turn. There is no await, no task and no queue. Retrying
ends at the commit point, the first byte of the answer to the client. The bill is written exactly once, before the last
byte leaves.
"""

import math
import time
from functools import partial
from typing import Final

from proxy.dialects.readers import ResponseReader
from proxy.dialects.upstream_errors import error_summary, provider_failure, relayed_error
from proxy.errors import (
    GatewayError,
    GatewayStopped,
    StoreFailed,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamReported,
    UpstreamTimeout,
)
from proxy.exchange.attempt import LAST_EVENTS, Asker, Attempt
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import (
    DISPOSITION,
    EVENT_LINES,
    PROVIDER,
    UNBUFFERED,
    cost_line,
    fact_lines,
    header_lines,
    may_show_limits,
    outcome_of,
    timestamp,
    without_models,
)
from proxy.exchange.services import Services
from proxy.exchange.settlement import final_record
from proxy.ledger.record import Outcome
from proxy.routing.models import Alias
from proxy.routing.retry import RetryPlan
from proxy.server.cycle import RequestCycle
from proxy.wire.headers import response_lines, retry_after
from proxy.wire.request_body import without_payload

#: Outcomes of answers that the gateway itself has ended after their beginning.
_ENDED_HERE: Final = ("timeout", "gateway_shutdown")
_now: Final = time.monotonic


class Exchange(Asker):
    """See the module. It makes the attempts, feeds the client, and is a member of the deadlines while it rests."""

    # What it begins with; set for each exchange only once it changes.
    #: The running attempt; none while it rests between two, and once it is settled.
    _attempt: Attempt | None = None
    #: The client, once it has left.
    _left: RequestCycle | None = None
    #: What is read for it then is all of the answer, and not only the end of one that was made.
    _drains = False
    _resting_until = math.inf
    #: What leaves once the bill is written: header lines, where the head has not left, and the last bytes.
    _lines: bytes | None = None
    _length: int | None = None
    _last = b""
    _status = 0
    #: The answer is cut behind them.
    _cuts = False
    _first_write = 0.0
    #: Bytes that the client had when it was looked at last, and when a heartbeat is due if it gets no more.
    _beaten = -1
    _beat_at = math.inf
    #: The client has set a deadline of its own, which has passed: what was made until then is billed.
    _impatient = False
    #: Settled: nothing more will happen.
    done = False

    def __init__(self, services: Services, call: RequestContext, alias: Alias, client: RequestCycle) -> None:
        self._services = services
        self._call = call
        self._alias = alias
        self._client: RequestCycle | None = client
        self._attempts = RetryPlan(call)

    def start(self) -> None:
        """Make the first attempt."""
        assert self._client is not None
        self._client.producer = self
        self._try(fresh=False)

    def _try(self, fresh: bool) -> None:
        attempt = self._attempt = Attempt(self, self._services, self._call, self._alias, self._attempts)
        try:
            self._services.journal.append(self._attempts.begin())
            attempt.start(fresh)
        except GatewayError as error:
            self.fail(error)

    # what the attempt tells

    def relay(self, reply: ResponseReader, data: bytes) -> None:
        """Hand bytes to the client; the first ones commit."""
        client = self._client
        if client is None:
            self._check_drain(reply)
            return
        if not self.committed:
            attempt = self._attempt
            if not self.begun and attempt is not None:
                # Else a heartbeat has taken the head along.
                lines = response_lines(attempt.headers)
                if reply.events or self._call.body.stream or self._call.opaque:
                    lines += UNBUFFERED
                if DISPOSITION in lines:
                    lines = self._without_model(lines)
                client.begin(attempt.status, lines + self._fact_lines(), None)
                self.begun = True
            self.committed = True
            self._first_write = _now()
            self._call.body = without_payload(self._call.body)
            if self._attempts.target.pool.health.ejected:
                self._attempts.succeeded()
        client.write(data, False)

    def _fact_lines(self) -> bytes:
        target = self._attempts.target
        expose = self._services.expose_upstream
        return fact_lines(
            self._call,
            model=target.model if expose else self._alias.name,
            provider=target.pool.name if expose else PROVIDER,
            timeout=self._attempts.first_byte_limit,
            fell_back=self._attempts.fell_back,
        )

    def _without_model(self, lines: bytes) -> bytes:
        return without_models(lines, {self._attempts.target.model: self._alias.name})

    def finish(self, attempt: Attempt, reply: ResponseReader, last: bytes) -> None:
        """The answer is whole: bill it, then let its last bytes go."""
        if self._attempts.target.pool.health.last_failed and not reply.meter.failed:
            self._attempts.succeeded()
        if self._client is None:
            self._settle_left()
            return
        upload = self._call.upload
        if upload is not None and not upload.settled(reply.meter.usage(), partial(self._end, attempt, reply, last)):
            # The answer was there before the length of the audio that it is billed by.
            attempt.hold()
            return
        self._end(attempt, reply, last)

    def _end(self, attempt: Attempt, reply: ResponseReader, last: bytes) -> None:
        client = self._client
        if self.done or client is None:
            return
        if not self.begun:
            lines = response_lines(attempt.headers)
            if reply.events:
                lines += UNBUFFERED
            else:
                self._length = len(last)
            if DISPOSITION in lines:
                lines = self._without_model(lines)
            self._lines = lines
        if not self.committed:
            self._first_write = _now()
            self.committed = self.begun = True
        self._last = last
        self._settle("upstream_error" if reply.meter.failed else "complete", None, attempt.status, whole=True)

    def refused(self, attempt: Attempt, body: bytes) -> None:
        """The upstream answered with an error of its own."""
        status, attempts = attempt.status, self._attempts
        if self._client is None:
            # A drain found an error: what the upstream refused costs nothing.
            attempts.sent = 0.0
            self._settle_left()
            return
        attempts.answered(status)
        call, target = self._call, attempts.target
        failure = provider_failure(status, body)
        if failure is not None:
            self.fail(failure)
            return
        answered = UpstreamFailed("It answered with an error.", detail=error_summary(status, body))
        self._services.attempt_failed(call, target.label, answered)
        if self._repeatable:
            if attempts.after_status(status):
                self._retry(fresh=False)
                return
            until = attempts.rest(status, retry_after(attempt.headers))
            if until:
                self._rest(until)
                return
        try:
            refusal = relayed_error(
                call.dialect,
                status,
                attempt.headers,
                body,
                {**target.hidden, target.model: self._alias.name},
                limits=may_show_limits(status),
                request_id=call.id,
                timestamp=timestamp(),
            )
        except UpstreamFailed as error:
            self._tell(error)
            return
        if self.begun:
            self._break(refusal.error, refusal.code)
            return
        self._respond(status, refusal.lines, refusal.body, "upstream_error", refusal.code)

    def fail(self, error: GatewayError) -> None:
        """An attempt failed: try again, or end the request with the error."""
        if self.done:
            return
        try:
            self._mend(error)
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            self._collapse(fault)

    def _mend(self, error: GatewayError) -> None:
        """Make another attempt after a failed one, or tell the client."""
        attempts = self._attempts
        attempts.failed(error)
        self._services.attempt_failed(self._call, attempts.target.label, error)
        if self._client is None:
            if isinstance(error, UpstreamReported):
                # As where the upstream refuses by its status.
                attempts.sent = 0.0
            self._settle_left()
        elif self.committed or isinstance(error, StoreFailed) or not self._repeatable:
            self._tell(error)
        elif isinstance(error, UpstreamDropped) and error.reused and attempts.after_race():
            # It closed an idle connection just as that was used: a fresh one mends it.
            self._retry(fresh=True)
        elif attempts.after_failure():
            self._retry(fresh=False)
        else:
            self._tell(error)

    # another attempt

    @property
    def _repeatable(self) -> bool:
        """Whether the request can be sent once more."""
        upload = self._call.upload
        return upload is None or upload.repeatable

    def _retry(self, fresh: bool) -> None:
        self._forget_attempt()
        self._try(fresh)

    def _rest(self, until: float) -> None:
        """Ask the same target again at that time, as it has said; the sweep is who calls then."""
        self._forget_attempt()
        self._resting_until = until
        self._services.deadlines.add(self)

    def overdue(self, now: float) -> bool:
        """Whether its rest is over."""
        return now >= self._resting_until

    def expire(self) -> None:
        """Its rest is over: ask the same target again."""
        self._services.deadlines.discard(self)
        if not self.done:
            self._try(fresh=False)

    def _forget_attempt(self) -> None:
        if self._attempt is not None:
            self._services.deadlines.discard(self._attempt)
            self._attempt = None

    # heartbeats

    def pulse(self, now: float) -> None:
        """Told by every sweep while an attempt runs: a client that waits for events hears that somebody is there."""
        client, attempt, call = self._client, self._attempt, self._call
        if client is None or attempt is None or not call.body.stream or call.upload is not None or call.opaque:
            return
        if client.bytes_out != self._beaten:
            self._beaten = client.bytes_out
            self._beat_at = now + self._alias.heartbeat_interval
        elif now >= self._beat_at and attempt.awaits_events:
            # What was written so far are whole events, so that this stands between two.
            if not self.begun:
                client.begin(200, EVENT_LINES + self._fact_lines(), None)
                self.begun = True
            client.write(call.dialect.heartbeat, False)

    # endings that are none of the upstream's whole answers

    def _tell(self, error: GatewayError) -> None:
        """Tell the client of an error: as the answer, or inside the one that has begun."""
        if self.begun:
            self._break(error)
            return
        call = self._call
        self._impatient = isinstance(error, UpstreamTimeout) and error.impatient
        body = call.dialect.error_body(error, call.id, timestamp())
        lines = b"content-type: application/json\r\n" + header_lines(error)
        self._respond(error.status, lines, body, outcome_of(error), error.code)

    def _respond(self, status: int, lines: bytes, body: bytes, outcome: Outcome, code: str | None) -> None:
        client = self._client
        assert client is not None
        client.status = status
        if not self._impatient:
            # Nothing of an answer that may have begun was relayed, so nothing of it is billed.
            self._forget_attempt()
        self._lines, self._length, self._last = lines, len(body), body
        self._settle(outcome, code, status)

    def _break(self, error: GatewayError, code: str | None = None) -> None:
        """In an answer that has begun: say it in the stream, in the caller's dialect, and cut. Never a clean end.

        `code` is the row's where that is not the error's own.
        """
        client, call = self._client, self._call
        assert client is not None
        events = True
        outcome = outcome_of(error)
        if not self.committed:
            # Only heartbeats have left.
            self._impatient = isinstance(error, UpstreamTimeout) and error.impatient
            if not self._impatient:
                self._forget_attempt()
        elif self._attempt is not None and self._attempt.reply is not None:
            events = self._attempt.reply.events
        if self.committed and outcome not in _ENDED_HERE:
            outcome = "upstream_cut"
        self._last = call.dialect.error_event(error, call.id, timestamp()) if events else b""
        self._cuts = True
        self._settle(outcome, code or error.code, client.status)

    def client_disconnected(self) -> None:
        """The client left before its answer ended: cancel upstream, or read on to the usage.

        That is done where it is configured, and for an answer that is made but for its end: a cancel would save
        nothing, and who leaves there must not have all of it for the price of what was seen.
        """
        if self.done:
            return
        client = self._left = self._client
        assert client is not None
        self._client = None
        attempt = self._attempt
        if attempt is not None:
            if attempt.reply is not None and attempt.reply.meter.failed:
                # It was told of the upstream's error, and has nothing more to wait for.
                attempt.drop()
                self._settle("upstream_error", None, client.status)
                return
            asked = self._call.upload is None or self._call.upload.whole
            drains = self._alias.on_disconnect == "drain" and not client.stalled
            ending = attempt.reply is not None and attempt.reply.ending
            if attempt.connection and asked and (drains or ending):
                self._drains = drains
                attempt.drain(self._services.drain_max_seconds if drains else LAST_EVENTS)
                return
            attempt.drop()
        self._settle_left()

    def upload_failed(self, error: GatewayError) -> None:
        """The client's own body turned out to be no good, and the upstream may have a part of it."""
        if not self.done:
            self._drop()
            self._tell(error)

    def interrupt(self) -> None:
        """The gateway is going down and cannot wait any longer."""
        if self.done:
            return
        self._drop()
        if self._client is None:
            self._settle_left()
        else:
            self._tell(GatewayStopped())

    def drained(self) -> None:
        """What was read for the client that has left is enough."""
        self._drop()
        self._settle_left()

    def _check_drain(self, reply: ResponseReader) -> None:
        """More came of an answer that is read on without a client: enough, where it was not its end."""
        if not self._drains:
            if not reply.ending:
                self.drained()
            return
        _, tokens = self._services.estimator.estimate(self._call.key.id, self._alias.name, 0, reply.meter.text_out)
        if tokens > self._services.drain_max_tokens and not reply.ending:
            self.drained()

    def _drop(self) -> None:
        if self._attempt is not None:
            self._attempt.drop()

    def pause(self) -> None:
        """The client's own reading is behind: stop reading upstream."""
        if self._attempt is not None:
            self._attempt.pause()

    def resume(self) -> None:
        """It has caught up."""
        if self._attempt is not None:
            self._attempt.resume()

    # settlement

    def _settle_left(self) -> None:
        """Bill a client that left, with what it got until then."""
        left = self._left
        assert left is not None
        status = left.status if self.begun else 499
        self._settle("client_stalled" if left.stalled else "client_closed", "client_closed", status)

    def _settle(self, outcome: Outcome, code: str | None, status: int, whole: bool = False) -> None:
        """Write the bill, once, and let what is left leave when it is as durable as configured.

        Of a `whole` answer that counts as sent, and the head tells what it cost.
        """
        self.done = True
        services, attempts, attempt = self._services, self._attempts, self._attempt
        client = self._client or self._left
        assert client is not None
        try:
            if attempts.held is not None:
                attempts.release()
            final = final_record(
                self._call,
                attempts.target,
                attempt.reply.meter if attempt is not None and attempt.reply is not None else None,
                services.estimator,
                outcome=outcome,
                error_code=code,
                status=status,
                attempts=attempts.count,
                sent=attempts.sent_without_losses,
                first_byte=attempt.first_byte if attempt is not None else 0.0,
                first_write=self._first_write,
                bytes_out=client.bytes_out + len(self._last) if whole else client.bytes_out,
                left=self._impatient,
            )
            # The two no longer know each other: what a request leaves goes at once, and not when the collector comes.
            services.deadlines.discard(attempt or self)
            self._attempt = None
            lines = self._lines
            if whole and lines is not None:
                self._lines = lines + cost_line(final)
            self._status = status
            try:
                services.journal.append(final, self._leave)
            except StoreFailed as error:
                # The journal keeps what it could not write and refuses new work; this answer was already earned.
                services.attempt_failed(self._call, attempts.target.label, error)
                self._leave()
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            self._collapse(fault)
            return
        services.settled(self._call, final)

    def _leave(self) -> None:
        """The bill is written: let the last bytes go, with the head where it has not left."""
        client = self._client
        if client is None:
            return
        try:
            if self._lines is not None:
                client.begin(self._status, self._lines + self._fact_lines(), self._length)
            if self._last or not self._cuts:
                client.write(self._last, not self._cuts)
            if self._cuts:
                client.abort()
        except Exception as fault:  # noqa: BLE001 (whatever is raised, the client must have an end)
            client.fail(fault)

    def _collapse(self, fault: Exception) -> None:
        """A fault of the gateway's own on the way to an ending: give all up, and end the client honestly.

        The journal settles what it has no bill for when it is read again.
        """
        self.done = True
        attempt, client = self._attempt, self._client
        self._attempt = None
        if attempt is not None:
            attempt.drop()
        self._services.deadlines.discard(attempt or self)
        if client is not None:
            client.fail(fault)
