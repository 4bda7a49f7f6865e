"""The connections to one upstream: opened when needed, kept warm, handed out last in first out, bounded.

One that has just served a key rests before it serves another: what an upstream sends too late, or twice, comes while
nobody waits for it, and closes the connection. HTTP/1.1 has no other way to tell whose answer it is.

All tables change in plain methods, never across an await; the only awaits are in the tasks that open connections,
which the pool owns. What is written on a connection is its taker's business.
"""

import asyncio
import errno
import ssl
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic as _now
from typing import NamedTuple, Protocol

from proxy.config.tree import Upstream
from proxy.errors import (
    NoDescriptor,
    Overloaded,
    UpstreamConnectFailed,
    UpstreamFailed,
    UpstreamTimeout,
)
from proxy.upstream.connection import Connection
from proxy.upstream.dial import Reach
from proxy.upstream.health import Health
from proxy.upstream.retry_budget import RetryBudget

#: Seconds that a connection may idle while the process is short of descriptors or memory.
SPARE_IDLE = 1.0
#: Seconds that a connection rests between two keys. Where there is no other, and none may be opened, one round trip to
#: the upstream is enough.
REST_SECONDS = 0.25
# The same where the upstream is near: bytes that are here already are to be read first.
_LEAST_REST_SECONDS = 0.002
# After so many seconds a connection may have become readable without the loop, which was busy, having come to it yet.
_BRIEF_SECONDS = 0.005
# Idle connections, from the last one on, among which is looked for one that served the same key.
_LOOK_BACK = 32


class Waiter(Protocol):
    """Waits for a connection; exactly one of the two comes, unless it was forgotten before."""

    def connected(self, connection: Connection) -> None: ...

    def not_connected(self, error: UpstreamFailed) -> None: ...


class _Wish(NamedTuple):
    """A waiter and what it asked for."""

    waiter: Waiter
    key: str
    fresh: bool


