"""Runs one gateway in this process, whether it is the only one or a worker."""

import contextlib
import gc
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TextIO

from proxy.app import Gateway
from proxy.config.changes import Changes
from proxy.config.tree import Config
from proxy.limits.counters import SharedCounters
from proxy.observability.metrics_memory import MetricsMemory
from proxy.overload.malloc import keep_freed
from proxy.server.listener import Listener, OtherAddress, address

#: Open files that are asked for where the system names no limit; some systems refuse more.
MAX_DESCRIPTORS = 65_536


class BuiltInProvider(NamedTuple):
    """The demo's upstream: served beside the gateway on a socket of its own."""

    socket: socket.socket
    #: Makes its ASGI application, in the process that serves it.
    make_app: Callable[[], Any]
    #: The key that may use everything.
    key: str


class SharedMemory(NamedTuple):
    """What all workers of a gateway count in; made before they are forked."""

    counters: SharedCounters
    metrics: MetricsMemory


class ServedGateway:
    """A gateway that was started, and its listener."""

    def __init__(self, gateway: Gateway, listener: Listener) -> None:
        self.gateway = gateway
        self.listener = listener

    async def reload(self, config: Config) -> Changes:
        """Apply another configuration. Raises ConfigFault, and nothing has changed."""
        changes = await self.gateway.reload(config)
        self.listener.reconfigure(self.gateway.config.server)
        return changes


class GatewayHost(Protocol):
    """The owner of the process, notified of the gateway's life on its event loop."""

    async def started(self, served: ServedGateway) -> None:
        """The gateway has started; its sockets are not served yet."""

    def ready(self) -> None:
        """The sockets are served."""

    def draining(self) -> None:
        """The shutdown has begun."""


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    demo_key: str,
    host: GatewayHost,
    others: Sequence[socket.socket] = (),
    shared: SharedMemory | None = None,
    admin_socket: socket.socket | None = None,
) -> None:
    """Run a gateway on bound sockets until it is stopped. `demo_key`, if there is one, may use everything; `others` are
    the sockets of other workers, `shared` what all of them count in, and `admin_socket` is that of the admin API, if it
    has one of its own."""
    _raise_descriptor_limit()
    shared = shared or SharedMemory(SharedCounters(), MetricsMemory())
    gateway = Gateway(config, sys.stdout, counters=shared.counters, metrics=shared.metrics)
    try:
        await gateway.start()
        if demo_key:
            gateway.keys.remember("demo", demo_key)

        def ready() -> None:
            _tune_process()
            host.ready()

        def draining() -> None:
            if admin is not None:
                admin.close()
            gateway.drain()
            host.draining()

        listener = Listener(
            gateway.app,
            config.server,
            ready,
            draining=draining,
            interrupt=gateway.interrupt,
            others=others,
            shedding=gateway.pressure,
        )
        admin = OtherAddress(admin_socket, gateway.admin_app, listener) if admin_socket is not None else None
        if admin is not None:
            await admin.serve()
        gateway.admin.services.nodes.register(address(sockets[0]) if sockets else "")
        await host.started(ServedGateway(gateway, listener))
        await listener.serve(sockets=list(sockets))
    finally:
        await gateway.stop()


def print_shutdown(running: int, seconds: float, *, again: bool, stream: TextIO) -> None:
    """Print that the shutdown has begun, and how many running requests it waits for; `again` where a second Ctrl-C may
    follow the first."""
    line = "Ending."
    if not running and not stream.isatty():
        return
    if running:
        line = f"Waiting for {running} response{'s' if running > 1 else ''} ({seconds:g} s at most)"
        line += "; Ctrl-C again ends now." if again else "."
    # The terminal has written ^C at the beginning of this line, or is gone.
    with contextlib.suppress(OSError, ValueError):
        stream.write("\n" * stream.isatty() + line + "\n")
        stream.flush()


def _raise_descriptor_limit() -> None:
    """Allow as many open files as this user may have: the usual soft limit is meant for programs that use `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tune_process() -> None:
    """Keep the garbage collector, other threads and the allocator out of the requests' way.

    The collector need not look at what lives as long as the process, and requests leave it nothing: it only runs while
    more and more streams are open, and then all of them wait. 5,000 new objects take it half a millisecond, 50,000 six;
    the turn of its next generation, which takes far longer, comes after a million. The threads that store rows and
    write lines release the GIL after half a millisecond, not five. Large blocks are kept for the next large body.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 20)
    sys.setswitchinterval(0.0005)
    keep_freed(os.environ)
