"""OpenAI's chat completions as responses: their reader, and their writers for streams and for one JSON object.

Facts of the wire: https://platform.openai.com/docs/api-reference/chat-streaming. Thoughts have no field there; most
servers and clients have `reasoning_content`.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.dialects.base import RequestTerms
from proxy.dialects.meters import NOTHING
from proxy.dialects.translate.schemas import (
    CallDelta,
    ChatDelta,
    decode_chat_delta,
    decode_content_pieces,
    encode,
)
from proxy.dialects.translate.texts import call_id, derived_id, joined, json_string, text_of, unreadable
from proxy.dialects.translate.writer import CALLS, LENGTH, PAUSED, REFUSED, STOP, ModelReader, ModelWriter
from proxy.wire.schemas import DECODE_ERRORS, Usage

_REASONS: Final = {
    "stop": STOP,
    "length": LENGTH,
    "tool_calls": CALLS,
    "function_call": CALLS,
    "content_filter": REFUSED,
}
_FINISHES: Final = {STOP: "stop", LENGTH: "length", CALLS: "stop", REFUSED: "content_filter", PAUSED: "length"}
_DONE: Final = b"data: [DONE]\n\n"
_EMPTY_OBJECT: Final = b'"{}"'


class _OpenCall:
    """A call on its way: what is known of it, and its arguments until it can be opened."""

    __slots__ = ("held", "id", "name", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self.id = ""
        self.name = ""
        self.held: list[bytes] | None = []


class ChatReader(ModelReader):
    """Reads the first choice, of which a translated request asks for one."""

    def __init__(self, writer: ModelWriter, names: Mapping[str, str]) -> None:
        """`names` has the client's own name of each tool whose name was shortened."""
        super().__init__(writer)
        self._names = names
        self._id: str | None = None
        #: Calls by their index, and the one that came last.
        self._calls: dict[int, _OpenCall] = {}
        self._last: _OpenCall | None = None
        self._places = 0

    def event(self, payload: bytes) -> None:
        try:
            chunk = decode_chat_delta(payload)
            if self._id is None:
                self._id = chunk.id or ""
                self.writer.start(self._id)
            for choice in chunk.choices or ():
                if choice.index:
                    continue
                delta = choice.delta if choice.delta is not None else choice.message
                if delta is not None:
                    self._delta(delta)
                if choice.finish_reason:
                    self._open_late()
                    self.writer.close()
                    self.writer.finish(_REASONS.get(choice.finish_reason, STOP))
        except DECODE_ERRORS as error:
            raise unreadable(error) from error

    def whole(self, payload: bytes) -> None:
        self.event(payload)

    def _delta(self, delta: ChatDelta) -> None:
        """One chunk may bring all at once: thoughts come first, then the text, then calls."""
        writer = self.writer
        for thought in (delta.reasoning_content, delta.reasoning, delta.reasoning_text):
            raw = text_of(thought)
            if raw:
                writer.reasoning(raw)
                break
        raw = text_of(delta.content)
        if raw:
            writer.text(raw)
        elif delta.content not in NOTHING and bytes(delta.content)[:1] == b"[":
            self._pieces(delta.content)
        raw = text_of(delta.refusal)
        if raw:
            writer.refusal(raw)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call)
        if delta.function_call is not None:
            self._call(CallDelta(-1, None, delta.function_call))

    def _pieces(self, raw: msgspec.Raw) -> None:
        for piece in decode_content_pieces(raw):
            text = text_of(piece.text)
            if text and piece.type in ("text", "output_text"):
                self.writer.text(text)
            elif piece.thinking not in NOTHING:
                nested = [piece.thinking]
                if bytes(piece.thinking)[:1] == b"[":
                    nested = [one.text for one in decode_content_pieces(piece.thinking)]
                for one in nested:
                    thought = text_of(one)
                    if thought:
                        self.writer.reasoning(thought)

    def _call(self, delta: CallDelta) -> None:
        call = self._open_call(delta)
        function = delta.function
        if delta.id and not call.id:
            call.id = delta.id
        if function is None:
            return
        if function.name and not call.name:
            call.name = function.name
        raw = text_of(function.arguments)
        if not raw and function.arguments not in NOTHING and bytes(function.arguments)[:1] == b"{":
            # Some servers send the object itself.
            raw = json_string(bytes(function.arguments).decode())
        if call.held is None:
            if raw:
                self.writer.arguments(call.place, raw)
        else:
            if raw:
                call.held.append(raw)
            if call.name and (call.id or raw):
                self._open(call)

    def _open_call(self, delta: CallDelta) -> _OpenCall:
        """The call that a delta belongs to; a new one where its index is new, or its id is another one.

        Some servers leave the index out, or have 0 for all.
        """
        index, last = delta.index, self._last
        found = last if index is None else self._calls.get(index)
        if found is not None and delta.id and found.id and delta.id != found.id:
            found = None
        if found is None:
            found = _OpenCall(self._places)
            self._places += 1
            self._calls[found.place if index is None else index] = found
        self._last = found
        return found

    def _open(self, call: _OpenCall) -> None:
        held, call.held = call.held or [], None
        self.writer.open_call(
            call.place, call_id(call.id, self._id or "", call.place), self._names.get(call.name, call.name)
        )
        for raw in held:
            self.writer.arguments(call.place, raw)

    def _open_late(self) -> None:
        """Open the calls whose id never came."""
        for call in self._calls.values():
            if call.held is not None and call.name:
                self._open(call)


