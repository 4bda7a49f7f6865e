"""A form with files on its way from the client to the upstream: spooled until its model is known, then as it arrives.

What it holds is bounded by the endpoint's cap; once bytes have left, what has been sent is kept only while another
attempt may need it, or while the length of its audio is still to be measured. It writes nothing to the client.
"""

from collections.abc import Callable
from typing import Protocol

from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest
from proxy.exchange.audio_length import AudioMeter, warn
from proxy.server.bodies import Bodies, Holding, no_room
from proxy.upstream.client import LAST_CHUNK, SLICE_BYTES, http_chunk
from proxy.upstream.connection import BodySource, Connection, ResponseSink
from proxy.wire.multipart import ModelExtractor, content_type_line
from proxy.wire.schemas import Usage

#: Bytes sent that are kept for another attempt; a larger upload has one attempt once it has begun.
MAX_KEPT = 1_048_576
#: Bytes that wait for the upstream before the client is not read any more, and at which it is again.
HIGH_WATER = 262_144
LOW_WATER = 65_536


class Source(Protocol):
    """The client's side: `server.client.RequestCycle`."""

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


class Upload(BodySource):
    """See the module. It feeds the connection that it was opened on last."""

    def __init__(
        self,
        source: Source,
        boundary: bytes,
        limit: int,
        announced: int | None,
        bodies: Bodies,
        named: str = "",
        max_file: int = 0,
    ) -> None:
        """`limit` is in bytes, and so is `max_file`, of the part named `file` alone, where it is not 0; `announced` is
        the body's length, `named` the path's model, if the client told them.

        What it holds counts among `bodies`, until `close`.
        """
        self._source = source
        self._holding = Holding(bodies)
        self._scanner = ModelExtractor(boundary, named, max_file)
        self._boundary = boundary
        self._limit = limit
        self._announced = announced
        self._received = 0
        #: The body without its model's value, from `_base` on.
        self._spool = bytearray()
        self._base = 0
        self._sent = 0
        self._most_sent = 0
        self._name = b""
        self._named = False
        self._chunked = False
        self._connection: Connection | None = None
        self._blocked = False
        self._paused = False
        self._meter: AudioMeter | None = None
        self._measuring = False
        #: A thread may still look at the spool, even one whose answer is no longer waited for.
        self._lent = False
        #: Why the length of its audio is not known.
        self._unknown = ""
        self._after: list[Callable[[], None]] = []
        #: What is wrong with the body, once that is known.
        self.error: GatewayError | None = None
        #: It has been received to its end.
        self.whole = False
        #: Bytes came or went since somebody last looked.
        self.moved = False
        #: The length of the audio in it, once it was measured.
        self.milliseconds: int | None = None

    @property
    def model(self) -> str | None:
        """What the client calls the model, once its part has come."""
        return self._scanner.model

    @property
    def stream(self) -> bool:
        """The client asked for a stream, as far as its parts have come."""
        return self._scanner.stream

    # the client's side

    def piece(self, data: bytes) -> bool:
        """Take the client's next bytes; whether there is something to look at: the model, or an error."""
        if self.error is not None:
            return False
        self._received += len(data)
        if self._received > self._limit:
            self.error = BodyTooLarge(
                f"The request body is larger than {self._limit} bytes, the most this endpoint takes."
            )
            return True
        new = self._scanner.model is None
        try:
            self._spool += self._scanner.feed(data)
        except InvalidRequest as error:
            self.error = error
            return True
        self.moved = True
        self._pump()
        self._throttle()
        if not self._holding.hold(len(self._spool)):
            self.error = no_room()
            return True
        return new and self._scanner.model is not None

    def refuse(self, names: frozenset[str]) -> None:
        """Take no parts of these names. Raises `InvalidRequest` for one that has come already."""
        self._scanner.refuse(names)

    def end(self) -> None:
        """The client has sent all of it."""
        if self.error is not None or self.whole:
            return
        try:
            self._scanner.finish()
        except InvalidRequest as error:
            self.error = error
            return
        self.whole = True
        self._measure()
        self._pump()

    def close(self) -> None:
        """The request is over, or was refused."""
        self._holding.release()

    # the upstream's side

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent once more from its beginning."""
        return self._base == 0 and self._most_sent <= MAX_KEPT

    @property
    def outgrows(self) -> bool:
        """More of it may be sent than is kept: it takes a connection that no upstream can have closed by now."""
        size = self._base + len(self._spool) if self.whole else self._announced
        return size is None or size > MAX_KEPT

    def lines(self, model: str) -> bytes:
        """The header lines of its content type and of its length under that model's name."""
        length: int | None = None
        scanner = self._scanner
        if self.whole:
            length = self._base + len(self._spool) + len(model.encode())
        elif self._announced is not None:
            length = self._announced - scanner.model_size + len(model.encode())
        framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
        self._chunked = length is None
        return content_type_line(self._boundary) + framing

    def open(self, connection: Connection, head: bytes, model: str, sink: ResponseSink) -> None:
        """Begin to send it, from its beginning, under a model's name; `head` has the lines given last."""
        assert self._base == 0
        self._sent = 0
        self._name = model.encode()
        self._named = False
        self._blocked = False
        self._connection = connection
        data = self._next()
        last = self._all_sent
        if last:
            self._connection = None
        connection.send(head, data, sink, None if last else self)
        self._pump()
        self._throttle()

    def blocked(self) -> None:
        """The upstream does not take more for now."""
        self._blocked = True

    def unblocked(self) -> None:
        """It does again."""
        self._blocked = False
        self.moved = True
        self._pump()
        self._throttle()

    def detached(self) -> None:
        """The exchange on the connection is over, or the connection is."""
        self._connection = None
        self._throttle()

    @property
    def _all_sent(self) -> bool:
        return self.whole and self._named and self._sent == self._base + len(self._spool)

    def _pump(self) -> None:
        """Send what there is, as far as the upstream takes it."""
        while self._connection is not None and not self._blocked:
            connection = self._connection
            data = self._next()
            last = self._all_sent
            if last:
                self._connection = None
            if not data and not last:
                break
            connection.write(data, last)
        self._trim()

    def _next(self) -> bytes:
        """The next bytes for the upstream, in its framing; the last ones with its end."""
        begin = self._sent
        end = min(begin + SLICE_BYTES, self._base + len(self._spool))
        data = bytes(memoryview(self._spool)[begin - self._base : end - self._base])
        self._sent = end
        self._most_sent = max(self._most_sent, end)
        at = self._scanner.model_at
        if not self._named and end >= at:
            self._named = True
            data = data[: at - begin] + self._name + data[at - begin :]
        if not self._chunked:
            return data
        return http_chunk(data) + (LAST_CHUNK if self._all_sent else b"")

    def _trim(self) -> None:
        """Let go of what nobody needs any more."""
        if self._meter is not None and (not self.whole or self._lent):
            return
        if self._most_sent > MAX_KEPT and self._sent > self._base:
            del self._spool[: self._sent - self._base]
            self._base = self._sent
            self._holding.hold(len(self._spool))

    def _throttle(self) -> None:
        """Read the client only as fast as the upstream takes it; a body whose model is not known is read to the cap."""
        waiting = self._base + len(self._spool) - self._sent
        if self._paused:
            if waiting <= LOW_WATER:
                self._paused = False
                self._source.resume_body()
        elif waiting > HIGH_WATER and self.model is not None and not self.whole:
            self._paused = True
            self._source.pause_body()

    # the length of its audio

    def measure_with(self, meter: AudioMeter) -> None:
        """Hold the file, and have it measured when it is whole. To be called before the first `open`."""
        self._meter = meter
        if self.whole:
            self._measure()

    def _measure(self) -> None:
        begin, end = self._scanner.file
        if self._meter is not None and end > begin:
            self._measuring = True
            self._meter.measure(memoryview(self._spool)[begin - self._base : end - self._base], self._measured)
            self._lent = self._measuring

    def settled(self, usage: Usage | None, then: Callable[[], None]) -> bool:
        """Whether nothing is to come that a bill with this usage needs; if not, `then` is called when it is there."""
        if usage is not None and usage.audio_milliseconds:
            return True
        if not self._measuring:
            self._tell_unknown()
            return True
        self._after.append(then)
        return False

    def _tell_unknown(self) -> None:
        """Say it, of a bill that lacks the length."""
        if self._unknown:
            begin, end = self._scanner.file
            warn(end - begin, self._unknown)

    def _measured(self, milliseconds: int | None, unknown: str) -> None:
        self.milliseconds = milliseconds
        self._unknown = unknown
        self._measuring = False
        after, self._after = self._after, []
        if after:
            self._tell_unknown()
        for call in after:
            call()
