"""TranslatedReader: reads an upstream's response in the target's dialect, and gives the client one in the caller's.

The meter reads what the upstream sent, so the bill does not depend on the translation. Whatever the upstream sends, a
stream or one JSON object, the client gets what it asked for. A response that breaks off gets no end.
"""

from typing import Final

from proxy.dialects.base import Dialect, RequestTerms
from proxy.dialects.meters import ResponseMeter
from proxy.dialects.readers import USUAL_EVENTS, ResponseReader, reported_error
from proxy.dialects.translate.writer import ModelReader
from proxy.errors import UpstreamProtocolError
from proxy.wire.json_rewrite import event_payload
from proxy.wire.sse import SSEParser

#: Bytes of a response that is no stream, and is held to its end.
MAX_WHOLE_BYTES: Final = 67_108_864
EVENTS: Final = b"text/event-stream; charset=utf-8"
JSON: Final = b"application/json"
_DONE: Final = b"[DONE]"


class TranslatedReader(ResponseReader):
    """Feeds a `ModelReader` with events or with one whole body, and gives what its writer has written."""

    def __init__(
        self,
        meter: ResponseMeter,
        model_reader: ModelReader,
        caller: Dialect,
        terms: RequestTerms,
        max_event_bytes: int,
        *,
        reads_events: bool,
        writes_events: bool,
    ) -> None:
        super().__init__(meter)
        self._model_reader = model_reader
        self._writer = model_reader.writer
        self._caller = caller
        self._terms = terms
        self._parser = SSEParser(max_event_bytes)
        #: Pieces of a body that is no stream, and how many bytes they are.
        self._held: list[bytes] | None = None if reads_events else []
        self._size = 0
        self._ended = False
        self.events = self.by_parts = writes_events
        self.usual = USUAL_EVENTS if reads_events else (b"{",)
        self.label = EVENTS if writes_events else JSON

    def feed(self, data: bytes, complete: bool) -> bytes:
        try:
            if self._held is not None:
                self._hold(data, complete)
            else:
                self._read_events(data, complete)
        except UpstreamProtocolError as error:
            error.before = self._writer.take() if self.events else b""
            raise
        return self._writer.take() if self.events or self._ended or self.meter.failed else b""

    def _read_events(self, data: bytes, complete: bool) -> None:
        for block in self._parser.feed(data) if data else ():
            self._event(block)
            if self._ended or self.meter.failed:
                return
        if self._parser.overflowed:
            raise self._parser.too_large()
        if complete:
            rest = self._parser.rest()
            if rest:
                self._event(rest + b"\n\n")
            if self.meter.finished and not self.meter.failed:
                self._end()

    def _event(self, block: bytes) -> None:
        payload = event_payload(block)
        if not payload:
            text = block.strip()
            if text[:1] != b"{":
                return
            # Google's errors in a stream are bare JSON.
            payload = text
        meter = self.meter
        if payload == _DONE:
            meter.ended = True
            if meter.finished:
                self._end()
            return
        meter.read(payload)
        if meter.failed:
            self._fail(payload)
            return
        self._model_reader.event(payload)
        if meter.ended or meter.terminal:
            self._end()

    def _hold(self, data: bytes, complete: bool) -> None:
        """Keep a body that is no stream until all of it is there. Raises `UpstreamProtocolError` for a large one."""
        held = self._held
        assert held is not None
        self._size += len(data)
        if self._size > MAX_WHOLE_BYTES:
            detail = f"one JSON answer is larger than {MAX_WHOLE_BYTES} bytes"
            raise UpstreamProtocolError("The model's answer is larger than the gateway takes.", detail=detail)
        held.append(data)
        meter = self.meter
        meter.text_out = self._size
        if not complete:
            return
        body = b"".join(held)
        held.clear()
        meter.text_out = 0
        meter.read(body)
        if meter.failed:
            self._fail(body)
            return
        self._model_reader.whole(body)
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._writer.end(self.meter.usage())

    def _fail(self, payload: bytes) -> None:
        """The upstream reports an error: say it in the caller's dialect."""
        error = reported_error(self.meter.scrub(payload))
        make = self._caller.error_event if self.events else self._caller.error_body
        self._writer.out.append(make(error, self._terms.id, self._terms.timestamp()))

    @property
    def over(self) -> bool:
        return self._ended and (self.meter.ended or self._held is not None)

    @property
    def whole(self) -> bool:
        return self._ended or self.meter.finished or self.meter.failed

    @property
    def ending(self) -> bool:
        if self._held is not None:
            return any(piece.strip() for piece in self._held)
        return self.meter.finished or self.meter.closing

    def close(self) -> bytes:
        if not self.meter.failed:
            self._end()
        return self._writer.take()
