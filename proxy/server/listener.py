"""The listening socket and the server on it: uvicorn with the guard, our sweep, and an end that loses nothing."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from proxy.config.tree import Server
from proxy.errors import GatewayError
from proxy.server.guard import guarded_protocol, sweep

BACKLOG = 2048
#: Ticks of uvicorn's main loop (0.1 s each) between two sweeps over the connections.
SWEEP_TICKS = 5


class CannotListen(GatewayError):
    """The address cannot be had."""

    code = "cannot_listen"


def bind(host: str, port: int) -> socket.socket:
    """A bound, listening socket; port 0 picks a free one. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        hint = "choose another --port (0 picks a free one), or stop what uses it"
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}; {hint}") from error
    # Its connections inherit it. A loop sets it too, but asyncio's own only on sockets that name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Listener(uvicorn.Server):
    """Serves an app on bound sockets until a signal, or `should_exit`, says stop."""

    def __init__(self, app: Any, server: Server, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                http=guarded_protocol(server),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(server.keep_alive_timeout),
                # uvicorn takes whole seconds.
                timeout_graceful_shutdown=max(1, round(server.shutdown_timeout)),
                backlog=BACKLOG,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server once its answers have ended; the process then ends as if by itself."""
        loop = asyncio.get_running_loop()
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except (ValueError, RuntimeError):
            # Not the main thread: whoever runs us there ends us with `should_exit`.
            yield
            return
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


class InnerServer(uvicorn.Server):
    """A plain server beside the listener, on the same loop; signals are the listener's business."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield
