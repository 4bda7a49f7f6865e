"""Anthropic's dialect: how Messages answers are read and what errors look like.

Facts of the wire: https://docs.anthropic.com/en/api/messages-streaming and https://docs.anthropic.com/en/api/errors.
The event names stand in `event:` lines, which the SDKs dispatch on and which pass through untouched.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.anthropic_shapes import Answer, Event, decode_answer, decode_event
from proxy.dialects.base import Dialect
from proxy.dialects.loose import read_loosely
from proxy.dialects.scrub import scrub
from proxy.dialects.tap import EMPTY, NULL, AnswerTap, decoded, is_error, is_reason
from proxy.errors import GatewayError
from proxy.wire.shapes import Usage
from proxy.wire.usage import read_usage

_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(dict[str, Any])
#: Anthropic's error types by HTTP status; others are `api_error` from 500 on, else `invalid_request_error`.
_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Tap(AnswerTap):
    """What both kinds of answers share: the usage of a message's start, over which that of its last delta is laid."""

    __slots__ = ("_first_usage",)

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        self._first_usage = EMPTY

    def usage(self) -> Usage | None:
        """The start's usage with the last delta's laid over it; deltas are cumulative."""
        merged: dict[str, Any] = {}
        for raw in (self._first_usage, self._usage):
            if raw is not EMPTY and raw != NULL:
                try:
                    fields = _object.decode(raw)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                merged |= {name: value for name, value in fields.items() if value is not None}
        return read_usage(_encoder.encode(merged)) if merged else None


class MessagesTap(_Tap):
    """Reads one Messages stream."""

    __slots__ = ()
    path: tuple[str, ...] = ("message", "model")

    @property
    def counts_so_far(self) -> bool:
        """Only the start's usage came, whose output tokens stand for an answer that is yet to be made."""
        return self._usage is EMPTY and self._first_usage is not EMPTY

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its message's model. Raises `UpstreamProtocolError`."""
        try:
            event = decode_event(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            event = read_loosely(Event, payload, error)
        kind = event.type
        self.closing = kind == "content_block_stop"
        delta = event.delta
        if delta is not None:
            before = self.text_out
            for text in (delta.text, delta.thinking, delta.partial_json):
                if text is not EMPTY:
                    self.text_out += len(bytes(text)) - 2
            if delta.stop_reason is not EMPTY and is_reason(delta.stop_reason):
                self._finish(before)
        if event.usage is not EMPTY and event.usage != NULL:
            self._usage = event.usage
        if kind == "message_stop":
            self._finish(self.text_out)
            self.ended = True
        elif kind == "error" or is_error(event.error):
            self.failed = True
        if event.message is None:
            return EMPTY
        self._first_usage = event.message.usage
        return event.message.model


class MessageTap(_Tap):
    """Reads one message that is no stream, or a token count."""

    __slots__ = ()
    path: tuple[str, ...] = ("model",)

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read the answer; return the raw value of its model. Raises `UpstreamProtocolError`."""
        try:
            answer = decode_answer(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            answer = read_loosely(Answer, payload, error)
        self.failed = answer.type == "error" or is_error(answer.error)
        self.text_out += len(bytes(answer.content))
        if answer.usage is not EMPTY:
            self._usage = answer.usage
        return answer.model


def error_body(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """Anthropic's error envelope."""
    kind = _TYPES.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    detail = {"type": kind, "message": error.message}
    return _encoder.encode({"type": "error", "error": detail, "request_id": request_id})


def error_event(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The same as an event in a stream that has begun."""
    return b"event: error\ndata: " + error_body(error, request_id, timestamp) + b"\n\n"


def upstream_error(body: bytes, upstream_model: str, alias: str) -> bytes | None:
    """An upstream's error body as it may be passed on, or None when it is not Anthropic's shape."""
    return scrub(body, upstream_model.encode(), alias.encode()) if _is_error(decoded(body)) else None


def _is_error(value: Any) -> bool:
    """Whether a decoded error body is Anthropic's."""
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str) and value.get("type") == "error"


MESSAGES: Final = Dialect(
    name="anthropic",
    event_tap=MessagesTap,
    json_tap=MessageTap,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
