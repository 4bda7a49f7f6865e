"""One attempt: it asks one target and reads its answer, and tells the exchange what came of it.

The sink of its connection, the waiter of its pool, a member of the deadlines. Upstream's bytes pass the rewriter and
the meter and go on to the exchange in the turn in which they came. It knows no client and no other target: whether a
failure is mended, and how the client is told, is for the exchange to say.
"""

import math
import time
from collections.abc import Sequence
from typing import Final

from proxy.dialects.meters import choices_in
from proxy.dialects.readers import ResponseReader, reply_for, reported_error
from proxy.errors import (
    GatewayError,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.exchange.context import RequestContext
from proxy.exchange.services import Services
from proxy.routing.models import Alias
from proxy.routing.retry import RetryPlan
from proxy.server.downstream import ResponseProducer
from proxy.upstream.connection import Connection
from proxy.upstream.drain import drain
from proxy.wire.headers import Header, with_content_type
from proxy.wire.pieces import pieces
from proxy.wire.request_body import render_body
from proxy.wire.sniff import Kind, sniff_kind

#: Bytes of an upstream's error body that are read.
MAX_ERROR_BODY = 65_536
#: Bytes of events without content that wait for the first content, so that another target may still answer instead.
MAX_PRELUDE = 4_096
#: Seconds that an answer which has given its reason to finish may take to end.
LAST_EVENTS = 5.0
#: Seconds in which the mark behind an answer's last event comes, where it does.
LAST_MARK = 0.1
#: Bytes that may come until they tell what an answer is: blanks, by which an upstream says that it is still at work.
MAX_UNKNOWN = 65_536
#: The bytes of blanks, and of a mark of the bytes' order.
_BLANKS: Final = b" \t\r\n\v\f\xef\xbb\xbf"
_now: Final = time.monotonic


class Asker(ResponseProducer):
    """Who makes the attempt: the exchange. Of `finish`, `refused` and `fail` one comes, and then nothing more."""

    #: A part of the answer has reached the client.
    committed = False
    #: Something has: the head at least, which then says that events follow.
    begun = False

    def relay(self, reply: ResponseReader, data: bytes) -> None:
        """The next bytes for the client."""
        raise NotImplementedError

    def finish(self, attempt: "Attempt", reply: ResponseReader, last: bytes) -> None:
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
    #: What the client does not have yet: events before the first content, or the last ones.
    _kept = b""
    #: The first bytes have told what the answer is; until then, those that did not.
    _known = False
    _unknown = b""
    _moved = False
    _deadline = math.inf
    #: When the wait that the deadline ends began, and how many seconds the upstream may let wait.
    _since = 0.0
    _limit = 0.0

    def __init__(
        self, asker: Asker, services: Services, call: RequestContext, alias: Alias, attempts: RetryPlan
    ) -> None:
        self._asker = asker
        self._services = services
        self._call = call
        self._alias = alias
        self._attempts = attempts
        # Not above: compiled code forgets a None there where the type is a protocol.
        self.reply: ResponseReader | None = None
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
            body = render_body(call.body, target.model, self._injects)
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
        try:
            self._read_as(b"", "open")
        except UpstreamProtocolError as error:
            self._fail(error)

    def _read_as(self, first: bytes, kind: Kind) -> None:
        """Choose the reader: by the answer's label, and by its first bytes once they are there.

        Raises `UpstreamProtocolError` for an answer that cannot be read.
        """
        call, target = self._call, self._target
        reply = self.reply = reply_for(
            self.headers,
            call.dialect,
            self._alias.name,
            target.model,
            self._injects,
            self._services.max_event_bytes,
            call.opaque,
            call.body.stream if call.upload is None else call.upload.stream,
            first,
            kind,
        )
        reply.meter.hidden = target.hidden
        fields = call.body.fields
        for name in call.dialect.choice_counts:
            if name in fields:
                reply.meter.expect(choices_in(fields[name]))
        if call.watch is not None:
            call.watch.begin(target.pool.name, self._alias.name, target.model, events=reply.events)

    def _look(self, data: bytes, complete: bool) -> bytes:
        """The first bytes of an answer, once they tell what it is; none until then.

        Raises `UpstreamProtocolError` for what cannot be read, and for too many bytes that tell nothing.
        """
        self._unknown += data
        first = self._unknown
        if len(first) > MAX_UNKNOWN and len(first) - len(first.lstrip(_BLANKS)) > MAX_UNKNOWN:
            raise UpstreamProtocolError("The model's answer could not be read.", detail="nothing but blanks")
        kind = sniff_kind(first, complete)
        if kind == "open":
            return b""
        self._known = True
        self._unknown = b""
        self._read_as(first, kind)
        return first

    def body(self, data: bytes, complete: bool) -> None:
        """Upstream's next bytes: to the client, in this very turn."""
        self._moved = True
        if not self.first_byte:
            self.first_byte = _now()
        if complete:
            self.connection = None
        reply = self.reply
        if not self._known and reply is not None:
            if not self._unknown and data.startswith(reply.usual):
                self._known = True
            else:
                try:
                    data = self._look(data, complete)
                except UpstreamProtocolError as error:
                    self._fail(error)
                    return
                reply = self.reply
            if self._known and self._asker.begun and reply is not None and not reply.events:
                refused = "no events, but asked for"
                self._fail(UpstreamProtocolError("The model's answer could not be read.", detail=refused))
                return
            if not self._known:
                return
        if reply is None:
            self._error_body += data
            if complete or len(self._error_body) > MAX_ERROR_BODY:
                self.drop()
                self._asker.refused(self, self._error_body[:MAX_ERROR_BODY])
            return
        if self._call.watch is not None:
            self._call.watch.see(data)
        try:
            out = reply.feed(data, complete)
        except UpstreamProtocolError as error:
            self._give(reply, error.before)
            self._fail(error)
            return
        if reply.label:
            self.headers = with_content_type(self.headers, reply.label)
            reply.label = b""
        if reply.meter.failed and not self._asker.committed and not reply.began:
            self._fail(reported_error(out))
        elif reply.over or (complete and reply.whole) or (self._draining and reply.meter.terminal):
            if self.connection is not None:
                self._leave(self.connection)
            self._asker.finish(self, reply, self._kept + out if self._kept else out)
        elif complete:
            self._give(reply, out)
            self._asker.fail(UpstreamDropped("The model's provider ended the answer early.", detail="not whole"))
        elif reply.meter.terminal:
            # The bill comes before the last bytes, and they are not the last ones if a mark follows.
            self._kept += out
        elif out:
            if not self._asker.committed:
                out = self._kept + out
                if self._may_wait(reply, out):
                    self._kept = out
                    return
                self._kept = b""
            self._asker.relay(reply, out)

    def _give(self, reply: ResponseReader, last: bytes) -> None:
        """Let the client have the last good bytes of an answer that failed, unless another target may answer yet."""
        if self._asker.committed or reply.began:
            good = last
        elif reply.by_parts and reply.meter.text_out and not self._attempts.has_next:
            good = self._kept + last
        else:
            return
        if good:
            self._asker.relay(reply, good)

    def _leave(self, connection: Connection) -> None:
        """The answer has ended by its own mark; the end of the HTTP body is still to come, and nobody waits for it."""
        self._services.deadlines.add(drain(connection))
        self.connection = None

    def _may_wait(self, reply: ResponseReader, data: bytes) -> bool:
        """Whether all that came, such as the role of who will speak, may wait for the first content to come with it.

        That costs no time to the first token, and an answer that breaks off until then is replaced by another target's.
        """
        return (
            reply.by_parts
            and not reply.meter.text_out
            and not reply.meter.finished
            and len(data) <= MAX_PRELUDE
            and self._attempts.has_next
        )

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone before the answer's end."""
        self.connection = None
        reply = self.reply
        if reply is not None and reply.meter.terminal:
            # All of it was there, and the mark that may follow is no part of it.
            self._asker.finish(self, reply, self._kept)
        else:
            self._asker.fail(error)

    def _fail(self, error: UpstreamFailed) -> None:
        """The answer is no good: give its connection up."""
        self.drop()
        self._asker.fail(error)

    def drop(self) -> None:
        """Wait for nothing any more: the upstream sees the close at once."""
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        elif self._waiting:
            self._waiting = False
            self._target.pool.cancel(self)

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
            self._wait(now, min(self._time_to_end(), self._target.idle_timeout))
        return now > self._deadline

    def _time_to_end(self) -> float:
        """How many seconds an answer that has said that it is whole may still take; infinity for any other."""
        reply = self.reply
        if reply is None or not reply.whole:
            return math.inf
        if reply.meter.terminal:
            return LAST_MARK
        return math.inf if reply.meter.goes_on else LAST_EVENTS

    def _wait(self, now: float, seconds: float) -> None:
        """Wait for so long from now on, if neither the client nor the request's own time ends first."""
        attempts = self._attempts
        self._since, self._limit = now, seconds
        # Until the client has something, its own time runs from its request on.
        until = attempts.until if self._asker.begun else attempts.answer_by
        self._deadline = min(now + min(seconds, attempts.patience), until)

    def expire(self) -> None:
        """A deadline passed: connecting, first byte, idle, that of the whole request, or drain."""
        waiting, reply = self._waiting, self.reply
        crowded = waiting and self._target.pool.saturated
        if reply is not None and reply.meter.terminal and self.connection is not None:
            self._leave(self.connection)
        self.drop()
        if self._draining:
            self._asker.drained()
        elif reply is not None and reply.whole:
            # It gave its reason to finish, and neither the last mark nor an end.
            self._asker.finish(self, reply, self._kept)
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
        error.impatient = error.early and not waiting and not self.paused and now <= self._attempts.until
        return error

    def interrupt(self) -> None:
        """The gateway goes down."""
        self._asker.interrupt()
