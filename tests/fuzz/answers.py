"""What an upstream of the fuzzer answers: the right shapes of each format, and what goes wrong with them.

Pure. An answer carries a mark that no other answer has, so that a byte in the wrong place is known.
"""

import random
from dataclasses import dataclass
from typing import Any, Literal

from tests.fuzz.values import cut, disturbed, disturbed_bytes, dumps

Format = Literal["chat", "completions", "responses", "messages", "gemini", "embeddings", "images", "audio", "speech"]
#: How a connection goes on behind an answer.
Ending = Literal["keep", "close", "reset", "stall"]

STATUSES = (200, 200, 200, 201, 206, 204, 304, 302, 400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 429, 499)
BAD_STATUSES = (500, 501, 502, 503, 503, 504, 520, 529, 599, 600, 700, 999, 101, 102, 103, 199)
TYPES = (
    *(b"application/json", b"text/event-stream", b"text/event-stream; charset=utf-8", b"text/plain", b"text/html"),
    *(b"application/octet-stream", b"audio/mpeg", b"", b"APPLICATION/JSON", b"application/problem+json"),
)


@dataclass(frozen=True)
class Answer:
    """What goes over the wire, in pieces, and what happens then."""

    pieces: list[bytes]
    ending: Ending
    #: The status that it begins with, before anything was made wrong.
    status: int
    #: Nothing was.
    good: bool


def answer(chance: random.Random, kind: Format, stream: bool, mark: str) -> Answer:
    """An answer of some format, right or wrong."""
    right = chance.random() < 0.25
    status = 200 if right or chance.random() < 0.6 else chance.choice(STATUSES + BAD_STATUSES)
    if status >= 400 and chance.random() < 0.9:
        body, content_type = error_body(chance, mark), b"application/json"
    elif stream and kind not in ("embeddings",):
        body, content_type = stream_body(chance, kind, mark, right), b"text/event-stream"
    else:
        value = json_value(chance, kind, mark)
        body = dumps(value) if right or chance.random() < 0.3 else disturbed(chance, value)
        content_type = b"application/json"
    if not right and chance.random() < 0.1:
        content_type = chance.choice(TYPES)
    if not right and chance.random() < 0.05:
        body = disturbed_bytes(chance, body)
    return _on_the_wire(chance, status, content_type, body, right)


def json_value(chance: random.Random, kind: Format, mark: str) -> dict[str, Any]:
    """A whole JSON answer."""
    counts: dict[str, Any]
    usage = {"prompt_tokens": chance.randrange(50), "completion_tokens": chance.randrange(50), "total_tokens": 77}
    if kind == "messages":
        text = {"type": "text", "text": mark}
        counts = {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": chance.randrange(9)}
        return {
            "id": mark,
            "type": "message",
            "model": "vendor",
            "content": [text],
            "stop_reason": "end_turn",
            "usage": counts,
        }
    if kind == "gemini":
        parts = {"parts": [{"text": mark}], "role": "model"}
        counts = {"promptTokenCount": 4, "candidatesTokenCount": 5, "totalTokenCount": 9}
        candidate = {"index": 0, "content": parts, "finishReason": "STOP"}
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "vendor"}
    if kind == "responses":
        output = {"type": "message", "content": [{"type": "output_text", "text": mark}]}
        counts = {
            "input_tokens": 7,
            "output_tokens": 3,
            "total_tokens": 10,
            "input_tokens_details": {"cached_tokens": 1},
        }
        return {
            "id": f"resp_{mark}",
            "object": "response",
            "status": "completed",
            "model": "vendor",
            "output": [output],
            "usage": counts,
        }
    if kind == "embeddings":
        row = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
        return {
            "object": "list",
            "data": [row],
            "model": "vendor",
            "note": mark,
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        }
    if kind == "images":
        counts = {"input_tokens": 4, "output_tokens": 90, "total_tokens": 94}
        return {"created": 1, "data": [{"b64_json": mark * chance.choice((1, 50))}], "usage": counts}
    if kind == "audio":
        return {"text": mark, "usage": {"type": "duration", "seconds": chance.choice((1, 2.5, 0))}}
    if kind == "completions":
        choice = {"index": 0, "text": mark, "finish_reason": "stop"}
        return {"id": mark, "object": "text_completion", "model": "vendor", "choices": [choice], "usage": usage}
    message = {"role": "assistant", "content": mark}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": mark, "object": "chat.completion", "model": "vendor", "choices": [choice], "usage": usage}


