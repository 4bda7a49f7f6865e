"""The two ways to send: the closed loop, which waits for responses, and the open loop, which keeps to a schedule.

They decide when a connection sends; connections themselves are opened, replaced and closed in `load`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from benchmarks.client import Connection, Samples
from benchmarks.sockets import ExactTimer

_NANOSECONDS = 1_000_000_000


class Phase:
    """Base of both loops: one stretch of requests over the connections of a run."""

    def __init__(self, request: bytes, samples: Samples) -> None:
        self.request = request
        self.samples = samples
        self.done = asyncio.Event()

    def begin(self, connections: list[Connection]) -> None:
        raise NotImplementedError

    def idle(self, connection: Connection) -> None:
        """Called when a connection is idle: its request has ended, or it is new."""
        raise NotImplementedError

    def lost(self, connection: Connection) -> None:
        """Called when a connection is lost; a new one will replace it and be idle."""
        raise NotImplementedError

    def close(self) -> None:
        """Cancel what the phase waits for; it starts no further request."""


class ClosedLoop(Phase):
    """Each connection sends its next request when the last has ended."""

    def __init__(
        self, request: bytes, samples: Samples, requests: int, seconds: float, per_connection: int = 0
    ) -> None:
        super().__init__(request, samples)
        self._left = requests
        self._per_connection = per_connection
        self._active: set[Connection] = set()
        self._seconds = seconds

    def begin(self, connections: list[Connection]) -> None:
        self._deadline = monotonic_ns() + int(self._seconds * _NANOSECONDS)
        self._active = set(connections)
        for connection in connections:
            self.idle(connection)

    def idle(self, connection: Connection) -> None:
        now = monotonic_ns()
        if self._left > 0 and now < self._deadline:
            if self._per_connection and connection.requests >= self._per_connection:
                # Another one takes its place, and comes here as idle.
                connection.close()
                return
            self._left -= 1
            self._active.add(connection)
            connection.send(self.request, now, self.samples)
            return
        self._active.discard(connection)
        if not self._active:
            self.done.set()

    def lost(self, connection: Connection) -> None:
        self._active.discard(connection)


class OpenLoop(Phase):
    """Requests start on a schedule, whatever the system does; one that finds no free connection waits for it."""

    def __init__(self, request: bytes, samples: Samples, starts: int, offset: Callable[[int], int]) -> None:
        """`offset` says when a request is meant to start, in nanoseconds after the first."""
        super().__init__(request, samples)
        self._starts = starts
        self._offset = offset
        self._started = 0
        self._waiting: deque[int] = deque()
        self._free: list[Connection] = []
        self._connections: list[Connection] = []
        self._timer = ExactTimer(asyncio.get_running_loop(), self._due)

    def begin(self, connections: list[Connection]) -> None:
        self._connections = connections
        self._free = list(connections)
        # A little ahead, so that the first ones are not late.
        self._first = monotonic_ns() + 2_000_000
        self._timer.wake_at(self._first)

    def close(self) -> None:
        self._timer.close()

    def idle(self, connection: Connection) -> None:
        if self._waiting:
            connection.send(self.request, self._waiting.popleft(), self.samples)
            return
        self._free.append(connection)
        if self._started == self._starts and len(self._free) >= len(self._connections):
            self.done.set()

    def lost(self, connection: Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)

    def _due(self) -> None:
        while self._started < self._starts:
            intended = self._first + self._offset(self._started)
            if intended > monotonic_ns():
                self._timer.wake_at(intended)
                return
            self._started += 1
            if self._free:
                self._free.pop().send(self.request, intended, self.samples)
            else:
                self._waiting.append(intended)
