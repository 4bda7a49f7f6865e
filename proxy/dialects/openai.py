"""OpenAI's dialect: how chat answers are read and what errors look like.

Facts of the wire: https://platform.openai.com/docs/api-reference/chat, and the ways in which compatible servers differ.
"""

import re
from typing import Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.errors import GatewayError, UpstreamProtocolError
from proxy.wire.usage import Usage, read_usage

_EMPTY: Final = msgspec.Raw()
_NULL: Final = msgspec.Raw(b"null")
_NOTHING: Final = (_EMPTY, _NULL)
_encoder = msgspec.json.Encoder()
# Ids of accounts and keys as they stand in error texts.
_ACCOUNT = re.compile(rb"\b(?:org|proj|sk|user|acct)[-_][A-Za-z0-9*_-]{4,}")


class _Text(msgspec.Struct, gc=False):
    """The text of a delta or of a message, under all the names it has."""

    content: msgspec.Raw = _EMPTY
    reasoning_content: msgspec.Raw = _EMPTY
    reasoning: msgspec.Raw = _EMPTY
    refusal: msgspec.Raw = _EMPTY
    tool_calls: msgspec.Raw = _EMPTY
    function_call: msgspec.Raw = _EMPTY


class _Choice(msgspec.Struct, gc=False):
    delta: _Text | None = None
    message: _Text | None = None
    text: msgspec.Raw = _EMPTY
    finish_reason: msgspec.Raw = _EMPTY
    usage: msgspec.Raw = _EMPTY


class _Groq(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _EMPTY


class _Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream or a whole answer: only what the gateway reads."""

    model: msgspec.Raw = _EMPTY
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY
    x_groq: _Groq | None = None
    moderation: msgspec.Raw = _EMPTY
    prompt_filter_results: msgspec.Raw = _EMPTY


class _LooseChunk(msgspec.Struct, gc=False):
    """The same where a field has an unexpected shape: nothing but raw values."""

    model: msgspec.Raw = _EMPTY
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY


_chunk = msgspec.json.Decoder(_Chunk)
_loose = msgspec.json.Decoder(_LooseChunk)


class ChatTap:
    """Reads one chat (or text) completion, stream or not: counters and the last usage object, never the text."""

    __slots__ = (
        "_alias",
        "_drop_usage",
        "_upstream_model",
        "_usage",
        "drop",
        "ended",
        "failed",
        "finished",
        "plain",
        "text_out",
    )
    path: tuple[str, ...] = ("model",)

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        self._alias = alias.encode()
        self._upstream_model = upstream_model.encode()
        self._drop_usage = drop_usage
        self._usage = _EMPTY
        self.drop = False
        self.failed = False
        self.ended = False
        #: A choice gave its finish_reason.
        self.finished = False
        #: Bytes of text seen, JSON escapes included; what an estimate is made from.
        self.text_out = 0
        self.plain = b""

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one chunk; return the raw value of its model. Raises `UpstreamProtocolError` when it is not JSON."""
        try:
            chunk = _chunk.decode(payload)
        except msgspec.ValidationError:
            return self._read_loose(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error) from error
        usage = chunk.usage
        choices = chunk.choices
        self.plain = b""
        if choices:
            self.drop = False
            seen, finished = self.text_out, self.finished
            for choice in choices:
                text = choice.delta or choice.message
                if text is not None:
                    self.text_out += _length(text)
                elif choice.text is not _EMPTY and choice.text != _NULL:
                    self.text_out += len(bytes(choice.text)) - 2
                if choice.finish_reason is not _EMPTY and choice.finish_reason != _NULL:
                    self.finished = True
                if choice.usage is not _EMPTY and choice.usage != _NULL:
                    self._usage = choice.usage
            if len(choices) == 1 and usage in _NOTHING and chunk.x_groq is None and chunk.error in _NOTHING:
                self._note_plain(choices[0], self.text_out - seen, finished)
        else:
            self.drop = (
                self._drop_usage
                and chunk.choices is not None
                and bytes(usage).startswith(b"{")
                and chunk.moderation in _NOTHING
                and chunk.prompt_filter_results in _NOTHING
                and chunk.error in _NOTHING
            )
            if self.drop:
                self._drop_usage = False
        if chunk.x_groq is not None and chunk.x_groq.usage is not _EMPTY and chunk.x_groq.usage != _NULL:
            self._usage = chunk.x_groq.usage
        if usage is not _EMPTY and usage != _NULL:
            self._usage = usage
        if chunk.error is not _EMPTY and chunk.error != _NULL:
            self.failed = True
        return chunk.model

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

    def _note_plain(self, choice: _Choice, length: int, finished: bool) -> None:
        """Keep the text of a chunk that brought nothing else."""
        delta = choice.delta
        if delta is not None and finished == self.finished and choice.usage in _NOTHING:
            content = bytes(delta.content)
            if length == len(content) - 2 and delta.function_call in _NOTHING:
                self.plain = content

    def _read_loose(self, payload: bytes) -> msgspec.Raw:
        try:
            chunk = _loose.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error) from error
        self.drop = False
        self.plain = b""
        self.text_out += len(payload)
        if chunk.usage is not _EMPTY and chunk.usage != _NULL:
            self._usage = chunk.usage
        if chunk.error is not _EMPTY and chunk.error != _NULL:
            self.failed = True
        return chunk.model


def error_body(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The error envelope, with the two siblings that say which request it was and when."""
    detail = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return _encoder.encode({"error": detail, "request_id": request_id, "timestamp": timestamp})


def error_event(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The same as an event in a stream that has begun; the SDKs raise on it."""
    return b"data: " + error_body(error, request_id, timestamp) + b"\n\n"


def upstream_error(body: bytes, upstream_model: str, alias: str) -> bytes | None:
    """An upstream's error body as it may be passed on, or None when it is not OpenAI's shape."""
    try:
        detail = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get("error", _EMPTY)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not bytes(detail).startswith(b"{"):
        return None
    return scrub(body, upstream_model.encode(), alias.encode())


def scrub(text: bytes, upstream_model: bytes, alias: bytes) -> bytes:
    """Replace the upstream's model name by the alias, and blank the ids of accounts and keys."""
    if upstream_model and upstream_model != alias:
        text = text.replace(upstream_model, alias)
    return _ACCOUNT.sub(b"***", text)


def _length(text: _Text) -> int:
    size = 0
    for value in (
        text.content,
        text.reasoning_content,
        text.reasoning,
        text.refusal,
        text.tool_calls,
        text.function_call,
    ):
        if value is not _EMPTY and value != _NULL:
            size += len(bytes(value)) - 2
    return size


def broken(error: Exception) -> UpstreamProtocolError:
    """The error for an answer that is not JSON."""
    return UpstreamProtocolError("The model's answer could not be read.", detail=f"not JSON: {type(error).__name__}")


CHAT: Final = Dialect(
    name="openai",
    event_tap=ChatTap,
    json_tap=ChatTap,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
