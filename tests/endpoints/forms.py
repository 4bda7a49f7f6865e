"""What the tests of audio and images share: forms, a short audio file, gateways with one alias, ways to ask.

No expectation of a test stands here.
"""

import io
import json
import struct
import wave
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from proxy.config.tree import Price
from proxy.ledger.record import UsageRecord
from tests.fakes import Body, Head, RawClient, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

TRANSCRIPTIONS = "/v1/audio/transcriptions"
B = b"b0undary"
FORM = f"multipart/form-data; boundary={B.decode()}"
END = b"--" + B + b"--\r\n"
MINUTE = Price(minute=Decimal("0.006"))
#: What the file of `wav` costs at that price, in nano-dollars.
COST = 250_000


def wav(seconds: float = 2.5) -> bytes:
    """A silent WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8000)
        writer.writeframes(b"\x80" * int(8000 * seconds))
    return out.getvalue()


def flac(samples: int, rate: int) -> bytes:
    """The head of a FLAC file."""
    block = struct.pack(">HH", 4096, 4096) + bytes(6)
    block += ((rate << 44) | (0 << 41) | (15 << 36) | samples).to_bytes(8, "big") + bytes(16)
    return b"fLaC" + b"\x80" + len(block).to_bytes(3, "big") + block


def field(name: str, value: str) -> bytes:
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (B, name.encode(), value.encode())


def file(content: bytes, name: str = "file") -> bytes:
    lines = b'Content-Disposition: form-data; name="%b"; filename="a"\r\nContent-Type: audio/wav' % name.encode()
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (B, lines, content)


def form(*fields: bytes, model: str = ALIAS, content: bytes | None = None) -> bytes:
    """A form with its file first, as the documents show it."""
    return file(wav() if content is None else content) + field("model", model) + b"".join(fields) + END


@contextmanager
def serving(
    folder: Path,
    *,
    capability: str = "audio",
    price: Price | None = MINUTE,
    upstreams: int = 1,
    server: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Any] | None = None,
    socket_buffer: int | None = None,
) -> Iterator[tuple[RunningGateway, list[ScriptedUpstream]]]:
    """A gateway with one alias over scripted upstreams, in the order of fallback."""
    with ExitStack() as stack:
        made = [stack.enter_context(ScriptedUpstream(socket_buffer=socket_buffer)) for _ in range(upstreams)]
        config = simple_config(
            folder,
            *(one.base_url for one in made),
            model={"capability": capability, "price": price},
            server=server,
            upstream=upstream,
        )
        yield stack.enter_context(RunningGateway(config)), made


def send_form(client: RawClient, body: bytes, path: str = TRANSCRIPTIONS, **headers: str) -> None:
    client.request("POST", path, body, {"authorization": f"Bearer {KEY}", "content-type": FORM, **headers})


def begin_form(client: RawClient, framing: str, path: str = TRANSCRIPTIONS) -> None:
    """Send a head alone; `framing` are its further lines."""
    lines = f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: {FORM}\r\n"
    client.send(f"{lines}{framing}\r\n\r\n".encode())


def ask(gateway: RunningGateway, body: bytes, path: str = TRANSCRIPTIONS, **headers: str) -> tuple[Head, Body]:
    with gateway.client() as client:
        send_form(client, body, path, **headers)
        return client.read_answer()


def ask_json(gateway: RunningGateway, path: str, **fields: object) -> tuple[Head, Body]:
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, json.dumps({"model": ALIAS, **fields}).encode(), headers)
        return client.read_answer()


def only_row(gateway: RunningGateway) -> UsageRecord:
    (row,) = gateway.rows()
    return row


def plain(body: bytes, content_type: str = "text/plain; charset=utf-8") -> list[Step]:
    """A whole answer of some other type than JSON."""
    return json_answer(body, headers={"content-type": content_type})


def error_of(body: Body) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body.payload)["error"]
    return error