def events(chance: random.Random, kind: Format, mark: str) -> list[tuple[bytes, Any]]:
    """The events of a stream: the name, empty where there is none, and the value."""
    start: dict[str, Any]
    begun: dict[str, Any]
    done: dict[str, Any]
    part: dict[str, Any]
    last: dict[str, Any]
    if kind == "messages":
        start = {"id": mark, "type": "message", "model": "vendor", "usage": {"input_tokens": 9, "output_tokens": 1}}
        delta = {"type": "text_delta", "text": mark}
        end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}
        return [
            (b"message_start", {"type": "message_start", "message": start}),
            *[(b"content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})]
            * chance.randrange(4),
            (b"message_delta", end),
            (b"message_stop", {"type": "message_stop"}),
        ]
    if kind == "responses":
        begun = {"id": f"resp_{mark}", "model": "vendor", "usage": None}
        done = {**begun, "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}}
        text = {"type": "response.output_text.delta", "delta": mark}
        return [
            (b"response.created", {"type": "response.created", "response": begun}),
            *[(b"response.output_text.delta", text)] * chance.randrange(4),
            (b"response.completed", {"type": "response.completed", "response": done}),
        ]
    if kind == "gemini":
        part = {"candidates": [{"index": 0, "content": {"parts": [{"text": mark}]}}], "modelVersion": "vendor"}
        return [*[(b"", part)] * chance.randrange(3), (b"", json_value(chance, "gemini", mark))]
    if kind == "images":
        partial = {"type": "image_generation.partial_image", "b64_json": mark}
        done = {
            "type": "image_generation.completed",
            "b64_json": mark,
            "usage": {"input_tokens": 3, "output_tokens": 9},
        }
        return [(b"image_generation.partial_image", partial), (b"image_generation.completed", done)]
    if kind == "audio":
        done = {
            "type": "transcript.text.done",
            "text": mark,
            "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 9},
        }
        return [(b"", {"type": "transcript.text.delta", "delta": mark}), (b"", done)]
    if kind == "speech":
        done = {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}}
        return [(b"", {"type": "speech.audio.delta", "audio": mark}), (b"", done)]
    base = {"id": mark, "object": "chat.completion.chunk", "created": 1, "model": "vendor"}
    part = {"text": mark} if kind == "completions" else {"delta": {"content": mark}}
    last = {"text": ""} if kind == "completions" else {"delta": {}}
    usage = {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}
    return [
        *[(b"", {**base, "choices": [{"index": 0, **part, "finish_reason": None}]})] * chance.randrange(5),
        (b"", {**base, "choices": [{"index": 0, **last, "finish_reason": "stop"}]}),
        *[(b"", {**base, "choices": [], "usage": usage})] * chance.randrange(2),
    ]


def stream_body(chance: random.Random, kind: Format, mark: str, right: bool) -> bytes:
    """A stream of events; where it is not to be right, with events lost, doubled, broken or strange."""
    end = b"\r\n" if kind in ("gemini", "audio", "speech") else b"\n"
    blocks = []
    for name, value in events(chance, kind, mark):
        odd = not right and chance.random() < 0.15
        data = disturbed(chance, value) if odd else dumps(value)
        blocks.append((b"event: " + name + end if name else b"") + b"data: " + data + end + end)
    if kind in ("chat", "completions", "audio", "speech"):
        blocks.append(b"data: [DONE]" + end + end)
    if not right:
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            _disturb_blocks(chance, blocks, mark)
    return b"".join(blocks)


def _disturb_blocks(chance: random.Random, blocks: list[bytes], mark: str) -> None:
    strange = (
        b": ping\n",
        b": ping\n\n",
        b"retry: 10\n\n",
        b"event: x\n\n",
        b"data: \n\n",
        b"\n\n",
        b"id: 1\ndata: {}\n\n",
    )
    error = b'data: {"error":{"message":"' + mark.encode() + b' sk-upstream-secret","code":429}}\n\n'
    at = chance.randrange(len(blocks) + 1)
    change = chance.randrange(6)
    if change == 0:
        blocks.insert(at, chance.choice((*strange, error, b"event: error\n" + error)))
    elif at == len(blocks):
        blocks.append(b"data: [DONE]\n\n")
    elif change == 1:
        del blocks[at]
    elif change == 2:
        blocks.insert(at, blocks[at])
    elif change == 3:
        del blocks[at:]
    elif change == 4:
        chance.shuffle(blocks)
    else:
        blocks[at] = disturbed_bytes(chance, blocks[at])


def error_body(chance: random.Random, mark: str) -> bytes:
    """An upstream's error, in one of the shapes that providers have."""
    said = f"{mark} of vendor failed for org-ABCDEFGH1234 with sk-upstream-secret-1234567890"
    shapes: tuple[Any, ...] = (
        {"error": {"message": said, "type": "invalid_request_error", "code": None, "param": None}},
        {"type": "error", "error": {"type": "overloaded_error", "message": said}, "request_id": "r"},
        [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}],
        {"object": "error", "message": said, "type": "BadRequestError", "code": 400},
        {"detail": [{"loc": ["body"], "msg": said}]},
        {"detail": said},
        {"message": said},
        {"error": said},
        {"id": "1", "errors": [{"message": said}]},
    )
    shape = chance.choice(shapes)
    choice = chance.random()
    if choice < 0.15:
        return b"<html><body>" + said.encode() + b"</body></html>"
    return disturbed(chance, shape) if choice < 0.4 else dumps(shape)


def _on_the_wire(chance: random.Random, status: int, content_type: bytes, body: bytes, right: bool) -> Answer:
    lines = [b"HTTP/1.1 %d Odd" % status]
    if content_type:
        lines.append(b"content-type: " + content_type)
    odd = not right and chance.random() < 0.2
    if odd and chance.random() < 0.3:
        lines.append(b"content-encoding: gzip")
    if chance.random() < 0.1:
        lines.append(
            chance.choice((b"retry-after: 1", b"retry-after: soon", b"retry-after-ms: 10", b"retry-after: 1e400"))
        )
    ending: Ending = "keep"
    if chance.random() < 0.5:
        length = len(body) + (chance.choice((-1, 1, 50)) if odd else 0)
        lines.append(b"content-length: %d" % max(length, 0))
        sent = body
    elif chance.random() < 0.9:
        lines.append(b"transfer-encoding: chunked")
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(chance, body)) + b"0\r\n\r\n"
    else:
        sent, ending = body, "close"
    data = b"\r\n".join(lines) + b"\r\n\r\n" + sent
    if odd:
        change = chance.randrange(5)
        if change == 0:
            data, ending = data[: chance.randrange(1, len(data))], chance.choice(("close", "reset", "stall"))
        elif change == 1:
            data += b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nextra"
        elif change == 2:
            data = disturbed_bytes(chance, data)
            ending = "close"
        else:
            ending = chance.choice(("close", "reset"))
    return Answer(cut(chance, data), ending, status, right)
