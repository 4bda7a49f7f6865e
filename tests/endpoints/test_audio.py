"""The audio endpoints on real sockets: forms that pass, answers that are no JSON, and bills by the minute."""

import io
import json
import threading
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Price
from proxy.endpoints.table import MAX_AUDIO
from proxy.ledger.record import Final
from tests.fakes import (
    LAST_CHUNK,
    Body,
    Close,
    Hang,
    Head,
    RawClient,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

TRANSCRIPTIONS = "/v1/audio/transcriptions"
SPEECH = "/v1/audio/speech"
B = b"b0undary"
MINUTE = Price(minute=Decimal("0.006"))
#: What 2.5 seconds cost at that price, in nano-dollars.
COST = 250_000


def wav(seconds: float = 2.5) -> bytes:
    """A silent WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * int(8000 * seconds))
    return out.getvalue()


def field(name: str, value: str) -> bytes:
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (B, name.encode(), value.encode())


def file(content: bytes) -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' % B
    return head + content + b"\r\n"


END = b"--" + B + b"--\r\n"
FORM = f"multipart/form-data; boundary={B.decode()}"


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
    socket_buffer: int | None = None,
) -> Iterator[tuple[RunningGateway, list[ScriptedUpstream]]]:
    made = [ScriptedUpstream(socket_buffer=socket_buffer) for _ in range(upstreams)]
    for upstream in made:
        upstream.__enter__()
    config = simple_config(
        folder,
        *(upstream.base_url for upstream in made),
        model={"capability": capability, "price": price},
        server=server,
    )
    try:
        with RunningGateway(config) as gateway:
            yield gateway, made
    finally:
        for upstream in made:
            upstream.__exit__(None)


def send_form(client: RawClient, body: bytes, path: str = TRANSCRIPTIONS, **headers: str) -> None:
    client.request("POST", path, body, {"authorization": f"Bearer {KEY}", "content-type": FORM, **headers})


def ask(gateway: RunningGateway, body: bytes, path: str = TRANSCRIPTIONS, **headers: str) -> tuple[Head, Body]:
    with gateway.client() as client:
        send_form(client, body, path, **headers)
        return client.read_answer()


def speak(gateway: RunningGateway, **fields: object) -> tuple[Head, Body]:
    body = json.dumps({"model": ALIAS, "input": "Hello, world", "voice": "alloy", **fields}).encode()
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", SPEECH, body, headers)
        return client.read_answer()


def only_row(gateway: RunningGateway) -> Final:
    (row,) = gateway.rows()
    return row


def text(body: bytes, content_type: str = "text/plain; charset=utf-8", status: int = 200) -> list[Step]:
    return json_answer(body, status, {"content-type": content_type})


def error_of(body: Body) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body.payload)["error"]
    return error


# the way up


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations"])
@pytest.mark.parametrize("first", ["file", "model"])
def test_a_form_arrives_with_its_model_replaced_and_nothing_else(tmp_path: Path, path: str, first: str) -> None:
    parts = [file(wav()), field("model", ALIAS)]
    body = b"".join(parts if first == "file" else parts[::-1]) + field("language", "en") + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        answer, _ = ask(gateway, body, path)
        assert answer.status == 200
        (request,) = upstream.requests
        assert request.target == path.removeprefix("/v1")
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert request.header("content-length") == str(len(request.body))
        assert request.header("content-type") == FORM
        assert request.header("authorization") == "Bearer sk-upstream-secret"


def test_a_form_without_a_length_goes_on_in_chunks(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer({"text": "hi"}))
        with gateway.client() as client:
            lines = (
                f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
                f"content-type: {FORM}\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            client.send(lines.encode() + chunk(body[:300]).data)
            (request,) = upstream.wait_for_requests(1)
            client.send(chunk(body[300:]).data + LAST_CHUNK)
            assert client.read_answer()[0].status == 200
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert request.header("transfer-encoding") == "chunked"
        assert request.header("content-length") is None


def test_a_form_goes_on_while_it_arrives(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer({"text": "hi"}))
        with gateway.client() as client:
            head_size = len(body) - 5
            lines = (
                f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
                f"content-type: {FORM}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            client.send(lines.encode() + body[:head_size])
            (request,) = upstream.wait_for_requests(1)
            assert not request.received.is_set()
            client.send(body[head_size:])
            assert client.read_answer()[0].status == 200


def test_a_client_that_waits_to_be_told_is_told_to_go_on(tmp_path: Path) -> None:
    body = form()
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer({"text": "hi"}))
        with gateway.client() as client:
            lines = (
                f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
                f"content-type: {FORM}\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
            )
            client.send(lines.encode())
            assert client.read_head().status == 100
            client.send(body)
            assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.header("expect") is None


def test_a_client_that_leaves_in_the_middle_of_its_upload_cancels_upstream(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script([Hang()])
        with gateway.client() as client:
            lines = (
                f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
                f"content-type: {FORM}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            client.send(lines.encode() + body[:-5])
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        row = only_row(gateway)
        assert (row.outcome, row.cost, row.usage_source) == ("client_closed", None, "none")
        assert gateway.call(lambda inner: [pool.size for pool in inner.pools.values()]) == [0]
