"""Several workers under one supervisor: what each does in its process, and what the parent decides for them."""

import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from proxy.config.tree import Config, Server
from proxy.errors import GatewayError, StoreFailed
from proxy.ledger.ledger import open_reports, prepare
from proxy.limits.counters import SharedCounters
from proxy.observability.messages import configure_logging
from proxy.observability.metrics_memory import MetricsMemory
from proxy.process.channel import WorkerEnd
from proxy.process.control_socket import CLAIM_SECONDS, MAX_COMMAND_BYTES, ControlSocket
from proxy.process.group_reload import APPLIED, REFRESH, RESPONSE, GroupReload, WorkerControl
from proxy.process.heartbeat import Heartbeat
from proxy.process.reload import RELOAD_COMMAND, ConfigSource, ReloadResult
from proxy.process.run import BuiltInProvider, ServedGateway, SharedMemory, print_shutdown, serve
from proxy.process.supervisor import HEARTBEAT_SECONDS, ChildProcess, Supervisor
from proxy.process.systemd import Notifier
from proxy.server.listener import InnerServer

#: Seconds for a command to the supervisor to be written, and its response to be read.
TRANSFER_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Worker:
    """One worker's process: a `GatewayHost` that follows the supervisor's messages."""

    def __init__(self, channel: socket.socket) -> None:
        self._main = asyncio.current_task()
        self._served: ServedGateway | None = None
        self._started = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel = WorkerEnd(channel, self._on_message, self._stop)
        self._control = WorkerControl(self._channel)
        self._heartbeat = Heartbeat(HEARTBEAT_SECONDS, self._send_heartbeat)

    async def started(self, served: ServedGateway) -> None:
        self._served = served
        served.gateway.admin.services.control = self._control
        self._started.set()

    def ready(self) -> None:
        self._channel.send("ready")

    def draining(self) -> None:
        """Nothing to do: the supervisor has sent `drain`."""

    def fail(self, error: GatewayError) -> None:
        """Report the reason for which it cannot serve."""
        self._channel.send("failed", str(error).replace("\n", "; ").encode())

    def close(self) -> None:
        """The gateway has stopped: release all else."""
        self._heartbeat.stop()
        self._channel.close()

    def _send_heartbeat(self) -> None:
        is_watched = self._served is not None and self._served.gateway.readiness.is_probed
        self._channel.send("heartbeat", b"watched" if is_watched else b"")

    def _on_message(self, word: str, payload: bytes) -> None:
        if word == "drain":
            running = self._served.gateway.overload.in_flight if self._served is not None else 0
            self._channel.send("running", str(running).encode())
            self._stop(float(payload))
        elif word == "end":
            self._stop()
        elif word == "reload":
            self._spawn(self._reload(payload))
        elif word == REFRESH:
            self._spawn(self._refresh())
        elif word == RESPONSE:
            self._control.respond(payload)
        elif word == "adopt":
            self._spawn(self._adopt(int(payload)))
        elif word == "release" and self._served is not None:
            self._served.listener.release(int(payload))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self, notice: float = 0.0) -> None:
        if self._served is not None:
            self._served.listener.stop(notice)
        elif self._main is not None:
            self._main.cancel()

    async def _reload(self, payload: bytes) -> None:
        await self._started.wait()
        assert self._served is not None
        try:
            await self._served.reload(msgspec.json.decode(payload, type=Config))
        except GatewayError as fault:
            # Whatever it is: a worker that reports nothing is killed.
            self._channel.send("result", str(fault).replace("\n", "; ").encode())
        else:
            self._channel.send("result", APPLIED)

    async def _refresh(self) -> None:
        await self._started.wait()
        assert self._served is not None
        try:
            await self._served.gateway.refresh()
        except GatewayError as fault:
            self._channel.send("result", fault.message.replace("\n", "; ").encode())
        else:
            self._channel.send("result", APPLIED)

    async def _adopt(self, number: int) -> None:
        await self._started.wait()
        assert self._served is not None
        await self._served.listener.adopt(number)


