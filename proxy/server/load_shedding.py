"""The switches of load shedding: `overload` sets them by what it measures, the listener obeys them."""

import sys
from collections.abc import Callable

from proxy.server.bodies import Bodies


class SheddingState:
    """Close idle connections, accept none, hold fewer bytes of bodies. One for each listener; all is off at first."""

    def __init__(self) -> None:
        #: Connections are closed behind their responses, and idle ones at once.
        self.closing = False
        #: No connection is accepted: new ones wait in the kernel's queue.
        self.paused = False
        #: A connection with this descriptor, or a higher one, is among the last that there is room for, since the
        #: kernel gives out the lowest one that is free.
        self.last_descriptor = sys.maxsize
        #: Memory and disk of request bodies.
        self.bodies = Bodies()
        #: Bytes that connections hold besides: heads, pipelined requests, and responses that clients have not read.
        self.held = 0
        #: Called when a connection got such a descriptor.
        self.reached: Callable[[], None] = _nothing
        #: Set by the listener, and called when `paused` becomes true: its next tick would be too late.
        self.pause: Callable[[], None] = _nothing


def _nothing() -> None:
    """No listener, or no monitor, is there."""
