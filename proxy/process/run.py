"""One gateway that serves in this process, whoever else there is: alone, or as one of several workers."""

import contextlib
import gc
import os
import resource
import socket
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from proxy.app import Gateway
from proxy.config.changes import Changes
from proxy.config.tree import Config
from proxy.overload.malloc import keep_freed
from proxy.server.listener import Listener

#: More than this a system may refuse although it names no limit.
MOST_DESCRIPTORS = 65_536


class Serving:
    """A gateway and its listener, once both are there."""

    def __init__(self, gateway: Gateway, listener: Listener) -> None:
        self.gateway = gateway
        self.listener = listener

    async def reload(self, config: Config) -> Changes:
        """Serve what comes by another configuration. Raises ConfigFault, and nothing has changed."""
        changes = await self.gateway.reload(config)
        self.listener.reconfigure(self.gateway.config.server)
        return changes


class Host(Protocol):
    """Who runs the gateway and speaks for it; called on the gateway's loop."""

    async def begin(self, serving: Serving) -> None:
        """The gateway has started, and its sockets are about to be served."""
        ...

    def ready(self) -> None:
        """The sockets are served."""
        ...

    def draining(self) -> None:
        """The end has begun."""
        ...


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    demo_key: str,
    host: Host,
    others: Sequence[socket.socket] = (),
) -> None:
    """Run a gateway on bound sockets to its end. `demo_key`, if there is one, may use everything; `others` are the
    sockets of other workers."""
    _raise_descriptor_limit()
    gateway = Gateway(config, sys.stdout)
    try:
        await gateway.start()
        if demo_key:
            gateway.keys.remember("demo", demo_key)

        def ready() -> None:
            _settle_process()
            host.ready()

        def draining() -> None:
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
        await host.begin(Serving(gateway, listener))
        await listener.serve(sockets=list(sockets))
    finally:
        await gateway.stop()


def tell_end(answers: int, seconds: float, *, again: bool, stream: TextIO) -> None:
    """Say that the end has begun, and what it waits for; `again` where a second Ctrl-C may follow the first."""
    line = "Ending."
    if not answers and not stream.isatty():
        # Nobody waits for anything, nor for a word.
        return
    if answers:
        line = f"Waiting for {answers} answer{'s' if answers > 1 else ''} ({seconds:g} s at most)"
        line += "; Ctrl-C again ends now." if again else "."
    # The terminal has written ^C at the beginning of this line, or is gone.
    with contextlib.suppress(OSError, ValueError):
        stream.write("\n" * stream.isatty() + line + "\n")
        stream.flush()


def _raise_descriptor_limit() -> None:
    """As many open files as this user may have: the usual soft limit is meant for programs that use `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _settle_process() -> None:
    """Keep what is not a request out of the requests' way.

    The collector need not look at what lives as long as the process, and requests leave it nothing: it only runs while
    more and more streams are open, and then all of them wait. 5,000 new objects take it half a millisecond, 50,000 six;
    the turn of its next generation, which takes far longer, comes after a million. The threads that store rows and
    write lines give the interpreter back after half a millisecond, not five. Large blocks are kept for the next large
    body.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 20)
    sys.setswitchinterval(0.0005)
    keep_freed(os.environ)