class Pool:
    """See the module. Must be made, used and closed on one running event loop."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        tls: ssl.SSLContext | None = None,
        may_eject: Callable[[], bool] = lambda: True,
        may_connect: Callable[[], bool] | None = None,
        certificates: bytes = b"",
    ) -> None:
        """`tls` is what `tls_context` gives, if it was made before, off the loop; `may_eject` is for its `Health`.

        `may_connect` says whether the process has a descriptor left for a connection; `certificates` is the fingerprint
        of the files that `tls` was made of.
        """
        self.name = name
        self.upstream = upstream
        self.certificates = certificates
        #: Read for every request.
        self.connect_timeout = upstream.connect_timeout
        self.health = Health(upstream, may_eject)
        self.retries = RetryBudget(upstream.retry_budget_percent, upstream.retry_budget_min)
        self._reach = reach = Reach(name, upstream, tls)
        self.host, self.port = reach.host, reach.port
        self._may_connect = may_connect
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[_Wish] = deque()
        #: Looks after those who wait while a connection rests.
        self._resting: asyncio.TimerHandle | None = None
        #: In the order in which they began; and those whose failure is nobody's: a request that has only just come has
        #: not waited as long as they have.
        self._opening: list[asyncio.Task[None]] = []
        self._unwanted: set[asyncio.Task[None]] = set()
        self._closed = False
        self._retired = False

    def __repr__(self) -> str:
        busy = len(self._open) - len(self._idle)
        return (
            f"<Pool {self.name}: {len(self._idle)} idle, {busy} busy, "
            f"{self.opening} opening, {len(self._waiters)} waiting>"
        )

    @property
    def size(self) -> int:
        """Open connections, idle and busy."""
        return len(self._open)

    @property
    def opening(self) -> int:
        """Connections that are about to be open."""
        return len(self._opening) + len(self._unwanted)

    @property
    def idle(self) -> int:
        """Open connections that serve nobody."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Requests that run or wait for a connection."""
        return len(self._open) - len(self._idle) + len(self._waiters)

    @property
    def saturated(self) -> bool:
        """Whether some wait for a connection that others must give back first."""
        return len(self._waiters) > len(self._opening)

    @property
    def closed(self) -> bool:
        return self._closed

    def acquire(self, waiter: Waiter, fresh: bool = False, key: str = "") -> Connection | None:
        """Take an idle connection for a key, or None: then `waiter` hears when there is one.

        `fresh` asks for one that has served nobody yet; where there is no room for it, the one that has been idle for
        longest is closed. Raises `Overloaded` when all are taken and too many wait.
        """
        idle = self._idle
        while idle and not fresh:
            connection = idle[-1]
            if connection.key == key or not connection.exchanges:
                idle.pop()
            else:
                found = self._rested(key)
                if found is None:
                    break
                connection = found
            if connection.usable:
                unread = connection.unread
                if unread is None or connection.idle_since > _now() - _BRIEF_SECONDS or not unread(0):
                    connection.key = key
                    return connection
                connection.abort()
        room = self.upstream.max_connections - len(self._open) + len(idle)
        if self._closed or len(self._waiters) >= room + self.upstream.max_waiting:
            raise Overloaded("Too many requests wait for this model. Try again shortly.", headers={"retry-after": "1"})
        self._waiters.append(_Wish(waiter, key, fresh))
        self._open_more()
        if not fresh:
            self._serve_when_rested()
        elif idle and self.saturated:
            idle.pop(0).abort()
        return None

    def cancel(self, waiter: Waiter) -> None:
        """The waiter no longer wants a connection. One that is being opened for it is for the next, if it comes up."""
        for place, wish in enumerate(self._waiters):
            if wish.waiter is waiter:
                del self._waiters[place]
                self._served()
                return

    def sweep(self, now: float, spare: bool = False) -> None:
        """Close what has idled too long; `now` is loop time. `spare`: the process needs what idle ones take up."""
        oldest = now - (SPARE_IDLE if spare else self.upstream.keep_alive_timeout)
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    @property
    def is_empty(self) -> bool:
        """No connection is open, and nobody waits for one."""
        return not (self._open or self.opening or self._waiters)

    def retire(self) -> None:
        """Keep nothing warm any more: who has a connection, or still asks for one, is served, and then it is closed."""
        self._retired = True
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """Close every connection and wait for the tasks that open them."""
        self._closed = True
        opening = [*self._opening, *self._unwanted]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for connection in list(self._open):
            connection.fail(UpstreamFailed("The gateway is shutting down."))
        self._idle.clear()
        if self._resting is not None:
            self._resting.cancel()
        while self._waiters:
            self._waiters.popleft().waiter.not_connected(UpstreamFailed("The gateway is shutting down."))

    # called by connections

    def opened(self, connection: Connection) -> None:
        """A connection came up."""
        self._open.add(connection)

    def released(self, connection: Connection) -> None:
        """A connection is free for the next exchange."""
        if self._closed or not connection.usable:
            connection.close()
            return
        connection.resume()
        wish = self._waiters[0] if self._waiters else None
        if wish is not None and (not connection.exchanges or connection.key == wish.key):
            self._hand_over(connection, wish)
        elif self._retired and wish is None:
            connection.close()
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if wish is not None:
                self._serve_when_rested()

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._closed:
            self._open_more()
            self._serve_when_rested()

    # resting

    def _rested(self, key: str) -> Connection | None:
        """Take an idle connection that served this key last, or nobody, or that has rested since it served another."""
        idle, now = self._idle, self._loop.time()
        for place in range(len(idle) - 1, max(len(idle) - 1 - _LOOK_BACK, -1), -1):
            if idle[place].key == key or not idle[place].exchanges:
                return idle.pop(place)
        # They stand in the order in which they became idle.
        place = bisect_right(idle, now - REST_SECONDS, key=_idle_since)
        return idle.pop(place - 1) if place else None

    def _serve_when_rested(self) -> None:
        """Those who wait, and for whom nothing is opened, get what rests now after a round trip."""
        if self.saturated and self._idle and self._resting is None:
            soonest = min([connection.idle_since + connection.round_trip for connection in self._idle])
            wait = max(soonest - self._loop.time(), _LEAST_REST_SECONDS)
            self._resting = self._loop.call_later(wait, self._serve_rested)

    def _serve_rested(self) -> None:
        self._resting = None
        now = self._loop.time()
        for connection in list(self._idle):
            if not self.saturated:
                break
            if connection.idle_since + connection.round_trip > now:
                continue
            self._idle.remove(connection)
            wish = self._first_patient()
            if wish is not None and connection.usable and not (connection.unread is not None and connection.unread(0)):
                self._hand_over(connection, wish)
            else:
                # Its end makes room for another.
                connection.abort()
                break
        if self._retired and not self._waiters:
            self.retire()
        self._serve_when_rested()

    def _first_patient(self) -> _Wish | None:
        """Who has waited for longest, of those who take a connection that has served others."""
        for wish in self._waiters:
            if not wish.fresh:
                return wish
        return None

    def _hand_over(self, connection: Connection, wish: _Wish) -> None:
        self._waiters.remove(wish)
        self._served()
        connection.key = wish.key
        wish.waiter.connected(connection)

    # opening

    def _open_more(self) -> None:
        while (
            len(self._opening) < len(self._waiters) and len(self._open) + self.opening < self.upstream.max_connections
        ):
            task = self._loop.create_task(self._open_one())
            self._opening.append(task)
            task.add_done_callback(self._opened_one)

    async def _open_one(self) -> None:
        if self._may_connect is not None and not self._may_connect():
            self._not_opened(NoDescriptor("the last descriptors are kept for files"))
            return
        began = self._loop.time()
        try:
            async with asyncio.timeout(self.upstream.connect_timeout):
                connection = await self._reach.open(self._loop, partial(Connection, self))
        except TimeoutError:
            self._not_opened(UpstreamTimeout("The model's provider could not be reached in time.", detail="connect"))
        except (OSError, ValueError) as error:
            # ValueError: a name that cannot be a host's.
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                self._not_opened(NoDescriptor(str(error)))
            else:
                self._not_opened(_refused(error))
        else:
            if not connection.usable:
                self._not_opened(_refused(ConnectionResetError("closed as soon as it was open")))
                return
            # With TLS it took two round trips at least.
            took = (self._loop.time() - began) / (2 if self._reach.tls else 1)
            connection.round_trip = min(took, REST_SECONDS)
            self._opened_one(asyncio.current_task())
            self.released(connection)

    def _served(self) -> None:
        """One waits no longer: of more openings than are waited for, the oldest is for whoever comes next."""
        if len(self._opening) > len(self._waiters):
            self._unwanted.add(self._opening.pop(0))

    def _opened_one(self, task: asyncio.Task[None] | None) -> bool:
        """An opening is over; whether somebody waited for it."""
        if task in self._opening:
            self._opening.remove(task)
            return True
        self._unwanted.discard(task)
        return False

    def _not_opened(self, error: UpstreamFailed) -> None:
        if self._opened_one(asyncio.current_task()) and self._waiters:
            if self._idle and not self._waiters[0].fresh and not self._closed:
                # What rests is better than none.
                self._serve_when_rested()
                return
            self._waiters.popleft().waiter.not_connected(error)
        if not self._closed:
            self._open_more()


def _refused(error: Exception) -> UpstreamConnectFailed:
    return UpstreamConnectFailed(
        "The model's provider could not be reached.", detail=f"{type(error).__name__}: {error}".strip()
    )


def _idle_since(connection: Connection) -> float:
    return connection.idle_since
