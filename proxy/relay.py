"""One exchange, from the admitted call to its settlement: the file to read first.

Everything here runs inside callbacks of the event loop: upstream's bytes come in through `body`, pass the rewriter and
the tap, and are written to the client's transport in the same turn. There is no await, no task and no queue. Retrying
ends at the commit point, the first byte to the client. The bill is written exactly once, before the last byte leaves.
"""

import math
import time
from collections.abc import Callable, Sequence

from proxy.answer import PROVIDER, cost_line, fact_lines, header_lines, outcome_of, timestamp
from proxy.attempts import Attempts
from proxy.errors import (
    GatewayError,
    StoreFailed,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.ledger.record import Outcome
from proxy.policies.base import Call
from proxy.reply import Reply, reply_for, reported_error
from proxy.services import Client, Services
from proxy.settlement import final_record
from proxy.upstream.connection import Connection
from proxy.upstream.leftover import leave
from proxy.upstream.target import Alias
from proxy.wire.body import forgotten, splice
from proxy.wire.headers import Header, relayed

#: Bytes of an upstream's error body that are read.
MAX_ERROR_BODY = 65_536
#: Seconds that an answer which has given its reason to finish may take to end.
LAST_EVENTS = 5.0
#: Statuses after which another target may do better.
RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class Exchange:
    """See the module. It is the sink of its connection, the waiter of its pool and a member of the deadlines."""

    # What it begins with; set for each exchange only once it changes.
    #: The client, once it has left.
    _left: Client | None = None
    _connection: Connection | None = None
    _waiting = False
    _status = 0
    _headers: Sequence[Header] = ()
    _error_body = b""
    _cost_line = b""
    _committed = False
    _paused = False
    _moved = False
    _deadline = math.inf
    _first_byte = 0.0
    _first_write = 0.0
    #: Settled: nothing more will happen.
    done = False

    def __init__(self, services: Services, call: Call, alias: Alias, client: Client) -> None:
        self._services = services
        self._call = call
        self._alias = alias
        self._client: Client | None = client
        self._attempts = Attempts(call)
        self._target = self._attempts.target
        self._reply: Reply | None = None

    # the way up

    def start(self) -> None:
        """Make the first attempt."""
        assert self._client is not None
        self._client.reader = self
        self._services.deadlines.add(self)
        self._attempt()

    def _attempt(self, fresh: bool = False) -> None:
        opened = self._attempts.begin()
        target = self._target = self._attempts.target
        self._deadline = self._attempts.began + target.upstream.connect_timeout
        self._waiting = True
        try:
            self._services.journal.append(opened)
            connection = target.pool.acquire(self, fresh)
        except GatewayError as error:
            self._waiting = False
            self._judge(error)
            return
        if connection is not None:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        """The pool gave a connection: send the request."""
        call, target = self._call, self._target
        self._waiting = False
        self._connection = connection
        if call.upload is not None:
            self._attempts.sent = time.monotonic()
            self._deadline = self._attempts.sent + target.upstream.first_byte_timeout
            lines = call.upload.lines(target.model)
            call.upload.open(connection, target.form_head(call.path, call.forwarded, lines), target.model, self)
            return
        body = splice(call.body, target.model, self._inject)
        self._attempts.sent = time.monotonic()
        self._deadline = self._attempts.sent + target.upstream.first_byte_timeout
        connection.send(target.head(call.path, call.forwarded, len(body)), body, self)

    def not_connected(self, error: UpstreamFailed) -> None:
        """The pool could not give one."""
        self._waiting = False
        self._judge(error)

    @property
    def _inject(self) -> bool:
        """Whether usage is asked for on the client's behalf."""
        body = self._call.body
        return self._call.may_ask_usage and body.stream and not body.wants_usage and self._target.takes_stream_options

    # the way down

    def head(self, status: int, headers: list[Header]) -> None:
        """The upstream's head: choose how the body is read."""
        self._status = status
        self._headers = headers
        self._moved = True
        self._error_body = b""
        if not 200 <= status < 300:
            return
        try:
            self._reply = reply_for(
                headers,
                self._call.dialect,
                self._alias.name,
                self._target.model,
                self._inject,
                max(self._services.max_event_bytes, self._call.max_event_bytes),
                self._call.opaque,
            )
        except UpstreamProtocolError as error:
            self._fail(error)
            return
        if self._call.watch is not None:
            target = self._target
            self._call.watch.begin(target.pool.name, self._alias.name, target.model, events=self._reply.events)

    def body(self, data: bytes, complete: bool) -> None:
        """Upstream's next bytes: to the client, in this very turn."""
        self._moved = True
        if not self._first_byte:
            self._first_byte = time.monotonic()
        if complete:
            self._connection = None
        reply = self._reply
        if reply is None:
            self._error_body += data
            if complete or len(self._error_body) > MAX_ERROR_BODY:
                self._drop_connection()
                self._judge_status()
            return
        if self._call.watch is not None:
            self._call.watch.see(data)
        try:
            out = reply.feed(data, complete)
        except UpstreamProtocolError as error:
            self._fail(error)
            return
        if reply.tap.failed and not self._committed:
            self._fail(reported_error(out))
        elif reply.over or (complete and reply.whole):
            self._finish(reply, out, complete)
        elif complete:
            if self._committed:
                self._write(out)
            self._judge(UpstreamDropped("The model's provider ended the answer early.", detail="not whole"))
        elif out:
            self._write(out)
            if self._client is None:
                self._check_drain(reply.tap.text_out)

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone before the answer's end."""
        self._connection = None
        self._judge(error)

    def _write(self, data: bytes) -> None:
        """Hand bytes to the client; the first ones commit."""
        client = self._client
        if client is None:
            return
        if not self._committed:
            self._committed = True
            self._first_write = time.monotonic()
            self._begin(client, None, b"")
            self._call.body = forgotten(self._call.body)
        client.write(data, False)

    def _begin(self, client: Client, length: int | None, lines: bytes) -> None:
        client.begin(self._status, relayed(self._headers) + self._fact_lines() + lines, length)

    def _fact_lines(self) -> bytes:
        target = self._target
        expose = self._services.expose_upstream
        return fact_lines(
            self._call,
            model=target.model if expose else self._alias.name,
            provider=target.pool.name if expose else PROVIDER,
            timeout=target.upstream.first_byte_timeout,
            fell_back=self._attempts.fell_back,
        )

    # endings

    def _finish(self, reply: Reply, out: bytes, complete: bool) -> None:
        """The answer is whole: bill it, then let its last bytes go."""
        connection = self._connection
        if connection is not None:
            # Ended by the dialect's mark; the end of the HTTP body is still to come, and nobody waits for it.
            self._connection = None
            self._services.deadlines.add(leave(connection))
        client = self._client
        if client is None:
            self._settle_left()
            return
        upload = self._call.upload
        if upload is not None and not upload.settled(reply.tap.usage(), lambda: self._end(reply, out)):
            # The answer was there before the length of the audio that it is billed by.
            self._moved = False
            self._deadline = math.inf
            return
        self._end(reply, out)

    def _end(self, reply: Reply, out: bytes) -> None:
        client = self._client
        if self.done or client is None:
            return
        begun = self._committed
        if not begun:
            self._first_write = time.monotonic()
            self._committed = True

        def last() -> None:
            if not begun:
                self._begin(client, None if reply.events else len(out), self._cost_line)
            client.write(out, True)

        self._settle("upstream_error" if reply.tap.failed else "complete", None, last, pending=len(out))

    def _fail(self, error: GatewayError) -> None:
        """The answer is no good: give its connection up and judge the error."""
        self._drop_connection()
        self._judge(error)

    def _judge_status(self) -> None:
        """The upstream answered with an error of its own."""
        status = self._status
        if self._client is None:
            # A drain found an error: what the upstream refused costs nothing.
            self._attempts.sent = 0.0
            self._settle_left()
            return
        if status in (401, 403):
            self._judge(UpstreamFailed("The gateway was refused by the model's provider.", detail=f"status {status}"))
            return
        if status < 400:
            # Redirects are not followed, nor told: what they point to is the upstream's own affair.
            self._judge(UpstreamFailed(f"The model's provider failed (status {status})."))
            return
        if status in RETRYABLE and self._retry(same_target=status == 500):
            return
        call = self._call
        body = call.dialect.upstream_error(self._error_body, self._target.model, self._alias.name)
        if body is None:
            self._answer_error(UpstreamFailed(f"The model's provider failed (status {status})."))
            return
        self._services.attempt_failed(call, self._target.pool.name, UpstreamFailed("", detail=f"status {status}"))
        self._respond(status, relayed(self._headers), body, "upstream_error", f"upstream_{status}")

    def _judge(self, error: GatewayError) -> None:
        """An attempt failed: try again, or end the request with the error."""
        if self.done:
            return
        self._services.attempt_failed(self._call, self._target.pool.name, error)
        if self._client is None:
            self._settle_left()
        elif self._committed:
            self._break(error)
        elif isinstance(error, StoreFailed) or not self._retry(same_target=_was_race(error), fresh=_was_race(error)):
            self._answer_error(error)

    def _retry(self, same_target: bool, fresh: bool = False) -> bool:
        """Start another attempt if one is left: on the same target, once, or on the next."""
        upload = self._call.upload
        if self._committed or self._client is None:
            return False
        if upload is not None and not upload.repeatable:
            return False
        if not self._attempts.again(same_target):
            return False
        self._reply = None
        self._first_byte = 0.0
        self._moved = False
        self._attempt(fresh)
        return True

    def _answer_error(self, error: GatewayError) -> None:
        call = self._call
        body = call.dialect.error_body(error, call.id, timestamp())
        lines = b"content-type: application/json\r\n" + header_lines(error)
        self._respond(error.status, lines, body, outcome_of(error), error.code)

    def _respond(self, status: int, lines: bytes, body: bytes, outcome: Outcome, code: str | None) -> None:
        client = self._client
        assert client is not None
        self._status = status
        client.status = status
        # Nothing of an answer that may have begun was relayed, so nothing of it is billed.
        self._reply = None

        def last() -> None:
            client.begin(status, lines + self._fact_lines(), len(body))
            client.write(body, True)

        self._settle(outcome, code, last)

    def _break(self, error: GatewayError) -> None:
        """After the commit point: say it in the stream, in the caller's dialect, and cut. Never a clean end."""
        client, call = self._client, self._call
        assert client is not None
        timed_out = isinstance(error, UpstreamTimeout)

        def last() -> None:
            if self._reply is not None and self._reply.events:
                client.write(call.dialect.error_event(error, call.id, timestamp()), False)
            client.cut()

        self._settle("timeout" if timed_out else "upstream_cut", error.code, last)

    def client_gone(self) -> None:
        """The client left before its answer ended: cancel upstream, or read on to the usage if that is configured."""
        if self.done:
            return
        client = self._left = self._client
        assert client is not None
        self._client = None
        asked = self._call.upload is None or self._call.upload.whole
        if self._alias.on_disconnect == "drain" and self._connection is not None and asked and not client.stalled:
            self._paused = False
            self._connection.resume()
            self._deadline = time.monotonic() + self._services.drain_max_seconds
            return
        self._drop_connection()
        self._settle_left()

    def upload_failed(self, error: GatewayError) -> None:
        """The client's own body turned out to be no good, and the upstream may have a part of it."""
        if self.done:
            return
        self._drop_connection()
        if self._committed:
            self._break(error)
        else:
            self._answer_error(error)

    def interrupt(self) -> None:
        """The gateway is going down and cannot wait any longer."""
        if self.done:
            return
        self._drop_connection()
        error = UpstreamFailed("The gateway is restarting. Try again.", status=503, code="gateway_shutdown")
        if self._client is None:
            self._settle_left()
        elif self._committed:
            self._break(error)
        else:
            self._answer_error(error)

    def _check_drain(self, text_out: int) -> None:
        _, tokens = self._services.estimator.estimate(self._alias.name, 0, text_out)
        if tokens > self._services.drain_max_tokens:
            self._drop_connection()
            self._settle_left()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None
        elif self._waiting:
            self._waiting = False
            self._target.pool.forget(self)

    # backpressure and deadlines

    def client_paused(self) -> None:
        """The client's own reading is behind: stop reading upstream."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def client_resumed(self) -> None:
        """It has caught up."""
        self._paused = False
        self._moved = True
        if self._connection is not None:
            self._connection.resume()

    def overdue(self, now: float) -> bool:
        """Whether a deadline has passed; bytes since the last sweep push the idle deadline on."""
        if self._client is None:
            return now > self._deadline
        if self._paused:
            return False
        upload = self._call.upload
        if upload is not None and upload.moved and not self._waiting and not self._first_byte:
            upload.moved = False
            self._deadline = now + self._target.upstream.first_byte_timeout
            return False
        if self._moved:
            self._moved = False
            wait = self._target.upstream.idle_timeout
            if self._reply is not None and self._reply.whole:
                wait = min(wait, LAST_EVENTS)
            self._deadline = now + wait
            return False
        return now > self._deadline

    def expire(self) -> None:
        """A deadline passed: connecting, first byte, idle or drain."""
        waiting, reply = self._waiting, self._reply
        self._drop_connection()
        if self._client is None:
            self._settle_left()
        elif reply is not None and reply.whole:
            # It gave its reason to finish, and neither the last mark nor an end.
            self._finish(reply, b"", True)
        elif waiting:
            self._judge(UpstreamTimeout("The model's provider could not be reached in time.", detail="connect"))
        elif self._first_byte:
            self._judge(UpstreamTimeout("The model's provider stopped answering.", detail="idle"))
        else:
            self._judge(UpstreamTimeout("The model's provider did not answer in time.", detail="first byte"))

    # settlement

    def _settle_left(self) -> None:
        """Bill a client that left, with what it got until then."""
        assert self._left is not None
        self._settle("client_stalled" if self._left.stalled else "client_closed", "client_closed", None)

    def _settle(self, outcome: Outcome, code: str | None, then: Callable[[], None] | None, *, pending: int = 0) -> None:
        """Write the bill, once; `then` runs when it is as durable as configured. `pending` bytes are still to leave."""
        self.done = True
        services = self._services
        services.deadlines.discard(self)
        client = self._client or self._left
        final = final_record(
            self._call,
            self._target,
            self._reply.tap if self._reply is not None else None,
            services.estimator,
            outcome=outcome,
            error_code=code,
            status=self._status if self._committed or self._client is not None else 499,
            attempts=self._attempts.count,
            sent=self._attempts.sent_without_losses,
            first_byte=self._first_byte,
            first_write=self._first_write,
            bytes_out=pending + (client.bytes_out if client is not None else 0),
        )
        self._cost_line = cost_line(final)
        try:
            services.journal.append(final, then)
        except StoreFailed as error:
            # The journal keeps what it could not write and refuses new work; this answer was already earned.
            services.attempt_failed(self._call, self._target.pool.name, error)
            if then is not None:
                then()
        services.settled(self._call, final)


def _was_race(error: GatewayError) -> bool:
    """The upstream closed an idle connection just as it was used: a fresh one mends it."""
    return isinstance(error, UpstreamDropped) and error.reused
