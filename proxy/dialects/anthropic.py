"""Anthropic's dialect: how Messages responses are read and what errors look like.

Facts of the wire: https://docs.anthropic.com/en/api/messages-streaming and https://docs.anthropic.com/en/api/errors.
The event names stand in `event:` lines, which the SDKs dispatch on and which pass through untouched.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode
from proxy.dialects.meters import EMPTY, NULL, ResponseMeter, is_error, is_finish_reason, text_size, try_decode
from proxy.dialects.schemas import MessagesEvent, MessagesResponse, decode_messages_event, decode_messages_response
from proxy.dialects.scrub import scrub
from proxy.errors import GatewayError
from proxy.wire.usage import reading

_encoder = msgspec.json.Encoder()
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


class MessagesMeter(ResponseMeter):
    """Reads one Messages stream. The usage of its deltas is cumulative and replaces that of the message's start."""

    __slots__ = ("_counted", "_started")
    path: tuple[str, ...] = ("message", "model")

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        #: The start's usage came, and one of a delta that counts the output.
        self._started = self._counted = False

    @property
    def counts_so_far(self) -> bool:
        """Only the first usage object counted output tokens, before the response was generated."""
        return self._started and not self._counted

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its message's model. Raises `UpstreamProtocolError`."""
        event = decode(decode_messages_event, MessagesEvent, payload)
        kind = event.type
        if kind != "ping":
            self.closing = kind == "content_block_stop"
        delta = event.delta
        if delta is not None:
            before = self.text_out
            for text in (delta.text, delta.thinking, delta.partial_json):
                if text is not EMPTY:
                    self.text_out += text_size(text)
            if delta.stop_reason is not EMPTY and is_finish_reason(delta.stop_reason):
                self._finish(before)
        if event.usage is not EMPTY and event.usage != NULL:
            self._take_usage(event.usage)
            self._counted = self._counted or bool(reading(bytes(event.usage)).counts.get("output"))
        if kind == "message_stop":
            self._finish(self.text_out)
            self.ended = True
        elif kind == "error" or is_error(event.error):
            self.failed = True
        if event.message is None:
            return EMPTY
        if event.message.usage is not EMPTY and event.message.usage != NULL:
            self._started = True
            self._take_usage(event.message.usage)
        return event.message.model


class MessageMeter(ResponseMeter):
    """Reads one message that is no stream, or a token count."""

    __slots__ = ()
    path: tuple[str, ...] = ("model",)

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read the response; return the raw value of its model. Raises `UpstreamProtocolError`."""
        response = decode(decode_messages_response, MessagesResponse, payload)
        self.failed = response.type == "error" or is_error(response.error)
        self.text_out += len(bytes(response.content)) if text_size(response.content) else 0
        if response.usage is not EMPTY and response.usage != NULL:
            self._take_usage(response.usage)
        return response.model


def error_body(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """Anthropic's error envelope."""
    kind = _TYPES.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    detail = {"type": kind, "message": error.message}
    return _encoder.encode({"type": "error", "error": detail, "request_id": request_id})


def error_event(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The same error as an event in a stream that has begun."""
    return b"event: error\ndata: " + error_body(error, request_id, timestamp) + b"\n\n"


def upstream_error(body: bytes, upstream_model: str, alias: str) -> bytes | None:
    """An upstream's error body as it may be passed on, or None when it is not Anthropic's shape."""
    return scrub(body, upstream_model.encode(), alias.encode()) if _is_error(try_decode(body)) else None


def _is_error(value: Any) -> bool:
    """Whether a decoded error body is Anthropic's."""
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str) and value.get("type") == "error"


MESSAGES: Final = Dialect(
    name="anthropic",
    event_meter=MessagesMeter,
    json_meter=MessageMeter,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
