"""The listening sockets and the server on them: uvicorn's loop, our protocol and sweep, and a graceful shutdown."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from proxy.config.tree import Server
from proxy.errors import GatewayError
from proxy.server.context import FollowingContext, ServerContext
from proxy.server.load_shedding import SheddingState
from proxy.server.protocol import LINGER_SECONDS, GuardedProtocol, sweep
from proxy.server.sockets import tune

BACKLOG = 2048
#: Seconds of a tick of uvicorn's main loop, and ticks between two sweeps over the connections.
TICK_SECONDS = 0.1
SWEEP_TICKS = 5
#: Ticks that the last bytes of interrupted responses have to reach a client that reads slowly.
FLUSH_TICKS = 10
_HOST_ADVICE = "choose another --host: 127.0.0.1 for this machine alone, 0.0.0.0 for all its addresses"
_log = logging.getLogger(__name__)


class CannotListen(GatewayError):
    """The address cannot be bound."""

    code = "cannot_listen"


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound, listening socket; port 0 picks a free one. `shared` ones may have one address. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not a host name"
        raise CannotListen(f"cannot listen on {host}: {why}; {_HOST_ADVICE}") from error
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {_bind_error(error)}") from error
    tune(listening)
    return listening


def bind_text(text: str) -> socket.socket:
    """A bound, listening socket at HOST:PORT, [HOST]:PORT or unix:PATH. Raises `CannotListen`.

    A Unix socket is for its owner alone; the file of a process that has ended is replaced.
    """
    if not text.startswith("unix:"):
        host, _, port = text.rpartition(":")
        return bind(host.strip("[]"), int(port))
    path = text.removeprefix("unix:")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.connect(path)
            raise CannotListen(f"cannot listen on {text}: another process does; choose another path, or stop it")
        if os.path.exists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            listening.bind(path)
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotListen(f"cannot listen on {text}: {error.strerror or error}; choose another path") from error
    except CannotListen:
        listening.close()
        raise
    return listening


def _bind_error(error: OSError) -> str:
    """Why binding failed, and how to mend it."""
    # The library adds the address as a Python tuple to the system's own words.
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"{why}: this machine does not have that address; {_HOST_ADVICE}"
    if error.errno == errno.EACCES:
        return f"{why}: choose a --port from 1024 on, or let this user bind lower ones"
    if error.errno == errno.EADDRINUSE:
        return f"{why}; choose another --port (0 picks a free one), or stop what uses it"
    return f"{why}; choose another --host or --port"


def bind_each(host: str, port: int, count: int) -> list[socket.socket]:
    """A listening socket for each of `count` processes, all at one address; the kernel spreads connections over them.

    Where it would not, they share one. Raises `CannotListen`.
    """
    if count == 1 or sys.platform != "linux":
        return [bind(host, port)]
    if port:
        # Sockets that share an address do not mind others that share it too: another gateway must be noticed here.
        bind(host, port).close()
    first = bind(host, port, shared=True)
    return [first, *(bind(host, first.getsockname()[1], shared=True) for _ in range(count - 1))]


def address(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Listener(uvicorn.Server):
    """Serves an application on bound sockets until `stop` or `should_exit` (docs/shutdown.md)."""

    def __init__(
        self,
        app: Any,
        server: Server,
        ready: Callable[[], None],
        *,
        draining: Callable[[], None] = lambda: None,
        interrupt: Callable[[], None] = lambda: None,
        others: Sequence[socket.socket] = (),
        shedding: SheddingState | None = None,
    ) -> None:
        """`ready` is called once the sockets are served, and `shedding` says when to do less.

        `draining` is called when the shutdown begins, and `interrupt` when requests that still run must end. `others`
        are sockets of other processes, at which this one may have to serve too.
        """
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
            )
        )
        self.context = ServerContext(app, server, shedding, self.server_state)
        self._shedding = self.context.shedding
        self._shedding.pause = self._pause
        self._ready = ready
        self._draining = draining
        self._interrupt = interrupt
        self._others = others
        self._adopted: dict[int, asyncio.AbstractServer] = {}
        self._sockets: Sequence[socket.socket] = ()
        self._paused = False
        #: Loop times, once the shutdown has begun: when the sockets close, and when what still runs is ended.
        self._close_at: float | None = None
        self._end_at = 0.0

    def reconfigure(self, server: Server) -> None:
        """Apply other limits, to open connections too."""
        self.context.limits = server

    def stop(self, notice: float = 0.0) -> None:
        """Begin the shutdown; the sockets close after `notice` seconds. A second call ends what runs at once."""
        now = asyncio.get_running_loop().time()
        if self._close_at is not None:
            self._close_at = self._end_at = now
            return
        self._draining()
        self._close_at = now + notice
        self._end_at = now + max(self.context.limits.shutdown_timeout, notice)
        self.context.keeps_alive = False
        for connection in self._connections():
            connection.end_after_request()

    async def adopt(self, number: int) -> None:
        """Serve at the socket of another process too, which has ended or hangs."""
        if number in self._adopted or self._close_at is not None:
            return
        self._adopted[number] = await self._serve_at(self._others[number])

    def release(self, number: int) -> None:
        """Leave that socket to its own process again."""
        server = self._adopted.pop(number, None)
        if server is not None:
            server.close()

    def _protocol(self) -> Any:
        """The protocol of a new connection; by its methods it is one of asyncio's."""
        return GuardedProtocol(self.context)

    async def _serve_at(self, sock: socket.socket) -> asyncio.Server:
        # A copy: the server closes what it was given.
        return await asyncio.get_running_loop().create_server(self._protocol, sock=sock.dup(), backlog=BACKLOG)

    def _pause(self) -> None:
        """Accept nothing more for now. The sockets stay open, so that the kernel queues new connections."""
        self._paused = True
        for server in (*self.servers, *self._adopted.values()):
            server.close()

    async def _resume(self) -> None:
        """Accept again; where there is no descriptor for that yet, at the next tick."""
        try:
            self.servers = [await self._serve_at(sock) for sock in self._sockets]
            for number in self._adopted:
                self._adopted[number] = await self._serve_at(self._others[number])
        except OSError as error:
            _log.warning("connections still wait to be accepted: %s", error.strerror or error)
            self._pause()
        else:
            self._paused = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        self._sockets = sockets or ()
        self.servers = [await self._serve_at(sock) for sock in self._sockets]
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        if self._shedding.paused:
            self._pause()
        elif self._paused:
            await self._resume()
        self._tick(counter)
        await super().on_tick(counter)
        return self.should_exit or (self._close_at is not None and self._close_at <= asyncio.get_running_loop().time())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, let requests finish, and end those that outlast `shutdown_timeout`."""
        loop = asyncio.get_running_loop()
        if self._close_at is None:
            self.stop()
        for server in (*self.servers, *self._adopted.values()):
            server.close()
        for sock in (*(sockets or ()), *self._others):
            sock.close()
        # What was accepted in the last moment is among the connections in the next turn.
        await asyncio.sleep(0)
        for connection in self._connections():
            connection.retire()
        # A client that has connected and sent no request yet has a moment to do so.
        silent_until = loop.time() + LINGER_SECONDS
        counter = 0
        while (self.server_state.connections or self.server_state.tasks) and loop.time() < self._end_at:
            if loop.time() > silent_until:
                for connection in self._connections():
                    connection.shutdown()
            await asyncio.sleep(TICK_SECONDS)
            counter += 1
            self._tick(counter)
        await self._end()

    def _tick(self, counter: int) -> None:
        """What is due at every tick, while the server serves and while it shuts down."""
        self.context.keeps_alive = self._close_at is None and not self._shedding.closing
        if counter % SWEEP_TICKS == 0:
            self._shedding.held = sweep(self.server_state.connections, asyncio.get_running_loop().time())
            if self._shedding.closing:
                for connection in self._connections():
                    connection.retire()

    async def _end(self) -> None:
        """End what still runs, and give its last bytes a moment to leave."""
        self._interrupt()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=FLUSH_TICKS * TICK_SECONDS)
        for connection in self._connections():
            connection.shutdown()
        for _ in range(FLUSH_TICKS):
            if not any(connection.is_writing for connection in self._connections()):
                break
            await asyncio.sleep(TICK_SECONDS)
        for connection in self._connections():
            connection.transport.abort()
        # The protocols are notified in the next turn; a request that was still being read has its row then.
        await asyncio.sleep(0)

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: `process` handles the signals."""
        yield


class OtherAddress:
    """A further address, with an application of its own; its connections count, and end, as those of a listener."""

    def __init__(self, sock: socket.socket, app: Any, listener: Listener) -> None:
        self._socket = sock
        self._context = FollowingContext(app, listener.context)
        self._server: asyncio.AbstractServer | None = None

    async def serve(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        # A copy: the server closes what it was given.
        sock = self._socket.dup()
        if sock.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(self._protocol, sock=sock, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG)

    def close(self) -> None:
        """Accept nothing more."""
        if self._server is not None:
            self._server.close()
        self._socket.close()

    def _protocol(self) -> Any:
        return GuardedProtocol(self._context)


class InnerServer(uvicorn.Server):
    """A plain uvicorn server beside the listener, on the same event loop, that handles no signals."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: `process` handles the signals."""
        yield
