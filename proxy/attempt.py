"""One attempt: it asks one target and reads its answer, and tells the exchange what came of it.

The sink of its connection, the waiter of its pool, a member of the deadlines. Upstream's bytes pass the rewriter and
the tap and go on to the exchange in the turn in which they came. It knows no client and no other target: whether a
failure is mended, and how the client is told, is for the exchange to say.
"""

import math
import time
from collections.abc import Sequence
from typing import Final

from proxy.attempts import Attempts
from proxy.errors import (
    GatewayError,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.policies.base import Call
from proxy.reply import Reply, reply_for, reported_error
from proxy.services import Services
from proxy.upstream.connection import Connection
from proxy.upstream.leftover import leave
from proxy.upstream.target import Alias
from proxy.wire.body import splice
from proxy.wire.headers import Header
from proxy.wire.pieces import pieces

#: Bytes of an upstream's error body that are read.
MAX_ERROR_BODY = 65_536
#: Bytes of events without content that wait for the first content, so that another target may still answer instead.
MAX_PRELUDE = 4_096
#: Seconds that an answer which has given its reason to finish may take to end.
LAST_EVENTS = 5.0
_now: Final = time.monotonic


class Asker:
    """Who makes the attempt: the exchange. Of `finish`, `refused` and `fail` one comes, and then nothing more."""

    #: A part of the answer has reached the client.
    committed = False
    #: Something has: the head at least, which then says that events follow.
    begun = False

    def relay(self, reply: Reply, data: bytes) -> None:
        """The next bytes for the client."""
        raise NotImplementedError

    def finish(self, attempt: "Attempt", reply: Reply, last: bytes) -> None:
        """The answer is whole, with these last bytes."""
        raise NotImplementedError

    def refused(self, attempt: "Attempt", body: bytes) -> None:
        """The upstream answered with a status other than success, and this body."""
        raise NotImplementedError

    def fail(self, error: GatewayError) -> None:
        """It came to nothing, or broke off."""
        raise NotImplementedError

    def pulse(self, now: float) -> None:
        """The sweep comes by, and neither side has ended; not called where the alias has no heartbeats."""
        raise NotImplementedError

    def drained(self) -> None:
        """What was read for a client that has left has taken long enough."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """The gateway goes down."""
        raise NotImplementedError


class Attempt:
    """See the module."""

    # What it begins with; set for each attempt only once it changes.
    connection: Connection | None = None
    status = 0
    headers: Sequence[Header] = ()
    #: Monotonic seconds at which the first byte of the body came, or 0.
    first_byte = 0.0
    #: The client's own reading is behind: no deadline of the upstream's runs.
    paused = False
    #: Its asker says when it is over.
    done = False
    _waiting = False
    _draining = False
    _error_body = b""
    #: Usage is asked for on the client's behalf.
    _injects = False
    #: The events before the first content.
    _prelude = b""
    _moved = False
    _deadline = math.inf
    #: When the wait that the deadline ends began, and how many seconds the upstream may let wait.
    _since = 0.0
    _limit = 0.0

    def __init__(self, asker: Asker, services: Services, call: Call, alias: Alias, attempts: Attempts) -> None:
        self._asker = asker
        self._services = services
        self._call = call
        self._alias = alias
        self._attempts = attempts
        # Not above: compiled code forgets a None there where the type is a protocol.
        self.reply: Reply | None = None
        self._target = attempts.target
        self._beats = alias.heartbeat_interval > 0 and bool(call.dialect.heartbeat)

    # the way up

    def start(self, fresh: bool) -> None:
        """Ask for a connection, one that has served nobody if `fresh`. Raises what the pool raises."""
        attempts, pool, upload = self._attempts, self._target.pool, self._call.upload
        self._since, self._limit = attempts.began, pool.connect_timeout
        self._deadline = min(self._since + self._limit, attempts.answer_by)
        self._services.deadlines.add(self)
        self._waiting = True
        try:
            connection = pool.acquire(self, fresh or (upload is not None and upload.outgrows), self._call.key.id)
        except GatewayError:
            self._waiting = False
            raise
        if connection is not None:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        """The pool gave a connection: send the request."""
        call, target = self._call, self._target
        self._waiting = False
        self.connection = connection
        if call.upload is not None:
            self._sent()
            lines = call.upload.lines(target.model)
            call.upload.open(connection, target.form_head(call.path, call.forwarded, lines), target.model, self)
            return
        self._injects = self._may_inject()
        if not call.large:
            body = splice(call.body, target.model, self._injects)
            self._sent()
            connection.send(target.head(call.path, call.forwarded, len(body)), body, self)
            return
        # Its pieces go as they are: nothing of it is copied.
        parts = pieces(call.body, target.model, self._injects)
        self._sent()
        length = sum([len(part) for part in parts])
        connection.send(target.head(call.path, call.forwarded, length), b"", self, pieces=parts)

    def _sent(self) -> None:
        """The request goes now, and the wait for the first byte begins."""
        attempts = self._attempts
        self._since = attempts.sent = _now()
        self._limit = self._target.first_byte_timeout
        self._deadline = min(self._since + self._limit, attempts.answer_by)

    def not_connected(self, error: UpstreamFailed) -> None:
        """The pool could not give one."""
        self._waiting = False
        self._asker.fail(error)

    def _may_inject(self) -> bool:
        """Whether usage is to be asked for on the client's behalf."""
        body = self._call.body
        return self._call.may_ask_usage and body.stream and not body.wants_usage and self._target.takes_stream_options

    # the way down

    def head(self, status: int, headers: list[Header]) -> None:
        """The upstream's head: choose how the body is read."""
        self.status = status
        self.headers = headers
        self._moved = True
        if not 200 <= status < 300:
            return
        call, target = self._call, self._target
        try:
            reply = self.reply = reply_for(
                headers,
                call.dialect,
                self._alias.name,
                target.model,
                self._injects,
                max(self._services.max_event_bytes, call.max_event_bytes),
                call.opaque,
            )
            if self._asker.begun and not reply.events:
                raise UpstreamProtocolError("The model's answer could not be read.", detail="no events, but asked for")
        except UpstreamProtocolError as error:
            self._fail(error)
            return
        if call.watch is not None:
            call.watch.begin(target.pool.name, self._alias.name, target.model, events=reply.events)

    def body(self, data: bytes, complete: bool) -> None:
        """Upstream's next bytes: to the client, in this very turn."""
        self._moved = True
        if not self.first_byte:
            self.first_byte = _now()
        if complete:
            self.connection = None
        reply = self.reply
        if reply is None:
            self._error_body += data
            if complete or len(self._error_body) > MAX_ERROR_BODY:
                self.drop()
                self._asker.refused(self, self._error_body)
            return
        if self._call.watch is not None:
            self._call.watch.see(data)
        try:
            out = reply.feed(data, complete)
        except UpstreamProtocolError as error:
            self._fail(error)
            return
        if reply.tap.failed and not self._asker.committed:
            self._fail(reported_error(out))
        elif reply.over or (complete and reply.whole):
            if self.connection is not None:
                # Ended by the dialect's mark; the end of the HTTP body is still to come, and nobody waits for it.
                self._services.deadlines.add(leave(self.connection))
                self.connection = None
            self._asker.finish(self, reply, self._prelude + out if self._prelude else out)
        elif complete:
            if self._asker.committed:
                self._asker.relay(reply, out)
            self._asker.fail(UpstreamDropped("The model's provider ended the answer early.", detail="not whole"))
        elif out:
            if not self._asker.committed:
                out = self._prelude + out
                if self._may_wait(reply, out):
                    self._prelude = out
                    return
                self._prelude = b""
            self._asker.relay(reply, out)

    def _may_wait(self, reply: Reply, data: bytes) -> bool:
        """Whether all that came, such as the role of who will speak, may wait for the first content to come with it.

        That costs no time to the first token, and an answer that breaks off until then is replaced by another target's.
        """
        return (
            reply.events
            and not reply.tap.text_out
            and not reply.tap.finished
            and len(data) <= MAX_PRELUDE
            and self._attempts.has_next
        )

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone before the answer's end."""
        self.connection = None
        self._asker.fail(error)

    def _fail(self, error: UpstreamFailed) -> None:
        """The answer is no good: give its connection up."""
        self.drop()
        self._asker.fail(error)

    def drop(self) -> None:
        """Wait for nothing any more: the upstream sees the close at once."""
        if self.connection is not None:
            self.connection.abandon()
            self.connection = None
        elif self._waiting:
            self._waiting = False
            self._target.pool.forget(self)

    # backpressure and deadlines

    def pause(self) -> None:
        """Stop reading: the client is behind."""
        self.paused = True
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Read on."""
        self.paused = False
        self._moved = True
        if self.connection is not None:
            self.connection.resume()

    def drain(self, seconds: float) -> None:
        """Read on without a client, to the usage, for so many seconds at the most."""
        self.resume()
        self._draining = True
        self._deadline = _now() + seconds

    @property
    def awaits_events(self) -> bool:
        """Whether what may still come of it are events, so that the client may be told something between them."""
        return not self.paused and (self.reply.events if self.reply is not None else not self.status)

    def hold(self) -> None:
        """The answer is there; what is still waited for is no affair of the upstream's."""
        self._moved = False
        self._deadline = math.inf

    def overdue(self, now: float) -> bool:
        """Whether a deadline has passed; bytes since the last sweep push the idle deadline on."""
        attempts = self._attempts
        if self._draining:
            return now > self._deadline
        if self.paused:
            return now > attempts.until
        if self._beats:
            self._asker.pulse(now)
        upload = self._call.upload
        if upload is not None and upload.moved and not self._waiting and not self.first_byte:
            upload.moved = False
            self._wait(now, self._target.first_byte_timeout)
        elif self._moved:
            self._moved = False
            whole = self.reply is not None and self.reply.whole
            self._wait(now, min(LAST_EVENTS if whole else math.inf, self._target.idle_timeout))
        return now > self._deadline

    def _wait(self, now: float, seconds: float) -> None:
        """Wait for so long from now on, if neither the client nor the request's own time ends first."""
        self._since, self._limit = now, seconds
        self._deadline = min(now + min(seconds, self._attempts.patience), self._attempts.until)

    def expire(self) -> None:
        """A deadline passed: connecting, first byte, idle, that of the whole request, or drain."""
        waiting, reply = self._waiting, self.reply
        crowded = waiting and self._target.pool.crowded
        self.drop()
        if self._draining:
            self._asker.drained()
        elif reply is not None and reply.whole:
            # It gave its reason to finish, and neither the last mark nor an end.
            self._asker.finish(self, reply, self._prelude)
        else:
            self._asker.fail(self._timeout(waiting, crowded))

    def _timeout(self, waiting: bool, crowded: bool) -> UpstreamTimeout:
        """Which deadline it was, and whether the upstream had all the time that it may take."""
        now = _now()
        if now > self._attempts.until:
            error = UpstreamTimeout("The answer took longer than it may in all.", detail="total")
        elif waiting:
            error = UpstreamTimeout("The model's provider could not be reached in time.", detail="connect")
        elif self.first_byte:
            error = UpstreamTimeout("The model's provider stopped answering.", detail="idle")
        else:
            error = UpstreamTimeout("The model's provider did not answer in time.", detail="first byte")
        error.early = crowded or self.paused or now < self._since + self._limit
        return error

    def interrupt(self) -> None:
        """The gateway goes down."""
        self._asker.interrupt()