class ChatStreamWriter(ModelWriter):
    """Writes chunks, each with the same id and time; the usage in one of its own, if the client asked for it."""

    def __init__(self, alias: str, request: RequestTerms, wants_usage: bool) -> None:
        super().__init__()
        self._alias = alias
        self._request = request
        self._wants_usage = wants_usage
        self._head = b""
        #: The number of each call in the order in which they began, by its place; those without arguments yet.
        self._numbers: dict[int, int] = {}
        self._bare: dict[int, bool] = {}
        self._thoughts = 0

    def start(self, upstream_id: str) -> None:
        id = derived_id("chatcmpl-", upstream_id or self._request.id)
        created = self._request.started // 1_000_000
        head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": self._alias}
        self._head = b"data: " + encode(head)[:-1] + b',"choices":['
        self._delta(b'{"role":"assistant","content":""}')

    def _delta(self, delta: bytes, reason: bytes = b"null") -> None:
        self.out.append(b'%b{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (self._head, delta, reason))

    def text(self, raw: bytes) -> None:
        self._delta(b'{"content":%b}' % raw)

    def reasoning(self, raw: bytes) -> None:
        self._delta(b'{"reasoning_content":%b}' % raw)

    def signature(self, value: str) -> None:
        self._thought({"type": "thinking", "thinking": "", "signature": value})

    def redacted(self, value: str) -> None:
        self._thought({"type": "redacted_thinking", "data": value})

    def _thought(self, block: dict[str, Any]) -> None:
        """State of the provider's, which a client sends back with the message, in the field that LiteLLM has."""
        self._delta(encode({"thinking_blocks": [{"index": self._thoughts, **block}]}))
        self._thoughts += 1

    def refusal(self, raw: bytes) -> None:
        self._delta(b'{"refusal":%b}' % raw)

    def open_call(self, place: int, id: str, name: str) -> None:
        number = self._numbers[place] = len(self._numbers)
        self._bare[place] = True
        call = {"index": number, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        self._delta(encode({"tool_calls": [call]}))

    def arguments(self, place: int, raw: bytes) -> None:
        self._bare.pop(place, None)
        self._delta(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (self._numbers[place], raw))

    def finish(self, reason: str) -> None:
        for place in tuple(self._bare):
            self.arguments(place, _EMPTY_OBJECT)
        if reason in (STOP, CALLS) and self._numbers:
            self._delta(b"{}", b'"tool_calls"')
        else:
            self._delta(b"{}", b'"%b"' % _FINISHES[reason].encode())

    def end(self, usage: Usage | None) -> None:
        if self._wants_usage and usage is not None:
            self.out.append(b'%b],"usage":%b}\n\n' % (self._head, encode(chat_usage(usage))))
        self.out.append(_DONE)


class ChatMessageWriter(ModelWriter):
    """Writes one chat completion, once it is whole."""

    def __init__(self, alias: str, request: RequestTerms) -> None:
        super().__init__()
        self._alias = alias
        self._id = derived_id("chatcmpl-", request.id)
        self._created = request.started // 1_000_000
        self._texts: list[bytes] = []
        self._thoughts: list[bytes] = []
        self._refusals: list[bytes] = []
        #: Thoughts with the provider's state, and where the last of them ended.
        self._blocks: list[dict[str, Any]] = []
        self._signed = 0
        self._calls: dict[int, tuple[str, str, list[bytes]]] = {}
        self._reason = STOP

    def start(self, upstream_id: str) -> None:
        if upstream_id:
            self._id = derived_id("chatcmpl-", upstream_id)

    def text(self, raw: bytes) -> None:
        self._texts.append(raw)

    def reasoning(self, raw: bytes) -> None:
        self._thoughts.append(raw)

    def signature(self, value: str) -> None:
        thought = msgspec.Raw(joined(self._thoughts[self._signed :]) if self._signed < len(self._thoughts) else b'""')
        self._signed = len(self._thoughts)
        self._blocks.append({"type": "thinking", "thinking": thought, "signature": value})

    def redacted(self, value: str) -> None:
        self._blocks.append({"type": "redacted_thinking", "data": value})

    def refusal(self, raw: bytes) -> None:
        self._refusals.append(raw)

    def open_call(self, place: int, id: str, name: str) -> None:
        self._calls[place] = (id, name, [])

    def arguments(self, place: int, raw: bytes) -> None:
        self._calls[place][2].append(raw)

    def finish(self, reason: str) -> None:
        self._reason = reason

    def end(self, usage: Usage | None) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": _raw_or_none(self._texts)}
        message["refusal"] = _raw_or_none(self._refusals)
        if self._thoughts:
            message["reasoning_content"] = msgspec.Raw(joined(self._thoughts))
        if self._blocks:
            message["thinking_blocks"] = self._blocks
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": id,
                    "type": "function",
                    "function": {"name": name, "arguments": msgspec.Raw(joined(pieces) if pieces else _EMPTY_OBJECT)},
                }
                for id, name, pieces in self._calls.values()
            ]
        finish = "tool_calls" if self._calls and self._reason in (STOP, CALLS) else _FINISHES[self._reason]
        body: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._alias,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        }
        if usage is not None:
            body["usage"] = chat_usage(usage)
        self.out.append(encode(body))


def _raw_or_none(texts: list[bytes]) -> msgspec.Raw | None:
    return msgspec.Raw(joined(texts)) if texts else None


def chat_usage(usage: Usage) -> dict[str, Any]:
    """The usage as chat completions have it: cached tokens are part of the input, reasoning of the output."""
    found: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    details = {"cached_tokens": usage.cached_input_tokens}
    if usage.cache_write_tokens:
        details["cache_write_tokens"] = usage.cache_write_tokens
    found["prompt_tokens_details"] = details
    found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return found
