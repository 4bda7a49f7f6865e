"""A multipart form on its way from the client to the upstream: buffered until its model is known, then as it arrives.

The buffer is bounded by the endpoint's limit; once bytes have been sent they are kept only while another attempt may
need them, or until the length of the audio in them has been measured. It writes nothing to the client.
"""

from collections.abc import Callable
from typing import Final, Protocol

from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest
from proxy.exchange.audio_length import AudioMeter, warn
from proxy.server.bodies import Bodies, Holding, no_room
from proxy.upstream.client import LAST_CHUNK, SLICE_BYTES, http_chunk
from proxy.upstream.connection import BodySource, Connection, ResponseSink
from proxy.wire.multipart import ModelExtractor, content_type_line
from proxy.wire.schemas import Usage

#: Sent bytes that are kept for another attempt; a larger upload has one attempt once it has begun.
MAX_REPEATABLE_BYTES: Final = 1_048_576
#: Bytes that wait for the upstream when the client's reading is paused, and when it is resumed.
HIGH_WATER_BYTES: Final = 262_144
LOW_WATER_BYTES: Final = 65_536


class PausableBody(Protocol):
    """The request body as it comes from the client, whose reading can be paused: `server.cycle.RequestCycle`."""

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


class Upload(BodySource):
    """A form that is received and sent at the same time: the source of the connection that it was opened on last."""

    def __init__(
        self,
        source: PausableBody,
        boundary: bytes,
        max_bytes: int,
        announced: int | None,
        bodies: Bodies,
        named: str = "",
        max_file_bytes: int = 0,
    ) -> None:
        """`announced` is the length of the body, `named` the model in the path, where the request has them.

        `max_file_bytes` is of the part named `file` alone; 0 is any. What is buffered counts among `bodies`, until
        `close`.
        """
        self._source = source
        self._holding = Holding(bodies)
        self._form = ModelExtractor(boundary, named, max_file_bytes)
        self._content_type_line = content_type_line(boundary)
        self._max_bytes = max_bytes
        #: The length of the body as its head has it; None where that does not say.
        self.announced = announced
        self._received = 0
        self._outgoing = _Outgoing(self._form)
        self._audio: _AudioLength | None = None
        self._is_paused = False
        #: Why the body is refused, once that is known.
        self.error: GatewayError | None = None
        #: Bytes came or went since this was last reset.
        self.moved = False

    @property
    def model(self) -> str | None:
        """What the client calls the model, once its part has come."""
        return self._form.model

    @property
    def stream(self) -> bool:
        """The client asked for a stream, as far as its parts have come."""
        return self._form.stream

    @property
    def whole(self) -> bool:
        """It has been received to its end."""
        return self._outgoing.is_whole

    # the client's side

    def receive(self, data: bytes) -> bool:
        """Take the client's next bytes; whether the model or an error has become known by them."""
        if self.error is not None:
            return False
        self._received += len(data)
        if self._received > self._max_bytes:
            self.error = BodyTooLarge(
                f"The request body is larger than {self._max_bytes} bytes, the most this endpoint takes."
            )
            return True
        had_model = self.model is not None
        try:
            self._outgoing.buffer += self._form.feed(data)
        except InvalidRequest as error:
            self.error = error
            return True
        self.moved = True
        self._pump()
        if not self._holding.hold(len(self._outgoing.buffer)):
            self.error = no_room()
            return True
        return not had_model and self.model is not None

    def refuse(self, names: frozenset[str]) -> None:
        """Refuse parts of these names. Raises `InvalidRequest` for one that has come already."""
        self._form.refuse(names)

    def end(self) -> None:
        """The client has sent all of it."""
        if self.error is not None or self.whole:
            return
        try:
            self._form.finish()
        except InvalidRequest as error:
            self.error = error
            return
        self._outgoing.is_whole = True
        self._measure()
        self._pump()

    def close(self) -> None:
        """The request is over, or was refused."""
        self._holding.release()

    # the upstream's side

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent once more from its beginning."""
        return self._outgoing.is_repeatable

    @property
    def needs_fresh_connection(self) -> bool:
        """More of it may be sent than is kept: it takes a connection that no upstream can have closed by now."""
        size = self._outgoing.size if self.whole else self.announced
        return size is None or size > MAX_REPEATABLE_BYTES

    def lines(self, model: str) -> bytes:
        """The header lines of its content type and framing, with that model's name in it."""
        length: int | None = None
        if self.whole:
            length = self._outgoing.size + len(model.encode())
        elif self.announced is not None:
            length = self.announced - self._form.model_size + len(model.encode())
        self._outgoing.is_chunked = length is None
        framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
        return self._content_type_line + framing

    def open(self, connection: Connection, head: bytes, model: str, sink: ResponseSink) -> None:
        """Begin to send it from its beginning, with a model's name in it; `head` has the lines given last."""
        data = self._outgoing.start(connection, model)
        connection.send(head, data, sink, self if self._outgoing.connection is not None else None)
        self._pump()

    def blocked(self) -> None:
        """The upstream takes no more for now."""
        self._outgoing.is_blocked = True

    def unblocked(self) -> None:
        """The upstream takes more again."""
        self._outgoing.is_blocked = False
        self.moved = True
        self._pump()

    def detached(self) -> None:
        """The exchange on the connection is over, or the connection is."""
        self._outgoing.connection = None
        self._throttle()

    def _pump(self) -> None:
        """Send what is buffered, as far as the upstream takes it, and read the client accordingly."""
        outgoing = self._outgoing
        outgoing.send()
        # A file that is to be measured is kept.
        if (self._audio is None or (self.whole and not self._audio.reads_buffer)) and outgoing.trim():
            self._holding.hold(len(outgoing.buffer))
        self._throttle()

    def _throttle(self) -> None:
        """Read the client only as fast as the upstream takes it; a body without a known model is read to the limit."""
        waiting = self._outgoing.waiting
        if self._is_paused:
            if waiting <= LOW_WATER_BYTES:
                self._is_paused = False
                self._source.resume_body()
        elif waiting > HIGH_WATER_BYTES and self.model is not None and not self.whole:
            self._is_paused = True
            self._source.pause_body()

    # the length of its audio

    @property
    def milliseconds(self) -> int | None:
        """The length of the audio in it, once it was measured."""
        return self._audio.milliseconds if self._audio is not None else None

    def measure_with(self, meter: AudioMeter) -> None:
        """Keep the file, and have it measured when it is whole. To be called before the first `open`."""
        self._audio = _AudioLength(meter)
        if self.whole:
            self._measure()

    def _measure(self) -> None:
        begin, end = self._form.file
        if self._audio is not None and end > begin:
            self._audio.measure(memoryview(self._outgoing.buffer)[begin:end])

    def settled(self, usage: Usage | None, then: Callable[[], None]) -> bool:
        """Whether all is known that a bill with this usage needs; if not, `then` is called when it is."""
        if self._audio is None or (usage is not None and usage.audio_milliseconds):
            return True
        return self._audio.settled(then)


