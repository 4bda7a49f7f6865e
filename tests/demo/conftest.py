"""A demo provider under uvicorn on a real socket, in a thread, for all tests of this folder.

It holds no assertion and no test data.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.demo import DemoSettings
from tests.demo_provider import worked_demo_app


class Watched:
    """An ASGI app that knows how many of its requests are running."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running = 0
        self._changed = threading.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = int(scope["type"] == "http")
        self._add(counted)
        try:
            await self._app(scope, receive, send)
        finally:
            self._add(-counted)

    def _add(self, count: int) -> None:
        with self._changed:
            self._running += count
            self._changed.notify_all()

    def falls_idle(self) -> bool:
        """Whether no request runs any more, now or within ten seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout=10)


@dataclass
class Provider:
    """A running demo provider and ways to talk to it."""

    port: int
    settings: DemoSettings
    app: Watched
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"authorization": f"Bearer {self.settings.api_key}"}
        self.http = httpx.Client(base_url=self.base_url, headers=headers, timeout=10, trust_env=False)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json={"model": "demo-spark-2026-08-07", **body})

    def chat(self, text: str, **body: Any) -> httpx.Response:
        return self.post("/chat/completions", messages=[{"role": "user", "content": text}], **body)

    def events(self, text: str, **body: Any) -> list[Any]:
        """The payloads of a chat stream; `[DONE]` stays a text."""
        return events_of(self.chat(text, stream=True, **body).text)

    def open_chat(self, text: str, **body: Any) -> socket.socket:
        """A connection on which a chat request was sent and nothing read."""
        return self.open_post("/chat/completions", messages=[{"role": "user", "content": text}], **body)

    def open_post(self, path: str, **body: Any) -> socket.socket:
        """A connection on which a request was sent and nothing read."""
        content = json.dumps({"model": "demo-spark", **body}).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        head = (
            f"POST /v1{path} HTTP/1.1\r\nhost: demo\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.settings.api_key}\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        connection.sendall(head.encode() + content)
        return connection


def events_of(stream: str) -> list[Any]:
    """The payloads of a stream that is exactly one `data:` line and one blank line for each event."""
    assert stream.endswith("\n\n")
    lines = stream[:-2].split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def read_until(connection: socket.socket, mark: bytes, count: int) -> bytes:
    """Read until `mark` has come so many times; ends early where the connection does."""
    received = b""
    while received.count(mark) < count and (part := connection.recv(65536)):
        received += part
    return received


def is_silent(connection: socket.socket) -> bool:
    """Whether the connection stays open and brings nothing for a moment."""
    connection.settimeout(0.1)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    return False


def named_events(stream: str, end: str = "\n") -> list[tuple[str, Any]]:
    """The names and payloads of a stream whose events have both."""
    blank = end + end
    assert stream.endswith(blank)
    found = []
    for block in stream.removesuffix(blank).split(blank):
        name, data = block.split(end)
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        found.append((name[7:], data[6:] if data == "data: [DONE]" else json.loads(data[6:])))
    return found


@pytest.fixture(scope="session")
def sdk(provider: "Provider") -> Iterator[openai.OpenAI]:
    """OpenAI's own client on the provider."""
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.settings.api_key, max_retries=0) as client:
        yield client


@contextmanager
def serve(make: Callable[[DemoSettings], ASGIApp]) -> Iterator[Provider]:
    """A provider that does not wait before it responds."""
    settings = DemoSettings(first_token_delay=0, token_interval=0)
    app = Watched(make(settings))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    running = Provider(listener.getsockname()[1], settings, app)
    try:
        yield running
    finally:
        running.http.close()
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with serve(worked_demo_app) as running:
        yield running
