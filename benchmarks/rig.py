"""The real protocol, endpoint and relay of a gateway on fake transports: one request without the kernel.

Everything an exchange does happens inside `exchange`, in one turn of the loop: that is what `micro` times and the tests
count. It is no test double of the gateway: nothing in it is replaced but the sockets.
"""

import io
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from benchmarks.responses import chat_response
from proxy.app import Gateway
from proxy.config.tree import Budget, Config, Limits, Model, Price, Routing, Server, Upstream
from proxy.policies.budgets import BudgetPolicy
from proxy.server.context import ServerContext
from proxy.server.protocol import GuardedProtocol
from proxy.upstream.connection import Connection

KEY = "prom_sk_micro_key_that_is_long_enough_for_everybody"
#: What an alias adds to the upstream's name of a model: they must differ, so that it is really changed.
ALIAS_PREFIX = "alias-of-"
#: `[limits]` of a configuration.
AllLimits = dict[Literal["default", "global"], Limits]


class FakeTransport:
    """A transport that keeps what is written and is always open."""

    def __init__(self) -> None:
        #: Bytes so far, and the writes they came in.
        self.written = 0
        self.writes = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.written += len(data)
        self.last = data

    def writelines(self, parts: Any) -> None:
        self.writes += 1
        self.written += sum(map(len, parts))

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Rig:
    """One client connection and one upstream connection of a real gateway, both on fake transports."""

    def __init__(self, gateway: Gateway, server: Server) -> None:
        self.client_transport = FakeTransport()
        self.upstream_transport = FakeTransport()
        self._client = GuardedProtocol(ServerContext(gateway.app, server))
        self._client.connection_made(self.client_transport)  # type: ignore[arg-type]
        self._pool = gateway.pools["bench"]
        self._upstream = Connection(self._pool)
        self._upstream.connection_made(self.upstream_transport)  # type: ignore[arg-type]
        self._pool.released(self._upstream)

    def send_request(self, request: bytes) -> None:
        """Receive the client's request, and forward it."""
        self._client.data_received(request)

    def send_response(self, reads: Iterable[bytes]) -> None:
        """Receive the upstream's response in these reads, and forward it."""
        for data in reads:
            self._upstream.data_received(data)


async def _load_budgets(gateway: Gateway) -> None:
    now = time.time_ns() // 1_000
    for policy in gateway.admission._policies:
        if isinstance(policy, BudgetPolicy):
            for pot in policy._pots.of_file.values():
                await policy._loader.load(pot, now)


@asynccontextmanager
async def running_rig(
    folder: Path,
    models: Iterable[str],
    routing: Routing | None = None,
    limits: AllLimits | None = None,
    budgets: Mapping[str, Budget] | None = None,
) -> AsyncIterator[Rig]:
    """A rig for these models of the upstream, its gateway started and stopped.

    With `routing` there is a choice: between two keys of the upstream.
    """
    server = Server(data_dir=str(folder), log_format="json")
    price = Price(input=Decimal(1), output=Decimal(2))
    aliases = {
        ALIAS_PREFIX + name: Model(capability="chat", targets=[f"bench/{name}"], price=price, routing=routing)
        for name in models
    }
    keys = ["one", "two"] if routing is not None else ["none"]
    upstream = Upstream(base_url="http://127.0.0.1:9", api_keys=keys, warm_connections=0)
    upstreams = {"bench": upstream}
    config = Config(
        server=server, upstreams=upstreams, models=aliases, limits=limits or {}, budgets=dict(budgets or {})
    )
    gateway = Gateway(config, io.StringIO())
    await gateway.start()
    try:
        gateway.keys.remember("micro", KEY)
        if budgets:
            # What they have spent is read from the ledger beside the loop, where nothing here waits for it.
            await _load_budgets(gateway)
        yield Rig(gateway, server)
    finally:
        await gateway.stop()


def request(model: str, stream: bool) -> bytes:
    """A chat request of about a kilobyte, as the SDKs send it."""
    words = "tell me something about gateways " * 24
    body = f'{{"model":"{ALIAS_PREFIX}{model}","messages":[{{"role":"user","content":"{words}"}}]'
    body += f',"stream":{"true" if stream else "false"}}}'
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\naccept: application/json\r\n"
        f"user-agent: OpenAI/Python 2.0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def reads_of(model: str, stream: bool, whole: bool) -> tuple[bytes, ...]:
    """The upstream's response, in the pieces in which it would arrive."""
    pieces = chat_response(model, stream=stream, include_usage=stream).opening
    return (b"".join(pieces),) if whole else pieces
