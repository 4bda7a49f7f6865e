"""Chat answers for the tests of OpenAI's dialect: chunks as servers write them, and what a client gets of a stream."""

import json
from typing import Any

from proxy.dialects.openai_chat import ChatMeter
from proxy.wire.json_rewrite import SSERewriter

ALIAS = "prometheus-core"
UPSTREAM = "gpt-5"
USAGE: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def meter(drop_usage: bool = False) -> ChatMeter:
    return ChatMeter(ALIAS, UPSTREAM, drop_usage)


def read(*events: Any, drop_usage: bool = False) -> ChatMeter:
    """A meter that has read these events."""
    one = meter(drop_usage)
    for event in events:
        one.read(json.dumps(event, ensure_ascii=False).encode())
    return one


def chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-2025-08-07", **fields}


def said(content: str, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return chunk(
        choices=[{"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": finish}], **fields
    )


def compact(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def event(fields: Any) -> bytes:
    return b"data: %b\n\n" % compact(fields)


def counters(one: ChatMeter) -> tuple[Any, ...]:
    return one.text_out, one.finished, one.failed, one.ended, one.usage()


def relay(pieces: list[bytes], one: ChatMeter) -> bytes:
    """What a client gets: reading ends where the answer does."""
    rewriter = SSERewriter(one, ALIAS)
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if one.ended:
            return out
    return out + rewriter.end()


def delta(**fields: Any) -> dict[str, Any]:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": None}])