class SupervisedControl:
    """The control socket of a supervisor: it is polled by the supervisor's selector, and needs no event loop."""

    def __init__(
        self, supervisor: Supervisor, data_dir: Path, reload: Callable[[Callable[[ReloadResult], None]], None]
    ) -> None:
        """`reload` gives its result to the function that it is called with."""
        self._supervisor = supervisor
        self._control = ControlSocket(data_dir)
        self._reload = reload
        self._claim_at = 0.0
        #: The socket that the supervisor watches.
        self._listening: socket.socket | None = None

    def tick(self) -> None:
        """Claim the socket, or see that it is still there, if that is due."""
        now = time.monotonic()
        if now >= self._claim_at:
            self._claim_at = now + CLAIM_SECONDS
            # It may be closed by that.
            self._listen(None)
            self._control.keep_claimed()
            self._listen(self._control.socket)

    def close(self) -> None:
        """Give the socket up: another gateway may own it from now on."""
        self._listen(None)
        self._control.close()

    def _listen(self, listening: socket.socket | None) -> None:
        before, self._listening = self._listening, listening
        if before is not None:
            self._supervisor.unwatch(before)
        if listening is not None:
            self._supervisor.watch(listening, self._accept)

    def _accept(self) -> None:
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            connection.settimeout(TRANSFER_SECONDS)
            self._supervisor.watch(connection, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        self._supervisor.unwatch(connection)
        command = b""
        with contextlib.suppress(OSError):
            command = connection.recv(MAX_COMMAND_BYTES)
        if command.decode("ascii", "replace").strip() == RELOAD_COMMAND:
            self._reload(lambda result: _respond(connection, result))
        else:
            connection.close()


class WorkerGroup:
    """All workers of a gateway, seen from their parent: the `SupervisorDelegate`."""

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        own: bool,
        source: ConfigSource | None,
        notifier: Notifier,
        url: str,
        ready: Callable[[], None],
        provider: BuiltInProvider | None,
        admin_socket: socket.socket | None = None,
    ) -> None:
        """`own` says that there is a socket for each worker; else all serve at all sockets. `ready` prints the ready
        block. All serve the admin API at `admin_socket`, if it has one of its own."""
        self._sockets = sockets
        self._source = source
        self._notifier = notifier
        self._url = url
        self._print_ready = ready
        self._provider = provider
        count = config.server.workers
        workers = [
            ChildProcess(f"worker {number + 1}", self._main_of(number, own), number if own else None)
            for number in range(count)
        ]
        helper = ChildProcess("the demo's provider", self._provide, None) if provider is not None else None
        self._admin_socket = admin_socket
        closed = [*sockets, *([admin_socket] if admin_socket is not None else [])]
        self._supervisor = Supervisor(workers, helper, closed, self)
        #: Mapped before the fork, so that all workers have the same.
        self._shared = SharedMemory(SharedCounters(count), MetricsMemory(count))
        #: None once the shutdown has begun.
        self._control: SupervisedControl | None = None
        self._reloads = GroupReload(self._supervisor, config, source)

    @property
    def server(self) -> Server:
        return self._reloads.config.server

    def run(self) -> None:
        """Supervise until the shutdown is over. Raises GatewayError."""
        directory = Path(self.server.data_dir)
        prepare(directory)
        control = self._control = SupervisedControl(self._supervisor, directory, self._reloads.reload)
        control.tick()
        try:
            self._supervisor.run()
            asyncio.run(_store_rest(directory))
        finally:
            control.close()
            self._notifier.close()
            self._shared.counters.close()

    # what the supervisor calls

    def ready(self) -> None:
        self._print_ready()
        self._notifier.ready(self._url)

    def hang_up(self) -> None:
        if self._source is None:
            self._supervisor.stop()
            return
        self._notifier.reloading()
        self._reloads.reload(lambda _: self._notifier.ready(self._url))

    def exited(self, worker: int) -> None:
        self._shared.counters.forget(worker)

    def draining(self) -> None:
        self._notifier.stopping()
        if self._control is not None:
            self._control.close()
            self._control = None

    def waiting(self, running: int, *, again: bool) -> None:
        print_shutdown(running, self.server.shutdown_timeout, again=again, stream=sys.stderr)

    def requested(self, child: ChildProcess, word: str, payload: bytes) -> None:
        self._reloads.requested(child, word, payload)

    def tick(self) -> None:
        if self._notifier.watchdog:
            self._notifier.alive()
        if self._control is not None:
            self._control.tick()

    # in the child processes

    def _main_of(self, number: int, own: bool) -> Callable[[socket.socket], int]:
        def main(channel: socket.socket) -> int:
            self._become(f"worker {number + 1}")
            self._shared.counters.place = number
            mine = [self._sockets[number]] if own else list(self._sockets)
            key = self._provider.key if self._provider is not None else ""
            others = self._sockets if own else ()
            return uvloop.run(
                _serve_as_worker(self._reloads.config, mine, key, channel, others, self._shared, self._admin_socket)
            )

        return main

    def _provide(self, channel: socket.socket) -> int:
        self._become("provider")
        assert self._provider is not None
        for sock in (*self._sockets, *([self._admin_socket] if self._admin_socket is not None else [])):
            sock.close()
        return uvloop.run(_provide(self._provider, channel))

    def _become(self, name: str) -> None:
        self._notifier.close()
        configure_logging(name, force=True)


async def _serve_as_worker(
    config: Config,
    sockets: Sequence[socket.socket],
    key: str,
    channel: socket.socket,
    all_sockets: Sequence[socket.socket],
    shared: SharedMemory,
    admin_socket: socket.socket | None,
) -> int:
    worker = Worker(channel)
    try:
        await serve(config, sockets, key, worker, all_sockets, shared, admin_socket)
    except GatewayError as error:
        worker.fail(error)
        return 1
    except asyncio.CancelledError:
        # Stopped before it served.
        return 0
    finally:
        worker.close()
    return 0


async def _provide(provider: BuiltInProvider, channel: socket.socket) -> int:
    """Serve the demo's provider, one for all workers."""
    server = InnerServer(provider.make_app())

    def stop(*_: object) -> None:
        server.should_exit = True

    end = WorkerEnd(channel, stop, stop)
    heartbeat = Heartbeat(HEARTBEAT_SECONDS, lambda: end.send("heartbeat"))
    end.send("ready")
    try:
        await server.serve(sockets=[provider.socket])
    finally:
        heartbeat.stop()
        end.close()
    return 0


async def _store_rest(directory: Path) -> None:
    """Store what the last workers left in their journals when they exited at the same moment."""
    try:
        async with open_reports(directory):
            pass
    except StoreFailed as error:
        _log.error("the journal was not stored to its end; the next start does so: %s", error.message)


def _respond(connection: socket.socket, result: ReloadResult) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(msgspec.json.encode(result))
