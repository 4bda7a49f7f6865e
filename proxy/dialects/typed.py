"""OpenAI's typed events: the Responses API, and the streams of audio, images and transcripts.

Their events name themselves in `type`. Facts of the wire: https://platform.openai.com/docs/api-reference/responses-streaming
and the streaming pages of audio and images.
"""

from typing import Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.openai import ChatTap, broken, error_body, error_event, scrub, upstream_error
from proxy.wire.usage import Usage, read_usage

_EMPTY: Final = msgspec.Raw()
_NULL: Final = msgspec.Raw(b"null")
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Response(msgspec.Struct, gc=False):
    model: msgspec.Raw = _EMPTY
    usage: msgspec.Raw = _EMPTY


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY
    delta: msgspec.Raw = _EMPTY


class _LooseEvent(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY


_event = msgspec.json.Decoder(_Event)
_loose = msgspec.json.Decoder(_LooseEvent)


class TypedTap:
    """Reads one stream of typed events."""

    __slots__ = ("_alias", "_upstream_model", "_usage", "drop", "ended", "failed", "finished", "text_out")
    path: tuple[str, ...] = ("response", "model")
    plain = b""

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        self._alias = alias.encode()
        self._upstream_model = upstream_model.encode()
        self._usage = _EMPTY
        self.drop = False
        self.failed = False
        self.ended = False
        self.finished = False
        self.text_out = 0

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its response's model. Raises `UpstreamProtocolError`."""
        try:
            event = _event.decode(payload)
        except msgspec.ValidationError:
            return self._read_loose(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error) from error
        kind = event.type
        if event.delta is not _EMPTY:
            self.text_out += len(bytes(event.delta)) - 2
        elif kind in _TERMINAL:
            self.finished = self.ended = True
            self.failed = kind == "response.failed"
        elif kind.endswith((".completed", ".done")) and not kind.startswith("response."):
            self.finished = True
        self._note(event.usage, event.error, kind)
        response = event.response
        if response is None:
            return _EMPTY
        if response.usage is not _EMPTY and response.usage != _NULL:
            self._usage = response.usage
        return response.model

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes with the alias for the upstream's model name, and without account ids."""
        return scrub(block, self._upstream_model, self._alias)

    def usage(self) -> Usage | None:
        """What the answer said it used, from the last usage object that was not null."""
        return read_usage(bytes(self._usage)) if self._usage is not _EMPTY else None

    def take_usage(self, raw: bytes) -> None:
        """Set the usage object of an answer that was not read through `read`."""
        if raw:
            self._usage = msgspec.Raw(raw)

    def _note(self, usage: msgspec.Raw, error: msgspec.Raw, kind: str) -> None:
        if usage is not _EMPTY and usage != _NULL:
            self._usage = usage
        if kind == "error" or (error is not _EMPTY and error != _NULL):
            self.failed = True

    def _read_loose(self, payload: bytes) -> msgspec.Raw:
        try:
            event = _loose.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error) from error
        self._note(event.usage, event.error, "")
        return _EMPTY


TYPED: Final = Dialect(
    name="openai",
    event_tap=TypedTap,
    json_tap=ChatTap,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
