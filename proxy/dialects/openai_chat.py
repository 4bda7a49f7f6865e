"""OpenAI's dialect: how chat responses are read and what errors look like.

Facts of the wire: https://platform.openai.com/docs/api-reference/chat, and the ways in which compatible servers differ.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode_lenient
from proxy.dialects.meters import EMPTY, NOTHING, NULL, ChoicesMeter, is_error, is_finish_reason, text_size, try_decode
from proxy.dialects.schemas import ChatChoice, ChatChunk, ChatText, decode_chat_chunk, decode_output
from proxy.dialects.scrub import scrub
from proxy.errors import GatewayError
from proxy.wire.schemas import DECODE_ERRORS

_encoder = msgspec.json.Encoder()
#: The finish reason of nearly all responses.
_STOP: Final = msgspec.Raw(b'"stop"')
#: The finish reason of a choice that a provider gave up.
_FAILED: Final = msgspec.Raw(b'"error"')


class ChatMeter(ChoicesMeter):
    """Reads one chat (or text) completion, stream or not: counters and the last usage object, never the text."""

    __slots__ = ("_drop_usage", "plain")
    path: tuple[str, ...] = ("model",)

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        self._drop_usage = drop_usage
        self.plain = b""

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one chunk; return the raw value of its model. Raises `UpstreamProtocolError` when it is not JSON."""
        try:
            chunk = decode_chat_chunk(payload)
        except DECODE_ERRORS as error:
            chunk = decode_lenient(ChatChunk, payload, error)
            # Text may stand anywhere in it.
            self.text_out += len(payload)
        usage = chunk.usage
        choices = chunk.choices
        self.plain = b""
        if choices:
            self.drop = False
            seen, finished = self.text_out, self.finished
            for choice in choices:
                if choice.index != self._choice:
                    self._turn_to(choice.index)
                text = choice.delta or choice.message
                if text is not None:
                    self.text_out += _length(text)
                elif choice.text is not EMPTY:
                    self.text_out += text_size(choice.text)
                reason = choice.finish_reason
                if reason is not EMPTY and reason != NULL and (reason == _STOP or is_finish_reason(reason)):
                    self._finish_choice()
                    if reason == _FAILED:
                        self.failed = True
                if choice.error is not EMPTY and is_error(choice.error):
                    self.failed = True
                if choice.usage is not EMPTY and choice.usage != NULL:
                    self._take_usage(choice.usage)
            length = self.text_out - seen
            if finished != self.finished:
                self._finished_at = seen
            elif length and len(choices) == 1:
                self._note_plain(chunk, choices[0], length)
        else:
            self.drop = (
                self._drop_usage
                and chunk.choices is not None
                and bytes(usage).startswith(b"{")
                and chunk.moderation in NOTHING
                and chunk.prompt_filter_results in NOTHING
                and chunk.error in NOTHING
            )
            if self.drop:
                self._drop_usage = False
        if chunk.x_groq is not None and chunk.x_groq.usage is not EMPTY and chunk.x_groq.usage != NULL:
            self._take_usage(chunk.x_groq.usage)
        if usage is not EMPTY and usage != NULL:
            if self._usage is EMPTY:
                self._usage = usage
            else:
                self._take_usage(usage)
        if chunk.service_tier is not EMPTY:
            self._take_tier(chunk.service_tier)
        if choices is None:
            self._note_others(chunk)
        if chunk.error is not EMPTY and is_error(chunk.error):
            self.failed = True
        return chunk.model

    def _note_others(self, chunk: ChatChunk) -> None:
        """Note what responses without choices report: those of the Responses API, and of Cohere's rerank."""
        if chunk.meta is not EMPTY and chunk.usage in NOTHING:
            self._take_usage(chunk.meta)
        if chunk.output is not EMPTY and chunk.output != NULL:
            self.text_out += text_size(chunk.output)
            self._searches = searches(chunk.output)

    def _note_plain(self, chunk: ChatChunk, choice: ChatChoice, length: int) -> None:
        """Keep the text of a chunk that brought nothing else."""
        delta = choice.delta
        if (
            delta is not None
            and choice.usage in NOTHING
            and chunk.usage in NOTHING
            and chunk.x_groq is None
            and chunk.error in NOTHING
        ):
            content = bytes(delta.content)
            if length == len(content) - 2 and delta.function_call in NOTHING:
                self.plain = content


def error_body(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The error envelope, with the two siblings that say which request it was and when."""
    detail = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return _encoder.encode({"error": detail, "request_id": request_id, "timestamp": timestamp})


def error_event(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """The same error as an event in a stream that has begun; the SDKs raise on it."""
    return b"data: " + error_body(error, request_id, timestamp) + b"\n\n"


def upstream_error(body: bytes, upstream_model: str, alias: str) -> bytes | None:
    """An upstream's error body as it may be passed on, or None when it is not OpenAI's shape."""
    return scrub(body, upstream_model.encode(), alias.encode()) if _is_error(try_decode(body)) else None


def _is_error(value: Any) -> bool:
    """Whether a decoded error body is OpenAI's: neither Anthropic's, which says what it is, nor Google's."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or value.get("type") == "error":
        return False
    return "type" in error or not isinstance(error.get("status"), str)


def searches(output: msgspec.Raw) -> int:
    """How many web searches a response of the Responses API made, which its usage does not report."""
    if b'"web_search_call"' not in bytes(output):
        return 0
    try:
        items = decode_output(output)
    except DECODE_ERRORS:
        return 0
    return sum([item.type == "web_search_call" for item in items])


def _length(text: ChatText) -> int:
    size = 0
    for value in [
        text.content,
        text.reasoning_content,
        text.reasoning,
        text.refusal,
        text.tool_calls,
        text.function_call,
    ]:
        if value is not EMPTY and value != NULL:
            # Of a number, which is no text, too little is left to matter, but never less than nothing.
            length = len(value)
            size += length - 2 if length > 2 else 0
    return size


CHAT: Final = Dialect(
    name="openai",
    event_meter=ChatMeter,
    json_meter=ChatMeter,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
