"""What the listener does less of while the process is short of something. Set by who measures, followed here."""

import sys
from collections.abc import Callable

from proxy.server.bodies import Bodies


class SheddingState:
    """See the module. One for each listener; without anybody to set it, nothing is ever short."""

    def __init__(self) -> None:
        #: Answers end their connections, and idle ones are closed.
        self.closing = False
        #: No connection is accepted: they wait in the kernel's queue.
        self.paused = False
        #: A connection that gets this descriptor, or a higher one, is one of the last that there is room for: the
        #: kernel gives the lowest that is free.
        self.last_descriptor = sys.maxsize
        #: Bodies that are on their way.
        self.bodies = Bodies()
        #: Bytes that connections hold besides: heads, requests that wait for their turn, and answers that are not read.
        self.held = 0
        #: Called when one of the last has been given.
        self.reached: Callable[[], None] = _nothing
        #: Set by the listener; called when `paused` becomes true, because the next turn is too late.
        self.pause: Callable[[], None] = _nothing


def _nothing() -> None:
    """Nobody listens."""
