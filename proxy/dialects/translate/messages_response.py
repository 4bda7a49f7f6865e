"""Anthropic's Messages as responses: their reader, and their writers for streams and for one JSON object.

Facts of the wire: https://docs.anthropic.com/en/api/messages-streaming. One block is open at a time, blocks are counted
from 0 without gaps and never opened again; usage stands in the first event and in the last one but one, and counts all
so far.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.base import RequestTerms
from proxy.dialects.meters import NOTHING
from proxy.dialects.translate.schemas import (
    BlockDelta,
    MessageBlock,
    decode_message_event,
    decode_whole_message,
    encode,
)
from proxy.dialects.translate.texts import (
    JsonDepth,
    call_id,
    derived_id,
    joined,
    json_string,
    plain,
    text_of,
    unreadable,
)
from proxy.dialects.translate.writer import CALLS, LENGTH, PAUSED, REFUSED, STOP, ModelReader, ModelWriter
from proxy.errors import UpstreamProtocolError
from proxy.wire.schemas import DECODE_ERRORS, Usage

#: Bytes of arguments of calls that go on beside an open one, which the format cannot have.
MAX_HELD_ARGUMENTS: Final = 262_144
_REASONS: Final = {
    "end_turn": STOP,
    "stop_sequence": STOP,
    "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_use": CALLS,
    "refusal": REFUSED,
    "pause_turn": PAUSED,
}
_FINISHES: Final = {STOP: "end_turn", LENGTH: "max_tokens", CALLS: "end_turn", REFUSED: "refusal", PAUSED: "pause_turn"}
_STOPPED: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_EMPTY_OBJECT: Final = b"{}"

# Which block is open.
_NONE: Final = 0
_TEXT: Final = 1
_THINKING: Final = 2
_CALL: Final = 3


class MessagesReader(ModelReader):
    """Reads messages. The tools that the provider runs itself are no calls, and their blocks are passed over."""

    def __init__(self, writer: ModelWriter) -> None:
        super().__init__(writer)
        self._id = ""
        self._kind = ""

    def event(self, payload: bytes) -> None:
        try:
            event = decode_message_event(payload)
        except DECODE_ERRORS as error:
            raise unreadable(error) from error
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.index, event.delta)
        elif kind == "content_block_start":
            block = event.content_block
            if block is not None:
                self._kind = block.type
                self._open(event.index, block)
        elif kind == "content_block_stop":
            if self._kind in ("text", "thinking", "tool_use"):
                self.writer.close()
            self._kind = ""
        elif kind == "message_start":
            self._id = event.message.id if event.message is not None else ""
            self.writer.start(self._id)
        elif kind == "message_delta" and event.delta is not None and event.delta.stop_reason:
            self.writer.finish(_REASONS.get(event.delta.stop_reason, STOP))

    def _open(self, index: int, block: MessageBlock) -> None:
        """What a block begins with; most begin empty."""
        writer, kind = self.writer, block.type
        if kind == "text":
            raw = text_of(block.text)
            if raw:
                writer.text(raw)
        elif kind == "thinking":
            raw = text_of(block.thinking)
            if raw:
                writer.reasoning(raw)
            if block.signature:
                writer.signature(block.signature)
        elif kind == "redacted_thinking":
            if block.data:
                writer.redacted(block.data)
        elif kind == "tool_use":
            writer.open_call(index, call_id(block.id, self._id, index), block.name)
            if block.input not in NOTHING and bytes(block.input).strip() != _EMPTY_OBJECT:
                writer.arguments(index, json_string(bytes(block.input).decode()))

    def _delta(self, index: int, delta: BlockDelta) -> None:
        writer, kind = self.writer, delta.type
        if kind == "text_delta":
            raw = text_of(delta.text)
            if raw and self._kind == "text":
                writer.text(raw)
        elif kind == "input_json_delta":
            raw = text_of(delta.partial_json)
            if raw and self._kind == "tool_use":
                writer.arguments(index, raw)
        elif kind == "thinking_delta":
            raw = text_of(delta.thinking)
            if raw and self._kind == "thinking":
                writer.reasoning(raw)
        elif kind == "signature_delta":
            raw = text_of(delta.signature)
            if raw and self._kind == "thinking":
                writer.signature(plain(raw))

    def whole(self, payload: bytes) -> None:
        try:
            message = decode_whole_message(payload)
        except DECODE_ERRORS as error:
            raise unreadable(error) from error
        self._id = message.id
        self.writer.start(message.id)
        for index, block in enumerate(message.content):
            self._open(index, block)
            self.writer.close()
        self.writer.finish(_REASONS.get(message.stop_reason or "", STOP))


class MessagesStreamWriter(ModelWriter):
    """Writes the events of a message. Holds the arguments of calls that go on beside the open one, within a bound."""

    def __init__(self, alias: str, request: RequestTerms) -> None:
        """The first event has what the input is estimated at: its count is known at the end."""
        super().__init__()
        self._alias = alias
        self._request = request
        self._index = 0
        self._open = _NONE
        #: The place of the open call, and how far its arguments are.
        self._place = -1
        self._depth = JsonDepth()
        #: What a delta of the open block begins with.
        self._head = b""
        #: Calls that wait for the open one: place -> (id, name, arguments).
        self._waiting: dict[int, tuple[str, str, list[bytes]]] = {}
        self._held = 0
        self._called = False
        self._refused = False
        self._reason = STOP

    def start(self, upstream_id: str) -> None:
        message: dict[str, Any] = {
            "id": derived_id("msg_", upstream_id or self._request.id),
            "type": "message",
            "role": "assistant",
            "model": self._alias,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self._request.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 1,
            },
        }
        self._event("message_start", {"message": message})

    def _event(self, kind: str, fields: dict[str, Any]) -> None:
        self.out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields})))

    def _begin(self, kind: int, block: dict[str, Any], delta: bytes) -> None:
        """Open a block; `delta` is the type of its deltas with the key of their text."""
        self.close()
        self._open = kind
        self._event("content_block_start", {"index": self._index, "content_block": block})
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b:'
            % (self._index, delta)
        )

    def text(self, raw: bytes) -> None:
        if self._open != _TEXT:
            self._begin(_TEXT, {"type": "text", "text": ""}, b'"text_delta","text"')
        self.out.append(b"%b%b}}\n\n" % (self._head, raw))

    def reasoning(self, raw: bytes) -> None:
        self._think()
        self.out.append(b"%b%b}}\n\n" % (self._head, raw))

    def _think(self) -> None:
        if self._open != _THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            self._begin(_THINKING, block, b'"thinking_delta","thinking"')

    def signature(self, value: str) -> None:
        self._think()
        delta = {"type": "signature_delta", "signature": value}
        self._event("content_block_delta", {"index": self._index, "delta": delta})
        self.close()

    def redacted(self, value: str) -> None:
        self._begin(_THINKING, {"type": "redacted_thinking", "data": value}, b"")
        self.close()

    def refusal(self, raw: bytes) -> None:
        self._refused = True
        self.text(raw)

    def open_call(self, place: int, id: str, name: str) -> None:
        if self._open == _CALL and not self._depth.complete:
            self._waiting[place] = (id, name, [])
        else:
            self._begin_call(place, id, name)

    def _begin_call(self, place: int, id: str, name: str) -> None:
        self._begin(
            _CALL, {"type": "tool_use", "id": id, "name": name, "input": {}}, b'"input_json_delta","partial_json"'
        )
        self._called = True
        self._place = place
        self._depth = JsonDepth()

    def arguments(self, place: int, raw: bytes) -> None:
        if place == self._place:
            self.out.append(b"%b%b}}\n\n" % (self._head, raw))
            self._depth.feed(raw)
            if self._waiting and self._depth.complete:
                self._next_call()
            return
        waiting = self._waiting.get(place)
        if waiting is None:
            raise UpstreamProtocolError(
                "The model's answer could not be read.", detail="arguments of a call that ended"
            )
        self._held += len(raw)
        if self._held > MAX_HELD_ARGUMENTS:
            raise UpstreamProtocolError("The model's answer could not be read.", detail="too many calls side by side")
        waiting[2].append(raw)

    def _next_call(self) -> None:
        """Begin the first call that waits, with what came of it, and those behind it that can follow."""
        while self._waiting and (self._open != _CALL or self._depth.complete):
            place = next(iter(self._waiting))
            id, name, pieces = self._waiting.pop(place)
            self._begin_call(place, id, name)
            for raw in pieces:
                self._held -= len(raw)
                self.out.append(b"%b%b}}\n\n" % (self._head, raw))
                self._depth.feed(raw)

    def close(self) -> None:
        if self._open != _NONE:
            self._open = _NONE
            self._place = -1
            self._event("content_block_stop", {"index": self._index})
            self._index += 1

    def finish(self, reason: str) -> None:
        self.close()
        while self._waiting:
            self._next_call()
            self.close()
        self._reason = reason

    def end(self, usage: Usage | None) -> None:
        delta = {"stop_reason": _stop_reason(self._reason, self._called, self._refused), "stop_sequence": None}
        counts = messages_usage(usage if usage is not None else Usage(input_tokens=self._request.input_tokens))
        self._event("message_delta", {"delta": delta, "usage": counts})
        self.out.append(_STOPPED)


class MessagesMessageWriter(ModelWriter):
    """Writes one message, once it is whole."""

    def __init__(self, alias: str, request: RequestTerms) -> None:
        """A response without usage has what the input is estimated at."""
        super().__init__()
        self._alias = alias
        self._id = derived_id("msg_", request.id)
        self._input_tokens = request.input_tokens
        self._blocks: list[dict[str, Any]] = []
        #: The pieces of the text or the thoughts that go on.
        self._kind = ""
        self._pieces: list[bytes] = []
        self._calls: dict[int, tuple[dict[str, Any], list[bytes]]] = {}
        self._reason = STOP
        self._refused = False

    def start(self, upstream_id: str) -> None:
        if upstream_id:
            self._id = derived_id("msg_", upstream_id)

    def _piece(self, kind: str, raw: bytes) -> None:
        if self._kind != kind:
            self.close()
            self._kind = kind
        self._pieces.append(raw)

    def text(self, raw: bytes) -> None:
        self._piece("text", raw)

    def reasoning(self, raw: bytes) -> None:
        self._piece("thinking", raw)

    def signature(self, value: str) -> None:
        if self._kind != "thinking":
            self.close()
            self._kind = "thinking"
        self.close()
        self._blocks[-1]["signature"] = value

    def redacted(self, value: str) -> None:
        self.close()
        self._blocks.append({"type": "redacted_thinking", "data": value})

    def refusal(self, raw: bytes) -> None:
        self._refused = True
        self._piece("text", raw)

    def open_call(self, place: int, id: str, name: str) -> None:
        self.close()
        block: dict[str, Any] = {"type": "tool_use", "id": id, "name": name, "input": {}}
        self._blocks.append(block)
        self._calls[place] = (block, [])

    def arguments(self, place: int, raw: bytes) -> None:
        self._calls[place][1].append(raw)

    def close(self) -> None:
        if self._kind:
            text = msgspec.Raw(joined(self._pieces) if self._pieces else b'""')
            block: dict[str, Any] = {"type": self._kind, self._kind: text}
            if self._kind == "thinking":
                block["signature"] = ""
            self._blocks.append(block)
            self._pieces = []
            self._kind = ""

    def finish(self, reason: str) -> None:
        self.close()
        self._reason = reason

    def end(self, usage: Usage | None) -> None:
        for block, pieces in self._calls.values():
            if pieces:
                block["input"] = arguments_object(joined(pieces))
        message = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._alias,
            "content": self._blocks,
            "stop_reason": _stop_reason(self._reason, bool(self._calls), self._refused),
            "stop_sequence": None,
            "usage": messages_usage(usage if usage is not None else Usage(input_tokens=self._input_tokens)),
        }
        self.out.append(encode(message))


def arguments_object(raw: bytes) -> msgspec.Raw:
    """The object in a JSON string that holds one, with its numbers as they came. Raises `UpstreamProtocolError`."""
    try:
        text = plain(raw).strip().encode() or _EMPTY_OBJECT
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except DECODE_ERRORS as error:
        raise unreadable(error) from error
    return msgspec.Raw(text)


def _stop_reason(reason: str, called: bool, refused: bool) -> str:
    if refused and reason != LENGTH:
        return "refusal"
    return "tool_use" if called and reason in (STOP, CALLS) else _FINISHES[reason]


def messages_usage(usage: Usage) -> dict[str, Any]:
    """The usage as Messages have it: cached tokens, read and written, stand beside the input."""
    return {
        "input_tokens": max(usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }
