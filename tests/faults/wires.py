"""The four formats in which a faulty upstream answers: a good answer in parts, and its errors, as bytes.

Facts of the wire only. What goes wrong with them is said in the scenarios; nothing here knows the gateway. Whatever
would tell a client who answered holds `vndr`, so that one search finds a leak.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: What the upstream calls its model in answers, whatever it was asked for.
ANSWERING_MODEL = "vndr-model-that-answers-2026"
WORDS = ("Hello", " there")
TEXT = "".join(WORDS)
INPUT_TOKENS, OUTPUT_TOKENS = 9, 2
#: A message of a provider's own, with names that no client may see; `{model}` is the model that was asked for.
MESSAGE = (
    "The model {model} of org-vndr12345678 does not like it; key sk-vndr-12345678, see https://vndr.example/docs#1."
)


def packed(value: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def data(value: object) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % packed(value)


def named(value: Mapping[str, Any]) -> bytes:
    """An event that is named by its type."""
    return b"event: %b\n%b" % (str(value["type"]).encode(), data(value))


#: The kinds of upstream, by the gateway's names for them.
Kind = Literal["compatible", "anthropic", "gemini"]


@dataclass(frozen=True)
class Wire:
    """One format. A whole stream is `begin`, each of `words`, `finish`, `usage` and `done`, in this order."""

    name: str
    #: The kind of upstream that speaks it.
    kind: Kind
    #: Where a client asks, not streaming and streaming; `{model}` is the alias.
    paths: tuple[str, str]
    begin: bytes
    words: tuple[bytes, ...]
    #: Why it ended; with it the answer is whole.
    finish: bytes
    #: Counts that stand in an event of their own, left out for a client that did not ask for them.
    usage: bytes
    #: The mark after which nothing comes; empty where `finish` is it, or where there is none.
    done: bytes
    json: bytes
    #: The first event brings counts already.
    counts_at_start: bool = False

    @property
    def stream(self) -> bytes:
        """A whole stream."""
        return self.begin + b"".join(self.words) + self.finish + self.usage + self.done

    def error(self, message: str, code: str | int = "vendor_code") -> bytes:
        """The body of an error answer."""
        if self.name == "messages":
            return packed({"type": "error", "error": {"type": "api_error", "message": message}, "request_id": "r1"})
        if self.name == "generate":
            return packed({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
        return packed({"error": {"message": message, "type": "vendor_error", "param": None, "code": code}})

    def error_event(self, message: str) -> bytes:
        """An error inside a stream."""
        if self.name == "messages":
            return b"event: error\ndata: %b\n\n" % self.error(message)
        if self.name == "responses":
            return named({"type": "error", "code": "server_error", "message": message, "param": None})
        if self.name == "generate":
            return self.error(message) + b"\r\n\r\n"
        return b"data: %b\n\n" % self.error(message)


def chunk_event(**fields: object) -> bytes:
    """A chunk of a chat completion."""
    return data({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": ANSWERING_MODEL, **fields})


def choice(delta: Mapping[str, object], finish: str | None = None, index: int = 0) -> bytes:
    """A chunk with one choice."""
    return chunk_event(choices=[{"index": index, "delta": delta, "finish_reason": finish}])


CHAT_USAGE = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 11}
CHAT_JSON = {
    "id": "c1",
    "object": "chat.completion",
    "model": ANSWERING_MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": CHAT_USAGE,
}
CHAT = Wire(
    name="chat",
    kind="compatible",
    paths=("/v1/chat/completions", "/v1/chat/completions"),
    begin=choice({"role": "assistant", "content": ""}),
    words=tuple(choice({"content": word}) for word in WORDS),
    finish=choice({}, "stop"),
    usage=chunk_event(choices=[], usage=CHAT_USAGE),
    done=b"data: [DONE]\n\n",
    json=packed(CHAT_JSON),
)

_OUTPUT = {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}
_ITEM_USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS, "total_tokens": 11}
_RESPONSE = {"id": "resp_1", "object": "response", "model": ANSWERING_MODEL, "error": None}
_RESPONSE_BEGUN: Mapping[str, Any] = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}
_RESPONSE_WHOLE = {**_RESPONSE, "status": "completed", "output": [_OUTPUT], "usage": _ITEM_USAGE}
RESPONSES = Wire(
    name="responses",
    kind="compatible",
    paths=("/v1/responses", "/v1/responses"),
    begin=named({"type": "response.created", "response": _RESPONSE_BEGUN}),
    words=tuple(
        named({"type": "response.output_text.delta", "item_id": "m1", "output_index": 0, "delta": word})
        for word in WORDS
    ),
    finish=named({"type": "response.completed", "response": _RESPONSE_WHOLE}),
    usage=b"",
    done=b"",
    json=packed(_RESPONSE_WHOLE),
)

_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": ANSWERING_MODEL}
_START_USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
_MESSAGE_USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
_BLOCK = {"type": "text", "text": ""}
MESSAGES = Wire(
    name="messages",
    kind="anthropic",
    paths=("/v1/messages", "/v1/messages"),
    begin=named({"type": "message_start", "message": {**_MESSAGE, "content": [], "usage": _START_USAGE}})
    + named({"type": "content_block_start", "index": 0, "content_block": _BLOCK}),
    words=tuple(
        named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
        for word in WORDS
    ),
    finish=named({"type": "content_block_stop", "index": 0})
    + named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": _MESSAGE_USAGE}),
    usage=b"",
    done=named({"type": "message_stop"}),
    json=packed(
        {
            **_MESSAGE,
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
            "usage": _MESSAGE_USAGE,
        }
    ),
    counts_at_start=True,
)


def candidate(text: str, index: int = 0, **fields: object) -> dict[str, Any]:
    """One candidate of a chunk of generateContent."""
    return {"content": {"parts": [{"text": text}], "role": "model"}, "index": index, **fields}


def generate_event(*candidates: Mapping[str, Any], **fields: object) -> bytes:
    """A chunk of generateContent, with Google's line ends."""
    value = {"candidates": candidates, **fields, "modelVersion": ANSWERING_MODEL}
    return b"data: %b\r\n\r\n" % packed(value)


_GENERATE_USAGE = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS, "totalTokenCount": 11}
GENERATE = Wire(
    name="generate",
    kind="gemini",
    paths=("/v1beta/models/{model}:generateContent", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    begin=b"",
    words=tuple(generate_event(candidate(word)) for word in WORDS),
    finish=generate_event(candidate("", finishReason="STOP"), usageMetadata=_GENERATE_USAGE),
    usage=b"",
    done=b"",
    json=packed(
        {
            "candidates": [candidate(TEXT, finishReason="STOP")],
            "usageMetadata": _GENERATE_USAGE,
            "modelVersion": ANSWERING_MODEL,
        }
    ),
)

WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (CHAT, RESPONSES, MESSAGES, GENERATE)}