class _Outgoing:
    """What of a form is still to be sent, or to be kept for another attempt."""

    def __init__(self, form: ModelExtractor) -> None:
        self._form = form
        #: The form without its model's value, from `_begin` on.
        self.buffer = bytearray()
        self._begin = 0
        self._sent = 0
        self._max_sent = 0
        #: The model's name at the upstream, until it has been sent.
        self._model: bytes | None = None
        #: Set until all has been sent.
        self.connection: Connection | None = None
        self.is_whole = False
        self.is_chunked = False
        self.is_blocked = False

    @property
    def size(self) -> int:
        """Bytes of the form without its model's value, as far as it has come."""
        return self._begin + len(self.buffer)

    @property
    def waiting(self) -> int:
        """Bytes that have not been sent."""
        return self.size - self._sent

    @property
    def is_repeatable(self) -> bool:
        return self._begin == 0 and self._max_sent <= MAX_REPEATABLE_BYTES

    def start(self, connection: Connection, model: str) -> bytes:
        """Begin with a new attempt; the bytes to be sent with its head."""
        assert self._begin == 0
        self._sent = 0
        self._model = model.encode()
        self.is_blocked = False
        self.connection = connection
        return self._next()

    def send(self) -> None:
        """Send as much as the upstream takes."""
        while (connection := self.connection) is not None and not self.is_blocked:
            data = self._next()
            last = self.connection is None
            if not data and not last:
                break
            connection.write(data, last)

    def _next(self) -> bytes:
        """The next bytes in their framing. With the last ones the connection is given up."""
        begin, model, at = self._sent, self._model, self._form.model_at
        end = min(begin + SLICE_BYTES, self.size)
        data = bytes(memoryview(self.buffer)[begin - self._begin : end - self._begin])
        self._sent = end
        self._max_sent = max(self._max_sent, end)
        if model is not None and end >= at:
            self._model = None
            data = data[: at - begin] + model + data[at - begin :]
        if self.is_chunked:
            data = http_chunk(data)
        if self.is_whole and self._model is None and end == self.size:
            self.connection = None
            if self.is_chunked:
                data += LAST_CHUNK
        return data

    def trim(self) -> bool:
        """Drop what was sent, if it is too much to be kept for another attempt; whether there was any."""
        if self._max_sent <= MAX_REPEATABLE_BYTES or self._sent == self._begin:
            return False
        del self.buffer[: self._sent - self._begin]
        self._begin = self._sent
        return True


class _AudioLength:
    """The length of the audio file in a form, which its bill may need."""

    def __init__(self, meter: AudioMeter) -> None:
        self._meter = meter
        self._bytes = 0
        self._is_measuring = False
        #: Why the length is not known.
        self._unknown = ""
        self._waiting: list[Callable[[], None]] = []
        #: A thread may read the buffer, even after its result is no longer waited for.
        self.reads_buffer = False
        self.milliseconds: int | None = None

    def measure(self, data: memoryview) -> None:
        self._bytes = len(data)
        self._is_measuring = True
        self._meter.measure(data, self._measured)
        self.reads_buffer = self._is_measuring

    def settled(self, then: Callable[[], None]) -> bool:
        """Whether the length is known, or known not to be; if not, `then` is called when it is."""
        if self._is_measuring:
            self._waiting.append(then)
        else:
            self._warn()
        return not self._is_measuring

    def _measured(self, milliseconds: int | None, unknown: str) -> None:
        self.milliseconds = milliseconds
        self._unknown = unknown
        self._is_measuring = False
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._warn()
        for call in waiting:
            call()

    def _warn(self) -> None:
        """Log that a bill lacks the length."""
        if self._unknown:
            warn(self._bytes, self._unknown)
