"""A whole gateway without sockets, in which an upstream can be cut at any byte: thousands of times a second.

Nothing is replaced but the sockets: the guard, the endpoint, the relay, the connection and its parser are those that
serve.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from benchmarks.rig import FakeTransport
from proxy.app import Gateway
from proxy.config.tree import Config, Model, Server, Upstream
from proxy.ledger.record import Record, UsageRecord
from proxy.server.context import ServerContext
from proxy.server.protocol import GuardedProtocol
from proxy.upstream.connection import Connection
from tests.corpus import Exchange
from tests.corpus.test_dialects import request_of
from tests.cuts.judge import Outcome
from tests.fakes import LAST_CHUNK, chunk
from tests.serving import ALIAS, KEY, PRICE, UPSTREAM_MODEL, on_each_record

#: How the HTTP body ends at the cut. Of `last chunk` and `end` HTTP itself says that it is whole.
Ending = Literal["closed", "reset", "last chunk", "end", "short"]
KEPT: tuple[Ending, ...] = ("last chunk", "end")
BROKEN: tuple[Ending, ...] = ("closed", "reset", "short")
_KINDS = {"openai": "compatible", "anthropic": "anthropic", "gemini": "gemini"}


def head_of(recording: Exchange, ending: Ending) -> bytes:
    """The head of the upstream's answer."""
    framing = {
        "end": "connection: close",
        "short": f"content-length: {len(recording.response) + 1}",
    }.get(ending, "transfer-encoding: chunked")
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n\r\n".encode()


def request_bytes(recording: Exchange) -> bytes:
    """The recorded request as a client makes it of the gateway."""
    if recording.dialect == "openai-chat":
        # Who asked for usage gets every event, so that they can be compared.
        options = {"model": ALIAS, "stream": True, "stream_options": {"include_usage": True}}
        path, request = "/v1/chat/completions", {**recording.request_json, **options}
    else:
        path, request = request_of(recording)
    body = json.dumps(request).encode()
    lines = f"POST {path} HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {KEY}\r\n"
    lines += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return lines.encode() + body


def config_of(folder: Path, base_url: str) -> Config:
    """A gateway whose one alias is served in every dialect."""
    return Config(
        server=Server(data_dir=str(folder), port=0, log_format="json"),
        upstreams={
            name: Upstream(kind=kind, base_url=base_url, api_key="sk-upstream-secret", warm_connections=0)  # type: ignore[arg-type]
            for name, kind in _KINDS.items()
        },
        # Translated, a response that is cut would be asked for again at a target of another format.
        models={
            ALIAS: Model(
                capability="chat",
                targets=[f"{name}/{UPSTREAM_MODEL}" for name in _KINDS],
                price=PRICE,
                translate="off",
            )
        },
    )


def pool_of(recording: Exchange) -> str:
    """The name of the upstream that answers in a recording's dialect."""
    return recording.dialect if recording.dialect in _KINDS else "openai"


def body_of(data: bytes) -> tuple[int, bytes, bool]:
    """The status, the body and whether it is whole, of what was written to a client. Raises AssertionError."""
    head, _, rest = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head else 0
    if b"transfer-encoding: chunked" not in head:
        return status, rest, True
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        body += rest[:count]
        assert rest[count : count + 2] == b"\r\n", "a chunk that does not end where it says"
        rest = rest[count + 2 :]
        if count == 0:
            assert rest == b"", "bytes behind the last chunk"
            return status, bytes(body), True
    return status, bytes(body), False


class Wire(FakeTransport):
    """Keeps what is written, and can be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.data += part

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class CutRig:
    """One gateway; each `cut` is one request whose answer is cut."""

    def __init__(self, gateway: Gateway, server: Server) -> None:
        self._gateway = gateway
        self._context = ServerContext(gateway.app, server)
        self._outcomes: list[str] = []

        def remember(record: Record) -> None:
            if isinstance(record, UsageRecord):
                self._outcomes.append(record.outcome)
            # Nobody stores them: the loop never gets to it.
            for name, length in journal.positions().items():
                journal.acknowledge(name, length)

        journal = gateway.ledger.journal
        on_each_record(journal, remember)

    def cut(self, recording: Exchange, request: bytes, at: int, ending: Ending) -> Outcome:
        """Ask, and answer with the recording's first `at` bytes and this ending."""
        self._outcomes.clear()
        pool = self._gateway.pools[pool_of(recording)]
        client_wire, upstream_wire = Wire(), Wire()
        client = GuardedProtocol(self._context)
        client.connection_made(client_wire)  # type: ignore[arg-type]
        upstream = Connection(pool)
        upstream.connection_made(upstream_wire)  # type: ignore[arg-type]
        pool.released(upstream)
        client.data_received(request)
        part = recording.response[:at]
        framed = part if ending in ("end", "short") or not part else chunk(part).data
        upstream.data_received(head_of(recording, ending) + framed)
        if ending == "last chunk":
            upstream.data_received(LAST_CHUNK)
        elif not upstream_wire.closed and ending != "reset":
            upstream.eof_received()
        upstream.connection_lost(ConnectionResetError() if ending == "reset" else None)
        client.connection_lost(None)
        status, payload, clean = body_of(bytes(client_wire.data))
        return Outcome(status, payload, clean, tuple(self._outcomes))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[CutRig]:
    """A rig on the running loop."""
    config = config_of(folder, "http://127.0.0.1:9")
    gateway = Gateway(config, io.StringIO())
    await gateway.start()
    try:
        gateway.keys.remember("cuts", KEY)
        yield CutRig(gateway, config.server)
        await asyncio.sleep(0)
    finally:
        await gateway.stop()
