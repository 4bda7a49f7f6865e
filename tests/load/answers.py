"""What the misbehaving upstream answers, as bytes; each answer names the request that it is for. Pure.

The usage follows from the request's number, so that a bill can be checked without the upstream's word for it.
"""

import functools
import json
import re
from typing import NamedTuple

#: A request's mark: its own answer holds it, and no other answer may.
MARK = re.compile(rb"nonce-(\d{8})")
#: A mark that no request has.
FOREIGN = 99_999_999
MODEL = "vendor-model-2026"


class Tokens(NamedTuple):
    """What an answer reports."""

    input: int
    output: int


def mark(number: int) -> str:
    """The mark of a request."""
    return f"nonce-{number:08d}"


def tokens(number: int) -> Tokens:
    """The usage of a request, unlike that of its neighbours."""
    return Tokens(100 + number % 997, 1 + number % 89)


def usage(number: int) -> dict[str, int]:
    """The usage object of an answer."""
    given, produced = tokens(number)
    return {"prompt_tokens": given, "completion_tokens": produced, "total_tokens": given + produced}


def head(status: int, kind: str, length: int | None, *lines: str) -> bytes:
    """The head of an answer, chunked where no length is given."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    first = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}"
    return "\r\n".join([first, f"content-type: {kind}", framing, *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
EVENTS = "text/event-stream"
JSON = "application/json"


def chat(number: int, text: str = "") -> bytes:
    """The body of a chat answer."""
    return _filled(_chat_template(), number).replace(b"@text", text.encode())


@functools.cache
def _chat_template() -> bytes:
    message = {"role": "assistant", "content": "nonce-@number @text"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return _json(id="chatcmpl-nonce-@number", object="chat.completion", model=MODEL, choices=choices, usage="@usage")


def embeddings(number: int) -> bytes:
    """The body of an embeddings answer, which has input tokens only."""
    given = tokens(number).input
    return _json(
        object="list",
        model=MODEL,
        data=[{"object": "embedding", "index": 0, "embedding": [0.5, 0.25], "note": mark(number)}],
        usage={"prompt_tokens": given, "total_tokens": given},
    )


def transcript(number: int) -> bytes:
    """The body of a transcription, billed by its tokens."""
    given, produced = tokens(number)
    counted = {"type": "tokens", "input_tokens": given, "output_tokens": produced, "total_tokens": given + produced}
    return _json(text=mark(number), usage=counted)


def error(number: int) -> bytes:
    """The body of a failure."""
    return _json(error={"message": f"failed {mark(number)}", "type": "server_error", "code": None})


def event(number: int, text: str) -> bytes:
    """One event of a stream, with some text."""
    return _event(f"{number:08d}", choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


def stream_events(number: int, words: int = 3) -> list[bytes]:
    """The events of a whole stream, usage and end included."""
    return [_filled(one, number) for one in _stream_template(words)]


@functools.cache
def _stream_template(words: int) -> tuple[bytes, ...]:
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *[{"content": "nonce-@number "}] * words, {}]
    ends = [None] * (words + 1) + ["stop"]
    pieces = [[{"index": 0, "delta": delta, "finish_reason": end}] for delta, end in zip(deltas, ends, strict=True)]
    events = [_event("@number", choices=piece) for piece in pieces]
    return (*events, _event("@number", choices=[], usage="@usage"), b"data: [DONE]\n\n")


def _filled(template: bytes, number: int) -> bytes:
    """A template with the number and its usage in their places."""
    return template.replace(b"@number", b"%08d" % number).replace(b'"@usage"', _json(**usage(number)))


def _event(number: str, **fields: object) -> bytes:
    return b"data: " + _json(id=f"c-nonce-{number}", object="chat.completion.chunk", model=MODEL, **fields) + b"\n\n"


def _json(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def shown(alias: str, number: int, *, stream: bool, words: int = 3, text: str = "") -> bytes:
    """The body of a good answer as a client that did not ask for usage gets it."""
    if not stream:
        return chat(number, text).replace(MODEL.encode(), alias.encode())
    *events, _usage, done = stream_events(number, words)
    return b"".join([*events, done]).replace(MODEL.encode(), alias.encode())
