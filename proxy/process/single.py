"""A gateway in a process of its own, without workers: its signals, its control socket, its ready block, its manager."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from proxy.config.tree import Config
from proxy.demo import DemoSettings, demo_app
from proxy.process.control_socket import ControlServer
from proxy.process.heartbeat import Heart
from proxy.process.reload import ORDER, Outcome, Reloader, Source, without_file
from proxy.process.run import Serving, serve, tell_end
from proxy.process.systemd import Notifier
from proxy.server.listener import InnerServer

_log = logging.getLogger(__name__)


class Alone:
    """See the module. A `Host`."""

    def __init__(self, source: Source | None, notifier: Notifier, url: str, ready: Callable[[], None]) -> None:
        """`ready` prints the ready block."""
        self._source = source
        self._notifier = notifier
        self._url = url
        self._tell_ready = ready
        self._main = asyncio.current_task()
        self._serving: Serving | None = None
        self._reloader: Reloader | None = None
        self._control: ControlServer | None = None
        self._heart: Heart | None = None
        loop = asyncio.get_running_loop()
        # From the first moment: as a container's first process it would not even be ended by them otherwise.
        loop.add_signal_handler(signal.SIGTERM, lambda: self._stop(notice=True))
        loop.add_signal_handler(signal.SIGINT, lambda: self._stop(notice=False))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    async def begin(self, serving: Serving) -> None:
        self._serving = serving
        if self._source is not None:
            self._reloader = Reloader(self._source, serving.reload)
        self._control = ControlServer(Path(serving.gateway.config.server.data_dir), self._order)

    def ready(self) -> None:
        self._tell_ready()
        self._notifier.ready(self._url)
        if self._notifier.watchdog:
            self._heart = Heart(self._notifier.watchdog, self._notifier.alive)

    def draining(self) -> None:
        self._notifier.stopping()
        if self._control is not None:
            # One that has been started in its place may be asked.
            self._control.stop()

    async def end(self) -> None:
        """Everything has ended but this."""
        if self._control is not None:
            await self._control.close()
        if self._heart is not None:
            self._heart.stop()
        self._notifier.close()

    def _stop(self, *, notice: bool) -> None:
        if self._serving is not None:
            gateway = self._serving.gateway
            if not gateway.readiness.draining:
                seconds = gateway.config.server.shutdown_timeout
                tell_end(gateway.overload.in_flight, seconds, again=not notice, stream=sys.stderr)
            self._serving.listener.stop(gateway.notice if notice else 0.0)
        elif self._main is not None:
            self._main.cancel()

    def _hang_up(self) -> None:
        if self._source is None:
            # A demo's terminal is gone.
            self._stop(notice=False)
        elif self._reloader is not None:
            self._notifier.reloading()
            self._reloader.signalled(lambda: self._notifier.ready(self._url))

    async def _order(self, order: str) -> bytes:
        if order != ORDER:
            return b'{"ok": false}'
        return msgspec.json.encode(await self._reload())

    async def _reload(self) -> Outcome:
        return without_file() if self._reloader is None else await self._reloader.reload()


async def serve_alone(
    config: Config,
    sockets: Sequence[socket.socket],
    source: Source | None,
    notifier: Notifier,
    url: str,
    ready: Callable[[], None],
    demo: tuple[socket.socket, DemoSettings, str] | None,
) -> None:
    """Run the gateway to its end; for the demo beside its provider, on a socket, with the key that may use it."""
    host = Alone(source, notifier, url, ready)
    provider: InnerServer | None = None
    providing: asyncio.Task[None] | None = None
    if demo is not None:
        provider = InnerServer(demo_app(demo[1]))
        providing = asyncio.create_task(provider.serve(sockets=[demo[0]]), name="demo-provider")
    try:
        with contextlib.suppress(asyncio.CancelledError):
            # Cancelled by a signal before it served: that is an end like any other.
            await serve(config, sockets, demo[2] if demo is not None else "", host)
    finally:
        await host.end()
        if provider is not None and providing is not None:
            provider.should_exit = True
            await providing
