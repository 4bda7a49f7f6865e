"""A gateway in a single process, without workers: its signals, its control socket and its service manager."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from proxy.admin.services import Control
from proxy.config.tree import Config
from proxy.process.control_socket import ControlServer
from proxy.process.heartbeat import Heartbeat
from proxy.process.reload import RELOAD_COMMAND, ConfigSource, Reloader, ReloadResult, as_data, no_file_result
from proxy.process.run import BuiltInProvider, ServedGateway, print_shutdown, serve
from proxy.process.systemd import Notifier
from proxy.server.listener import InnerServer


class SingleProcess:
    """The `GatewayHost` of a gateway without workers."""

    def __init__(self, source: ConfigSource | None, notifier: Notifier, url: str, ready: Callable[[], None]) -> None:
        """`ready` prints the ready block."""
        self._source = source
        self._notifier = notifier
        self._url = url
        self._print_ready = ready
        self._main = asyncio.current_task()
        self._served: ServedGateway | None = None
        self._reloader: Reloader | None = None
        self._control: ControlServer | None = None
        self._heartbeat: Heartbeat | None = None
        loop = asyncio.get_running_loop()
        # From the first moment: as a container's first process it would not even be ended by them otherwise.
        loop.add_signal_handler(signal.SIGTERM, lambda: self._stop(notice=True))
        loop.add_signal_handler(signal.SIGINT, lambda: self._stop(notice=False))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    async def started(self, served: ServedGateway) -> None:
        self._served = served
        if self._source is not None:
            self._reloader = Reloader(self._source, served.reload)
        served.gateway.admin.services.control = SingleControl(self._reload, served.gateway.refresh)
        self._control = ControlServer(Path(served.gateway.config.server.data_dir), self._handle_command)

    def ready(self) -> None:
        self._print_ready()
        self._notifier.ready(self._url)
        if self._notifier.watchdog:
            self._heartbeat = Heartbeat(self._notifier.watchdog, self._notifier.alive)

    def draining(self) -> None:
        self._notifier.stopping()
        if self._control is not None:
            # Another gateway that was started in place of this one may own the socket.
            self._control.stop()

    async def close(self) -> None:
        """The gateway has stopped: release all else."""
        if self._control is not None:
            await self._control.close()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._notifier.close()

    def _stop(self, *, notice: bool) -> None:
        if self._served is not None:
            gateway = self._served.gateway
            if not gateway.readiness.draining:
                seconds = gateway.config.server.shutdown_timeout
                print_shutdown(gateway.overload.in_flight, seconds, again=not notice, stream=sys.stderr)
            self._served.listener.stop(gateway.notice if notice else 0.0)
        elif self._main is not None:
            self._main.cancel()

    def _hang_up(self) -> None:
        if self._source is None:
            # A demo's terminal is gone.
            self._stop(notice=False)
        elif self._reloader is not None:
            self._notifier.reloading()
            self._reloader.reload_on_signal(lambda: self._notifier.ready(self._url))

    async def _handle_command(self, command: str) -> bytes:
        if command != RELOAD_COMMAND:
            return b'{"ok": false}'
        return msgspec.json.encode(await self._reload())

    async def _reload(self) -> ReloadResult:
        return no_file_result() if self._reloader is None else await self._reloader.reload()


class SingleControl(Control):
    """What the admin API may have this process do."""

    def __init__(self, reload: Callable[[], Awaitable[ReloadResult]], refresh: Callable[[], Awaitable[None]]) -> None:
        super().__init__(refresh)
        self._reload = reload

    async def reload(self) -> Mapping[str, Any]:
        return as_data(await self._reload())


async def serve_single(
    config: Config,
    sockets: Sequence[socket.socket],
    source: ConfigSource | None,
    notifier: Notifier,
    url: str,
    ready: Callable[[], None],
    provider: BuiltInProvider | None,
    admin_socket: socket.socket | None = None,
) -> None:
    """Run the gateway until it is stopped, beside the demo's provider if there is one."""
    host = SingleProcess(source, notifier, url, ready)
    server: InnerServer | None = None
    providing: asyncio.Task[None] | None = None
    if provider is not None:
        server = InnerServer(provider.make_app())
        providing = asyncio.create_task(server.serve(sockets=[provider.socket]), name="demo-provider")
    try:
        with contextlib.suppress(asyncio.CancelledError):
            # Cancelled by a signal before it served: that is a shutdown like any other.
            await serve(config, sockets, provider.key if provider is not None else "", host, (), None, admin_socket)
    finally:
        await host.close()
        if server is not None and providing is not None:
            server.should_exit = True
            await providing
