"""A whole gateway for tests: real listener, real sockets, a thread and an event loop of its own.

What a test sees of it is what a client sees, and the rows it settled; `call` runs something inside its loop.
"""

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import pytest
import uvloop

from proxy.app import Gateway
from proxy.config.changes import Changes
from proxy.config.tree import Config, Model, Price, Server, Upstream
from proxy.exchange import exchange
from proxy.ledger.journal import Journal
from proxy.ledger.record import Record, UsageRecord
from proxy.policies import POLICIES
from proxy.policies.base import GatewayState, Policy
from proxy.server.listener import Listener, OtherAddress, bind
from tests.fakes import RawClient

T = TypeVar("T")

ALIAS = "prometheus-core"
#: The tests run against the compiled wheel, none of whose methods can be replaced.
COMPILED = not exchange.__file__.endswith(".py")
needs_patching = pytest.mark.skipif(COMPILED, reason="compiled code cannot be patched")
UPSTREAM_MODEL = "vendor-model-2026-08-07"
KEY = "prom_sk_test_key_that_is_long_enough_for_everybody"
PRICE = Price(input=Decimal("1.10"), output=Decimal("4.40"))


def simple_config(
    data_dir: Path,
    *base_urls: str,
    server: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Config:
    """One alias over one upstream for each base URL, in the order of fallback; the mappings change their settings."""
    names = [f"vendor{number}" for number in range(1, len(base_urls) + 1)]
    settings: dict[str, Any] = {"api_key": "sk-upstream-secret", "warm_connections": 0, **(upstream or {})}
    return Config(
        server=Server(data_dir=str(data_dir), **{"port": 0, "log_format": "json", **(server or {})}),
        upstreams={name: Upstream(base_url=url, **settings) for name, url in zip(names, base_urls, strict=True)},
        models={
            ALIAS: Model(
                **{
                    "capability": "chat",
                    "targets": [f"{name}/{UPSTREAM_MODEL}" for name in names],
                    "price": PRICE,
                    **(model or {}),
                }
            )
        },
    )


def idle_gateway() -> Gateway:
    """A gateway that was never started; it opens no store."""
    return Gateway(simple_config(Path("unused"), "http://127.0.0.1:9"), io.StringIO())


def idle_state() -> GatewayState:
    """What such a gateway gives its policies."""
    return idle_gateway().admission.state


def on_each_record(journal: Journal, callback: Callable[[Record], None]) -> None:
    """Call back with each record when it is written. Where the journal is compiled its methods cannot be replaced."""
    encode = journal._encode

    def encode_and_call_back(record: Record) -> bytes:
        callback(record)
        return encode(record)

    journal._encode = encode_and_call_back


def finals_of(journal: Journal) -> dict[str, UsageRecord]:
    """The settled requests by id, from now on and as they are written. A second bill for one raises AssertionError."""
    finals: dict[str, UsageRecord] = {}

    def remember(record: Record) -> None:
        if isinstance(record, UsageRecord):
            assert record.id not in finals, "a second bill for one request"
            finals[record.id] = record

    on_each_record(journal, remember)
    return finals


class RunningGateway:
    """Starts on entering, with one key that may use everything; stops, and has stored all rows, on leaving."""

    def __init__(
        self,
        config: Config,
        *policies: Callable[[GatewayState], Policy],
        admin_socket: socket.socket | None = None,
    ) -> None:
        """Serves by a configuration, and by these policies behind the gateway's own; its admin API at a socket of its
        own, if there is one."""
        self.config = config
        self._admin_socket = admin_socket
        self._admin: OtherAddress | None = None
        self.log = io.StringIO()
        self.gateway = Gateway(config, self.log, (*POLICIES, *policies))
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the gateway did not come up"
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def begin_stop(self, *, notice: bool = False) -> None:
        """Stop it as a signal does, and do not wait for it; a second call ends it at once."""
        assert self._listener is not None
        assert self._loop is not None
        listener = self._listener
        self._loop.call_soon_threadsafe(lambda: listener.stop(self.gateway.notice if notice else 0.0))

    def stop(self) -> None:
        """Stop it as Ctrl-C does, if that has not begun."""
        if self._listener is not None and self._loop is not None and self._thread.is_alive():
            self._listener.should_exit = True
            self._thread.join(20)
            assert not self._thread.is_alive(), "the gateway did not stop"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        assert self._listener is not None
        return len(self._listener.server_state.connections)

    @property
    def base_url(self) -> str:
        """What an SDK takes."""
        return f"{self.url}/v1"

    def client(self, seconds: float = 10.0) -> RawClient:
        """A raw client connection."""
        return RawClient("127.0.0.1", self.port, seconds=seconds)

    def chat(self, client: RawClient, body: Mapping[str, Any] | bytes, key: str = KEY) -> None:
        """Send a chat request on a raw connection."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        client.request("POST", "/v1/chat/completions", data, headers)

    def call(self, work: Callable[[Gateway], T]) -> T:
        """Run a function inside the gateway's loop and give its result."""

        async def run() -> T:
            return work(self.gateway)

        return self.wait_for(run())

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine inside the gateway's loop and give its result."""
        assert self._loop is not None
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(20)

    def reload(self, config: Config) -> Changes:
        """Serve by another configuration from now on."""

        async def take() -> Changes:
            changes = await self.gateway.reload(config)
            assert self._listener is not None
            self._listener.reconfigure(self.gateway.config.server)
            return changes

        return self.wait_for(take())

    def add_key(self, name: str, secret: str, models: list[str] | None = None) -> None:
        """A further key."""
        self.call(lambda gateway: gateway.keys.remember(name, secret, models))

    def rows(self) -> list[UsageRecord]:
        """All rows settled so far, oldest first."""

        async def read() -> list[UsageRecord]:
            await self.gateway.ledger.flush()
            return [row async for row in self.gateway.ledger.reports.export()]

        return self.wait_for(read())

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 (raised in the test's thread)
            self._failure = failure
        finally:
            self._ready.set()

    def _drain(self) -> None:
        if self._admin is not None:
            self._admin.close()
        self.gateway.drain()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        listening = bind("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        try:
            await self.gateway.start()
            self.gateway.keys.remember("test", KEY)
            assert self.gateway.app is not None
            self._listener = Listener(
                self.gateway.app,
                self.config.server,
                self._ready.set,
                draining=self._drain,
                interrupt=self.gateway.interrupt,
                shedding=self.gateway.pressure,
            )
            if self._admin_socket is not None:
                self._admin = OtherAddress(self._admin_socket, self.gateway.admin_app, self._listener)
                await self._admin.serve()
            await self._listener.serve(sockets=[listening])
        finally:
            await self.gateway.stop()
            listening.close()
