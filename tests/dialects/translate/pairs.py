"""What the tests of translations share: a pair at work, without sockets, and events of upstreams."""

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect, RequestTerms, TargetTerms
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.translate.translation import Translation
from proxy.errors import InvalidRequest
from proxy.wire.request_body import parse_body

ALIAS = "core"
MODEL = "vendor-model"
REQUEST = RequestTerms("req_1", 1_700_000_000_000_000, 42, lambda: "2023-11-14T22:13:20.000Z")
DIALECTS: dict[str, Dialect] = {"anthropic": MESSAGES, "openai": CHAT}


def begun(pair: Translation, request: dict[str, Any], **terms: Any) -> Translation:
    """The conversation of a request."""
    bound = pair.bind(TargetTerms(alias=ALIAS, model=MODEL, **terms))
    return bound.begin(parse_body(json.dumps({"model": ALIAS, **request}).encode()), REQUEST)


def sent(pair: Translation, request: dict[str, Any], **terms: Any) -> tuple[dict[str, Any], str]:
    """What the upstream is sent for a request, but for the model; and the losses."""
    conversation = begun(pair, request, **terms)
    body = parse_body(b'{"model":"core"}')
    value: dict[str, Any] = json.loads(conversation.body(body, "", False))
    assert value.pop("model") == MODEL
    return value, conversation.note


def refused(pair: Translation, request: dict[str, Any], **terms: Any) -> str | None:
    """The field for which a request is refused."""
    with pytest.raises(InvalidRequest) as caught:
        begun(pair, request, **terms)
    assert caught.value.status == 400
    return caught.value.param


def answered(
    pair: Translation,
    response: bytes,
    *,
    stream: bool = True,
    events: bool = True,
    cuts: Sequence[int] = (),
    request: dict[str, Any] | None = None,
    complete: bool = True,
) -> bytes:
    """What the client gets for an upstream's response that comes cut in these places."""
    given = {"messages": [], "stream": stream, "max_tokens": 9, **(request or {})}
    conversation = begun(pair, given)
    reader = conversation.reader(
        [(b"content-type", b"text/event-stream" if events else b"application/json")],
        DIALECTS[pair.caller],
        parse_body(json.dumps({"model": ALIAS, **given}).encode()),
        alias=ALIAS,
        model=MODEL,
        hidden={},
        may_ask_usage=False,
        stream=stream,
        opaque=(),
        max_event_bytes=1_048_576,
        first=b"",
        kind="open",
    )
    out = b""
    borders = [0, *sorted(cuts), len(response)]
    for begin, end in pairwise(borders):
        out += reader.feed(response[begin:end], complete and end == len(response))
    assert reader.whole or not complete
    return out


def cut_anywhere(length: int, seed: int) -> list[int]:
    """Some places in a response at which it is cut."""
    chance = random.Random(seed)
    return [chance.randrange(length) for _ in range(chance.randrange(1, 12))]


def chat_events(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """A stream of chat completions."""
    base = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    text = "".join(f"data: {json.dumps({**base, **chunk})}\n\n" for chunk in chunks)
    return text.encode() + (b"data: [DONE]\n\n" if done else b"")


def delta(reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def call_delta(
    index: int | None, id: str | None = None, name: str | None = None, arguments: str = ""
) -> dict[str, Any]:
    """A chunk with a piece of a call."""
    function: dict[str, Any] = {"arguments": arguments}
    if name is not None:
        function["name"] = name
    call: dict[str, Any] = {"function": function}
    if index is not None:
        call["index"] = index
    if id is not None:
        call |= {"id": id, "type": "function"}
    return delta(tool_calls=[call])


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 12},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
USAGE_CHUNK: dict[str, Any] = {"choices": [], "usage": USAGE}


def message_events(*values: dict[str, Any]) -> bytes:
    """A stream of Messages."""
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values).encode()


def message_start(**usage: int) -> dict[str, Any]:
    message = {"id": "msg_up", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    return {"type": "message_start", "message": {**message, "usage": {"input_tokens": 8, "output_tokens": 1, **usage}}}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": one} for one in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_end(reason: str, output_tokens: int = 7) -> list[dict[str, Any]]:
    usage = {"output_tokens": output_tokens}
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def datas(stream: bytes) -> list[Any]:
    """The data of the events that a client gets, but for an end mark."""
    found = []
    for part in stream.decode().split("\n\n"):
        for line in part.splitlines():
            if line.startswith("data: ") and line != "data: [DONE]":
                found.append(json.loads(line[6:]))
    return found
