"""The fake upstream's responses, as bytes that are built once per model name and then only written.

Pure: no sockets, no clock. A model name is a script: how the response is cut into writes, and how they are paced.
"""

import re
from dataclasses import dataclass

import msgspec

#: Stands once in each piece of content and nowhere else, so a client counts events without parsing them, however a
#: proxy writes its JSON.
MARK = "~"

MOST_EVENTS = 10_000
LONGEST_INTERVAL_MS = 60_000
LARGEST_EMBEDDING_BYTES = 16 * 1024 * 1024

_AT_ONCE = re.compile(r"bench-(?:burst|each)-(\d{1,5})")
_PACED = re.compile(r"bench-paced-(\d{1,5})-(\d{1,5})")
_EMBEDDING = re.compile(r"bench-embedding-(\d{1,8})")
_EACH = "bench-each-"
_FIRST = "bench-first"
_FIRST_EVENTS = 3
_CREATED = 1_763_700_000
_END = b"0\r\n\r\n"
_TERMINATOR = b"data: [DONE]\n\n"
# A hosted provider sends about this much beside the content type; a proxy pays for reading it.
_PROVIDER_HEADERS = (
    b"date: Fri, 20 Nov 2026 12:00:00 GMT\r\n"
    b"openai-organization: benchmark\r\n"
    b"openai-processing-ms: 212\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
)


@dataclass(frozen=True, slots=True)
class Response:
    """One whole response. `opening` goes out at once, each piece in its own write; `paced` follows, one piece each
    `interval` seconds, the first without a wait; `closing` goes out with the last of them."""

    opening: tuple[bytes, ...]
    paced: tuple[bytes, ...] = ()
    interval: float = 0.0
    closing: bytes = b""


class UnknownScript(Exception):
    """The model name is no script of this upstream."""


def chat_response(model: str, *, stream: bool, include_usage: bool) -> Response:
    """Build the response to a chat request; raises UnknownScript."""
    count, interval = _script(model)
    if not stream:
        return Response((json_response(_completion(model)),))
    head = _head("text/event-stream; charset=utf-8", b"transfer-encoding: chunked\r\n")
    role = _event(model, {"role": "assistant", "content": "", "refusal": None}, include_usage=include_usage)
    contents = tuple(
        _event(model, {"content": f" {MARK}word{index % 10}"}, include_usage=include_usage) for index in range(count)
    )
    tail = [_event(model, {}, finish_reason="stop", include_usage=include_usage)]
    if include_usage:
        tail.append(_usage_event(model, count))
    tail.append(_http_chunk(_TERMINATOR))
    if interval is not None:
        return Response((head, role), contents, interval, b"".join(tail) + _END)
    if model == _FIRST or model.startswith(_EACH):
        return Response((head, role, *contents, *tail[:-1], tail[-1] + _END))
    return Response((head, role + b"".join(contents) + b"".join(tail) + _END))


def embedding_response(model: str) -> Response:
    """Build a response whose body has about the size that the model name gives; raises UnknownScript."""
    match = _EMBEDDING.fullmatch(model)
    if match is None or int(match[1]) > LARGEST_EMBEDDING_BYTES:
        raise UnknownScript(model)
    number = b"-0.01234567,"
    vector = (number * (int(match[1]) // len(number) + 1))[:-1]
    body = (
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[' + vector + b"]}],"
        b'"model":"'
        + model.encode()
        + b'","usage":{"prompt_tokens":8,"total_tokens":8},"note":"'
        + MARK.encode()
        + b'"}'
    )
    return Response((json_response(body),))


def models_response() -> Response:
    """The list of models: one script, as an example of a name."""
    item = {"id": _FIRST, "object": "model", "created": _CREATED, "owned_by": "benchmark"}
    return Response((json_response(msgspec.json.encode({"object": "list", "data": [item]})),))


def failure_response(status: str, message: str, code: str) -> Response:
    """An error in the provider's shape; `status` is the whole status, such as "404 Not Found"."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Response((json_response(msgspec.json.encode({"error": error}), status),))


def json_response(body: bytes, status: str = "200 OK") -> bytes:
    """A whole response, head and body in one piece."""
    return _head("application/json", b"content-length: %d\r\n" % len(body), status) + body


def _script(model: str) -> tuple[int, float | None]:
    """How many content events a model name asks for, and how many seconds apart (None: at once)."""
    if model in (_FIRST, "bench-json"):
        return _FIRST_EVENTS, None
    if match := _AT_ONCE.fullmatch(model):
        count, interval = int(match[1]), None
    elif match := _PACED.fullmatch(model):
        count, milliseconds = int(match[1]), int(match[2])
        if not 1 <= milliseconds <= LONGEST_INTERVAL_MS:
            raise UnknownScript(model)
        interval = milliseconds / 1000
    else:
        raise UnknownScript(model)
    if not 1 <= count <= MOST_EVENTS:
        raise UnknownScript(model)
    return count, interval


def _head(content_type: str, framing: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\n%b%b\r\n" % (
        status.encode(),
        content_type.encode(),
        framing,
        _PROVIDER_HEADERS,
    )


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _snapshot(model: str) -> str:
    """The dated name that providers respond with, seldom the requested one."""
    return f"{model}-2026-08-07"


def _event(
    model: str, delta: dict[str, str | None], *, finish_reason: str | None = None, include_usage: bool = False
) -> bytes:
    chunk: dict[str, object] = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark0",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _snapshot(model),
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }
    if include_usage:
        chunk["usage"] = None
    return _http_chunk(b"data: " + msgspec.json.encode(chunk) + b"\n\n")


def _usage_event(model: str, count: int) -> bytes:
    chunk = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark0",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _snapshot(model),
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [],
        "usage": _usage(count),
    }
    return _http_chunk(b"data: " + msgspec.json.encode(chunk) + b"\n\n")


def _usage(count: int) -> dict[str, object]:
    return {
        "prompt_tokens": 180,
        "completion_tokens": count,
        "total_tokens": 180 + count,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _completion(model: str) -> bytes:
    message = {"role": "assistant", "content": f"{MARK}One answer of ordinary length.", "refusal": None}
    whole = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark0",
        "object": "chat.completion",
        "created": _CREATED,
        "model": _snapshot(model),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(12),
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1)
