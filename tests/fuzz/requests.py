"""What a client of the fuzzer sends: requests to every inference endpoint, right or wrong in one place. Pure."""

import random
from dataclasses import dataclass
from typing import Any

from tests.fuzz.answers import Format
from tests.fuzz.values import cut, disturbed, disturbed_bytes, dumps

#: Path of each format. `{model}` is the alias.
PATHS: dict[Format, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
    "embeddings": "/v1/embeddings",
    "images": "/v1/images/generations",
    "audio": "/v1/audio/transcriptions",
    "speech": "/v1/audio/speech",
}
_BOUNDARY = b"fuzz-boundary"


@dataclass(frozen=True)
class Request:
    """A request in pieces, and what is known of it."""

    kind: Format
    pieces: list[bytes]
    stream: bool
    #: Nothing was made wrong.
    good: bool
    #: The client leaves after so many bytes of the answer; -1: it stays.
    leaves_at: int


def request(chance: random.Random, alias: str, secret: str) -> Request:
    """A request with a good key."""
    kind: Format = chance.choice(tuple(PATHS))
    stream = chance.random() < 0.5 and kind != "embeddings"
    good = chance.random() < 0.6
    path = PATHS[kind].replace("{model}", alias)
    if kind == "gemini" and stream:
        path = path.replace(":generate", ":streamGenerate") + chance.choice(("?alt=sse", ""))
    headers = [b"host: gateway", b"authorization: Bearer " + secret.encode()]
    if kind == "audio":
        body = _form(chance, alias, stream, good)
        headers.append(b'content-type: multipart/form-data; boundary="' + _BOUNDARY + b'"')
    else:
        value = body_of(chance, kind, alias, stream)
        body = dumps(value) if good else disturbed(chance, value)
        headers.append(b"content-type: application/json")
    if not good and chance.random() < 0.2:
        headers.append(
            chance.choice((b"x-api-key: ", b"session_id: 1", b"x-stainless-read-timeout: 0.5", b"expect: 100-continue"))
        )
    if chance.random() < 0.2:
        headers.append(b"transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(chance, body)) + b"0\r\n\r\n"
    else:
        headers.append(b"content-length: %d" % len(body))
    data = b"POST " + path.encode() + b" HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body
    leaves_at = chance.choice((0, 1, 100, 400)) if chance.random() < 0.1 else -1
    return Request(kind, cut(chance, data), stream, good, leaves_at)


def body_of(chance: random.Random, kind: Format, alias: str, stream: bool) -> dict[str, Any]:
    """A JSON body."""
    said = chance.choice(("hello", "ü\u2028", "data: [DONE]\n\n", '"model":"x"', "x" * 20_000))
    more: dict[str, Any] = {"stream": True} if stream and kind != "gemini" else {}
    if kind == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": said}]}], "generationConfig": {"maxOutputTokens": 9}}
    if stream and kind in ("chat", "completions") and chance.random() < 0.5:
        more["stream_options"] = {"include_usage": chance.random() < 0.5}
    if chance.random() < 0.1:
        more["n"] = chance.choice((1, 2, 3))
    if kind in ("chat", "messages"):
        return {"model": alias, "max_tokens": 9, "messages": [{"role": "user", "content": said}], **more}
    name = {"completions": "prompt", "images": "prompt"}.get(kind, "input")
    return {"model": alias, name: said, **more}


def _form(chance: random.Random, alias: str, stream: bool, good: bool) -> bytes:
    parts = [
        (b'form-data; name="model"', alias.encode()),
        (b'form-data; name="file"; filename="a.wav"', b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(60)),
        (b'form-data; name="response_format"', chance.choice((b"json", b"text", b"srt", b"verbose_json"))),
    ]
    if stream:
        parts.append((b'form-data; name="stream"', b"true"))
    chance.shuffle(parts)
    if not good and chance.random() < 0.5:
        parts.append(chance.choice(parts))
    body = b"".join(
        b"--%b\r\ncontent-disposition: %b\r\n\r\n%b\r\n" % (_BOUNDARY, disposition, content)
        for disposition, content in parts
    )
    body += b"--" + _BOUNDARY + b"--\r\n"
    return body if good or chance.random() < 0.3 else disturbed_bytes(chance, body)
