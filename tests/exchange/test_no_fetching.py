"""URLs in a request, or in a provider's answer, are text: the gateway opens connections to its upstreams only."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import JSON_ANSWER, serving
from tests.fakes import head, json_answer
from tests.serving import ALIAS, KEY, RunningGateway


class Canary:
    """Listens, and never answers: whoever connects has followed a URL."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/canary"

    @property
    def visited(self) -> bool:
        try:
            self._listening.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def canary() -> Iterator[Canary]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield Canary(listening)


def test_a_canary_sees_a_visitor() -> None:
    with canary() as bird, socket.create_connection(("127.0.0.1", int(bird.url.split(":")[2].split("/")[0]))):
        assert bird.visited
        assert not bird.visited


def part_kinds(url: str) -> dict[str, dict[str, Any]]:
    """Every part of a message in which a URL may stand, and fields that other formats have."""
    return {
        "picture": {"type": "image_url", "image_url": {"url": url}},
        "picture's plain form": {"type": "input_image", "image_url": url},
        "file": {"type": "input_file", "file_url": url},
        "file's data": {"type": "file", "file": {"file_data": url, "filename": url}},
        "sound": {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
        "source": {"type": "image", "source": {"type": "url", "url": url}},
        "file of Google's": {"fileData": {"mimeType": "image/png", "fileUri": url}},
        "text": {"type": "text", "text": url},
    }


def ask(gateway: RunningGateway, body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> int:
    with gateway.client() as client:
        if isinstance(body, bytes):
            client.request("POST", "/v1/chat/completions", body, headers)
        else:
            gateway.chat(client, body)
        return client.read_answer()[0].status


@pytest.mark.parametrize("kind", part_kinds("").keys())
def test_a_url_in_a_message_is_passed_on_and_not_visited(tmp_path: Path, kind: str) -> None:
    with canary() as bird, serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        part = part_kinds(bird.url)[kind]
        tools = [{"type": "mcp", "server_url": bird.url}]
        body = {"model": ALIAS, "messages": [{"role": "user", "content": [part]}], "tools": tools, "webhook": bird.url}
        assert ask(gateway, body) == 200
        assert bird.url.encode() in upstream.requests[0].body
        assert not bird.visited


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_not_told(tmp_path: Path, status: int) -> None:
    with canary() as bird, serving(tmp_path) as (gateway, upstream):
        upstream.script([head(status, {"location": bird.url, "content-length": "0"})])
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": []})
            answer, body = client.read_answer()
        assert answer.status == 502
        assert answer.header("location") is None
        assert bird.url.encode() not in body.payload
        assert not bird.visited


@pytest.mark.parametrize("name", ["host", "x-forwarded-host", "x-forwarded-for", "forwarded", "x-original-url"])
def test_a_header_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with canary() as bird, serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        where = bird.url.removeprefix("http://").removesuffix("/canary")
        body = b'{"model":"%b","messages":[]}' % ALIAS.encode()
        assert ask(gateway, body, {**headers, name: where}) == 200
        assert not bird.visited
