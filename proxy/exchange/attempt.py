"""One attempt: one request to one target on one connection, and the reading of its response.

It is the sink of its connection, the waiter of its pool and a member of the timeout sweeper. The upstream's bytes pass
the reader (rewriting and metering) and go to the exchange in the turn in which they came. It must not decide whether a
failure is retried or what the client is sent of it: that is for its owner.
"""

import math
import time
from collections.abc import Sequence
from typing import Final

from proxy.dialects.base import RequestTerms
from proxy.dialects.conversation import IDENTITY, Conversation
from proxy.dialects.readers import ResponseReader, reported_error
from proxy.errors import (
    GatewayError,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import COMMITTED, WAITING, Origin, ResponseWriter
from proxy.exchange.response_head import timestamp
from proxy.exchange.services import Services
from proxy.routing.models import conversation_with
from proxy.routing.retry import COUNTED, RetryPlan
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.drain import drain
from proxy.wire.headers import Header, with_content_type
from proxy.wire.sniff import Kind, sniff_kind

#: Bytes of an upstream's error body that are read.
MAX_ERROR_BODY_BYTES = 65_536
#: Bytes of events without content that wait for the first content, so that another target may still respond instead.
MAX_PRELUDE_BYTES = 4_096
#: Seconds that a response which has given its reason to finish may take to end.
LAST_EVENTS_SECONDS = 5.0
#: Seconds in which the mark behind a response's last event comes, where it does.
END_MARK_SECONDS = 0.1
#: Bytes that may come until they show what a response is: blanks, by which an upstream says that it is still at work.
MAX_SNIFFED_BYTES = 65_536
#: The bytes of blanks, and of a byte order mark.
_BLANKS: Final = b" \t\r\n\v\f\xef\xbb\xbf"

# States of an attempt, in their order.
#: Waits for a connection of the pool.
CONNECTING: Final = 0
#: The request is sent, or on its way; no response head has come.
SENT: Final = 1
#: An error status has come: its body is collected.
REFUSED: Final = 2
#: The head has come, and not enough of the body to know of what kind it is.
SNIFFING: Final = 3
#: The body is read as what it is.
READING: Final = 4
_now: Final = time.monotonic


class AttemptOwner(Origin):
    """The origin that makes attempts, as an attempt sees it.

    Each attempt that is not dropped calls exactly one of `finished`, `refused` and `failed`, and then nothing more.
    """

    services: Services
    context: RequestContext
    plan: RetryPlan
    exchange: ResponseWriter
    #: Between the client and the target of the attempt.
    conversation: Conversation = IDENTITY
    #: Monotonic time at which a request was last sent; 0 before.
    sent: float
    #: For the sweeper, of which it is a member between two attempts and takes itself out.
    done = False
    #: Another attempt may respond in place of this one, which is why nothing is sent before there is content.
    races = False
    #: The id of the row of its attempts, where that is not the request's own.
    row = ""
    #: The request's key pays for its attempts.
    is_billed = True

    def begin(self, attempt: "Attempt", reader: ResponseReader) -> None:
        """The first bytes for the client are there: commit the exchange to this response."""
        raise NotImplementedError

    def finished(self, attempt: "Attempt", reader: ResponseReader, last: bytes) -> None:
        """The response is whole, with these last bytes."""
        raise NotImplementedError

    def refused(self, attempt: "Attempt", body: bytes) -> None:
        """The upstream responded with a status other than success, and this body."""
        raise NotImplementedError

    def failed(self, error: GatewayError) -> None:
        """The attempt came to nothing, or broke off."""
        raise NotImplementedError

    def drained(self, reader: ResponseReader) -> None:
        """More was read for a client that is gone."""
        raise NotImplementedError


class Attempt(ResponseSink):
    """A request at one target, from the wait for a connection to the end of the upstream's response."""

    # What it begins with; set for each attempt only once it changes.
    state = CONNECTING
    connection: Connection | None = None
    #: Of the upstream's response.
    status = 0
    headers: Sequence[Header] = ()
    #: Monotonic seconds at which the first byte of the body came, or 0.
    first_byte = 0.0
    #: For the sweeper; its owner takes it out.
    done = False
    #: Bytes came or went since the last sweep.
    _moved = False
    #: While SNIFFING the first bytes; REFUSED, the error's body; READING, what the client has not been sent yet: events
    #: before the first content, or the last ones.
    _buffer = b""
    #: When it ends by a timeout, and when the upstream's own time of that has passed.
    _deadline = math.inf
    _upstream_deadline = math.inf

    def __init__(self, owner: AttemptOwner) -> None:
        self._owner = owner
        # Not above: compiled code forgets a None there where the type is a protocol.
        self.reader: ResponseReader | None = None

    # the request

    def start(self, fresh: bool) -> None:
        """Ask for a connection, one that has not been used if `fresh`.

        Raises what the pool raises, and `InvalidRequest` for what cannot be said in the target's dialect.
        """
        owner = self._owner
        plan, upload = owner.plan, owner.context.upload
        alias = plan.alias
        assert alias is not None
        if plan.target.translates or owner.conversation is not IDENTITY:
            owner.conversation = self._begin(conversation_with(plan.target, alias))
        pool = plan.target.pool
        self._upstream_deadline = plan.began + pool.connect_timeout
        self._deadline = min(self._upstream_deadline, plan.first_byte_deadline)
        owner.services.deadlines.add(self)
        fresh = fresh or (upload is not None and upload.needs_fresh_connection)
        connection = pool.acquire(self, fresh, owner.context.key.id)
        if connection is not None:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        """The pool gave a connection: send the request."""
        owner = self._owner
        context, plan = owner.context, owner.plan
        target = plan.target
        self.connection = connection
        forwarded = context.forwarded if context.prism.trace is None else context.upstream_lines()
        upload, model, body = context.upload, target.model, b""
        parts: list[bytes | memoryview] | None = None
        if upload is not None:
            head = target.head(context.path, forwarded, content=upload.lines(model))
        else:
            conversation = owner.conversation
            may_ask_usage = context.spec.may_ask_usage and target.takes_stream_options
            path = context.path
            if conversation is not IDENTITY:
                path = conversation.path(path, context.body.stream)
                forwarded = conversation.lines(forwarded)
            if not context.large:
                body = conversation.body(context.body, model, may_ask_usage)
                length = len(body)
            else:
                parts = conversation.body_parts(context.body, model, may_ask_usage)
                length = sum([len(part) for part in parts])
            head = target.head(path, forwarded, length)
        # The request is sent now, and the wait for the first byte begins.
        self.state = SENT
        owner.sent = _now()
        self._upstream_deadline = owner.sent + target.first_byte_timeout
        self._deadline = min(self._upstream_deadline, plan.first_byte_deadline)
        if upload is not None:
            upload.open(connection, head, model, self)
        else:
            connection.send(head, body, self, None, parts)
        if owner.exchange.paused:
            # By responses before this one, which the client has not read yet.
            connection.pause()

    def _begin(self, conversation: Conversation) -> Conversation:
        """The conversation of this attempt. Raises `InvalidRequest`."""
        if conversation is IDENTITY:
            return conversation
        context, services = self._owner.context, self._owner.services
        assert context.alias is not None
        size, _ = services.estimator.estimate(context.key.id, context.alias.name, len(context.body.data), 0)
        return conversation.begin(context.body, RequestTerms(context.id, context.started, size, timestamp))

    def not_connected(self, error: UpstreamFailed) -> None:
        """The pool could not give one."""
        self.state = SENT
        self._owner.failed(error)

    # the response

    def head(self, status: int, headers: list[Header]) -> None:
        """The upstream's head: choose how the body is read."""
        self.status = status
        self.headers = headers
        self._moved = True
        if not 200 <= status < 300:
            self.state = REFUSED
            return
        self.state = SNIFFING
        try:
            self._read_as(b"", "open")
        except UpstreamProtocolError as error:
            self._fail(error)

    def _read_as(self, first: bytes, kind: Kind) -> None:
        """Choose the reader: by the content type, and by the first bytes once they are there.

        Raises `UpstreamProtocolError` for a response that cannot be read.
        """
        owner = self._owner
        context, target = owner.context, owner.plan.target
        assert context.alias is not None
        upload = context.upload
        self.reader = owner.conversation.reader(
            self.headers,
            context.dialect,
            context.body,
            alias=context.alias.name,
            model=target.model,
            hidden=target.hidden,
            may_ask_usage=context.spec.may_ask_usage and target.takes_stream_options,
            stream=context.body.stream if upload is None else upload.stream,
            opaque=context.spec.opaque,
            max_event_bytes=owner.services.max_event_bytes,
            first=first,
            kind=kind,
        )

    def _sniff(self, data: bytes, complete: bool) -> bytes:
        """The first bytes of a response, once they show what it is; none until then.

        Raises `UpstreamProtocolError` for what cannot be read, and for too many bytes that show nothing.
        """
        first = self._buffer = self._buffer + data
        if len(first) > MAX_SNIFFED_BYTES and len(first) - len(first.lstrip(_BLANKS)) > MAX_SNIFFED_BYTES:
            raise UpstreamProtocolError("The model's answer could not be read.", detail="nothing but blanks")
        kind = sniff_kind(first, complete)
        if kind == "open":
            return b""
        self.state = READING
        self._buffer = b""
        self._read_as(first, kind)
        return first

    def body(self, data: bytes, complete: bool) -> None:
        """The upstream's next bytes: to the client, in this very turn."""
        self._moved = True
        if not self.first_byte:
            self.first_byte = _now()
        if complete:
            self.connection = None
        owner, reader = self._owner, self.reader
        exchange = owner.exchange
        if reader is None:
            self._buffer += data
            if complete or len(self._buffer) > MAX_ERROR_BODY_BYTES:
                self.drop()
                owner.refused(self, self._buffer[:MAX_ERROR_BODY_BYTES])
            return
        if self.state != READING:
            if not self._buffer and data.startswith(reader.usual):
                self.state = READING
            else:
                try:
                    data = self._sniff(data, complete)
                except UpstreamProtocolError as error:
                    self._fail(error)
                    return
                if self.state != READING:
                    return
                reader = self.reader
                assert reader is not None
            if exchange.state != WAITING and not reader.events:
                refused = "no events, but asked for"
                self._fail(UpstreamProtocolError("The model's answer could not be read.", detail=refused))
                return
        try:
            out = reader.feed(data, complete)
        except UpstreamProtocolError as error:
            self._send_good(reader, error.before)
            self._fail(error)
            return
        if reader.label:
            self.headers = with_content_type(self.headers, reader.label)
            reader.label = b""
        if reader.meter.failed and exchange.state < COMMITTED and not reader.began:
            self._fail(reported_error(out))
        elif reader.over or (complete and reader.whole) or (exchange.client_gone and reader.meter.terminal):
            if self.connection is not None:
                self._drain(self.connection)
            owner.finished(self, reader, self._buffer + out if self._buffer else out)
        elif complete:
            self._send_good(reader, out)
            owner.failed(UpstreamDropped("The model's provider ended the answer early.", detail="not whole"))
        elif reader.meter.terminal:
            # The bill comes before the last bytes, and they are not the last ones if a mark follows.
            self._buffer += out
        elif out:
            if exchange.state < COMMITTED:
                out = self._buffer + out
                plan = owner.plan
                if (owner.races or plan.has_next or plan.used & COUNTED) and _may_wait(reader, out, plan):
                    self._buffer = out
                    return
                self._buffer = b""
                owner.begin(self, reader)
            exchange.write(out)
            if exchange.client_gone:
                owner.drained(reader)

    def _send_good(self, reader: ResponseReader, last: bytes) -> None:
        """Send the client the last good bytes of a response that failed, unless another target may respond yet."""
        exchange = self._owner.exchange
        if exchange.state >= COMMITTED or reader.began:
            good = last
        elif reader.by_parts and reader.meter.text_out and not self._owner.races and not self._owner.plan.has_next:
            good = self._buffer + last
        else:
            return
        if good:
            if exchange.state < COMMITTED:
                self._owner.begin(self, reader)
            exchange.write(good)

    def _drain(self, connection: Connection) -> None:
        """The response has ended by its own mark; the end of the HTTP body is still to come, without a receiver."""
        self._owner.services.deadlines.add(drain(connection))
        self.connection = None

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone before the end of the response."""
        self.connection = None
        reader = self.reader
        if reader is not None and reader.meter.terminal:
            # All of it was there, and the mark that may follow is no part of it.
            self._owner.finished(self, reader, self._buffer)
        else:
            self._owner.failed(error)

    def _fail(self, error: UpstreamFailed) -> None:
        """The response is no good: give its connection up."""
        self.drop()
        self._owner.failed(error)

    def drop(self) -> None:
        """Stop: the upstream sees the close at once."""
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        elif self.state == CONNECTING:
            self.state = SENT
            self._owner.plan.target.pool.cancel(self)

    # backpressure and timeouts

    def pause(self) -> None:
        """Stop reading: the client is behind."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Read on."""
        self._moved = True
        if self.connection is not None:
            self.connection.resume()

    def drain(self, seconds: float) -> None:
        """Read on without a client, to the usage, for so many seconds at the most."""
        self.resume()
        self._deadline = _now() + seconds

    def hold(self) -> None:
        """The response is there, and what is waited for is not the upstream's: let no timeout of its run."""
        self._moved = False
        self._deadline = math.inf

    def overdue(self, now: float) -> bool:
        """Whether a deadline has passed; bytes since the last sweep push the idle deadline on."""
        owner = self._owner
        context, exchange = owner.context, owner.exchange
        if exchange.client_gone:
            return now > self._deadline
        if exchange.paused:
            return now > owner.plan.deadline
        if context.alias is not None and context.alias.heartbeat_interval > 0 and context.dialect.heartbeat:
            exchange.heartbeat(now, self.reader.events if self.reader is not None else self.state < REFUSED)
        upload = context.upload
        if upload is not None and upload.moved and self.state != CONNECTING and not self.first_byte:
            upload.moved = False
            self._wait(now, self._owner.plan.target.first_byte_timeout)
        elif self._moved:
            self._moved = False
            self._wait(now, min(self._seconds_to_end(), self._owner.plan.target.idle_timeout))
        return now > self._deadline

    def _seconds_to_end(self) -> float:
        """How many seconds a response that has said that it is whole may still take; infinity for any other."""
        reader = self.reader
        if reader is None or not reader.whole:
            return math.inf
        if reader.meter.terminal:
            return END_MARK_SECONDS
        return math.inf if reader.meter.goes_on else LAST_EVENTS_SECONDS

    def _wait(self, now: float, seconds: float) -> None:
        """Wait for so long from now on, if neither the client's nor the request's own time ends first."""
        plan = self._owner.plan
        self._upstream_deadline = now + seconds
        # Until the client has something, its own time runs from its request on.
        until = plan.deadline if self._owner.exchange.state != WAITING else plan.first_byte_deadline
        self._deadline = min(now + min(seconds, plan.patience), until)

    def expire(self) -> None:
        """A deadline passed: connecting, first byte, idle, that of the whole request, or drain."""
        owner, reader = self._owner, self.reader
        error = self._timeout()
        if reader is not None and reader.meter.terminal and self.connection is not None:
            self._drain(self.connection)
        self.drop()
        if owner.exchange.client_gone:
            owner.exchange.settle_disconnected()
        elif reader is not None and reader.whole:
            # It gave its reason to finish, and neither the last mark nor an end.
            owner.finished(self, reader, self._buffer + reader.close())
        else:
            owner.failed(error)

    def _timeout(self) -> UpstreamTimeout:
        """Which deadline it was, and whether the upstream had all the time that it may take."""
        now, plan, paused = _now(), self._owner.plan, self._owner.exchange.paused
        connecting = self.state == CONNECTING
        if now > plan.deadline:
            error = UpstreamTimeout("The answer took longer than it may in all.", detail="total")
        elif connecting:
            error = UpstreamTimeout("The model's provider could not be reached in time.", detail="connect")
        elif self.first_byte:
            error = UpstreamTimeout("The model's provider stopped answering.", detail="idle")
        else:
            error = UpstreamTimeout("The model's provider did not answer in time.", detail="first byte")
        saturated = connecting and self._owner.plan.target.pool.saturated
        error.early = saturated or paused or now < self._upstream_deadline
        error.impatient = error.early and not connecting and not paused and now <= plan.deadline
        return error

    def interrupt(self) -> None:
        """The gateway is shutting down."""
        self._owner.exchange.interrupt()


def _may_wait(reader: ResponseReader, data: bytes, plan: RetryPlan) -> bool:
    """Whether all that came, such as the role of who will speak, may wait for the first content to come with it.

    That costs no time to the first token, and a response that breaks off until then is replaced by another target's.
    One that finishes without content waits for its end where another alias may serve what it refuses. Where the time to
    the first content is measured all wait for it, at the last target too.
    """
    return (
        reader.by_parts
        and not reader.meter.text_out
        and (not reader.meter.finished or plan.may_fall_back)
        and len(data) <= MAX_PRELUDE_BYTES
    )
