"""The requests of a load, as bytes; each bears its number's mark. Pure."""

import json

from tests.load.answers import mark

BOUNDARY = "load-boundary"


def chat(alias: str, number: int, key: str, *, stream: bool) -> bytes:
    """A chat request."""
    text = f"{mark(number)} says hello"
    body = {"model": alias, "messages": [{"role": "user", "content": text}], **({"stream": True} if stream else {})}
    return post("/v1/chat/completions", key, "application/json", _json(body))


def embed(alias: str, number: int, key: str) -> bytes:
    """An embeddings request."""
    return post("/v1/embeddings", key, "application/json", _json({"model": alias, "input": mark(number)}))


def transcribe(alias: str, number: int, key: str, size: int) -> bytes:
    """A form with a file of so many bytes that no meter can measure; its mark comes before the file."""
    parts = [
        (f'name="prompt"\r\n\r\n{mark(number)}').encode(),
        (f'name="model"\r\n\r\n{alias}').encode(),
        b'name="file"; filename="a.bin"\r\ncontent-type: audio/mpeg\r\n\r\n' + b"\xf0" * size,
    ]
    lines = b"".join(b"--%b\r\ncontent-disposition: form-data; %b\r\n" % (BOUNDARY.encode(), part) for part in parts)
    body = lines + f"--{BOUNDARY}--\r\n".encode()
    return post("/v1/audio/transcriptions", key, f"multipart/form-data; boundary={BOUNDARY}", body)


def post(path: str, key: str, kind: str, body: bytes) -> bytes:
    """A POST of a body."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: gateway.test",
        f"authorization: Bearer {key}",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
