"""The connections to one upstream: opened when needed, kept warm, handed out last in first out, bounded.

A connection that has served one key cools down before it serves another: what an upstream sends too late, or twice,
comes while no request runs, and closes the connection. HTTP/1.1 has no other way to know whose response it is.

All tables change in plain methods, never across an await; the only awaits are in the tasks that open connections,
which the pool owns. It writes nothing on a connection: that is for the request that takes it.
"""

import asyncio
import ssl
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from time import monotonic as _now
from typing import Final, NamedTuple

from proxy.config.tree import Upstream
from proxy.errors import Overloaded, UpstreamFailed
from proxy.upstream.connection import Connection, ConnectionOwner, ResponseSink
from proxy.upstream.dial import Dialer
from proxy.upstream.health import Health
from proxy.upstream.opener import Opener
from proxy.upstream.retry_budget import RetryBudget

#: Seconds that a connection may idle while the process is short of descriptors or memory.
SPARE_IDLE_SECONDS: Final = 1.0
#: Seconds that a connection cools down between two keys. Where there is no other, and none may be opened, one round
#: trip to the upstream is enough.
COOLDOWN_SECONDS: Final = 0.25
#: The least of it where the upstream is near: bytes that are here already are to be read first.
_MIN_COOLDOWN_SECONDS: Final = 0.002
#: A connection that has idled for longer may have become readable without the loop, which was busy, having read it.
_UNREAD_CHECK_SECONDS: Final = 0.005
#: Idle connections, from the last one on, among which is looked for one that served the same key.
_MAX_SAME_KEY_LOOKUPS: Final = 32
# States of a pool.
_OPEN: Final = 0
#: Keeps nothing idle: its upstream is not configured any more.
_RETIRED: Final = 1
_CLOSED: Final = 2


class _Waiter(NamedTuple):
    """A request that waits for a connection."""

    sink: ResponseSink
    key: str
    fresh: bool


class Pool(ConnectionOwner):
    """Hands out connections to one upstream. Must be made, used and closed on one running event loop."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        tls: ssl.SSLContext | None = None,
        may_eject: Callable[[], bool] = lambda: True,
        may_connect: Callable[[], bool] | None = None,
        certificates: bytes = b"",
        address: str = "",
    ) -> None:
        """`tls` is what `tls_context` gives, if it was made before, off the loop; `may_eject` is for its `Health`.

        `may_connect` says whether the process has a descriptor left for a connection; `certificates` is the fingerprint
        of the files that `tls` was made of, `address` is as for `Dialer`.
        """
        self.name = name
        self.upstream = upstream
        self.certificates = certificates
        #: Read for every request.
        self.connect_timeout = upstream.connect_timeout
        self.health = Health(upstream, may_eject)
        self.retries = RetryBudget(upstream.retry_budget_percent, upstream.retry_budget_min)
        self._opener = Opener(self, Dialer(name, upstream, tls, address), upstream.connect_timeout, may_connect)
        #: In the order in which they became idle.
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[_Waiter] = deque()
        #: Serves those who wait while a connection cools down.
        self._cooldown_timer: asyncio.TimerHandle | None = None
        self._state = _OPEN

    def __repr__(self) -> str:
        busy = len(self._open) - len(self._idle)
        return (
            f"<Pool {self.name}: {len(self._idle)} idle, {busy} busy, "
            f"{self.opening} opening, {len(self._waiters)} waiting>"
        )

    @property
    def host(self) -> str:
        return self._opener.dialer.host

    @property
    def port(self) -> int:
        return self._opener.dialer.port

    @property
    def size(self) -> int:
        """Open connections, idle and busy."""
        return len(self._open)

    @property
    def opening(self) -> int:
        """Connections that are about to be open."""
        return self._opener.running

    @property
    def idle(self) -> int:
        """Open connections on which no request runs."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Requests that run or wait for a connection."""
        return len(self._open) - len(self._idle) + len(self._waiters)

    @property
    def max_requests(self) -> int:
        """Most requests at once, as far as that is known."""
        return self.upstream.max_requests or self.upstream.max_connections

    @property
    def saturated(self) -> bool:
        """Whether requests wait for a connection that others must return first."""
        return len(self._waiters) > self._opener.awaited

    @property
    def closed(self) -> bool:
        return self._state == _CLOSED

    @property
    def is_empty(self) -> bool:
        """No connection is open, and no request waits for one."""
        return not (self._open or self.opening or self._waiters)

    def acquire(self, sink: ResponseSink, fresh: bool = False, key: str = "") -> Connection | None:
        """Take an idle connection for a key, or None: then `sink` is called when there is one.

        `fresh` wants one that has served no request yet; where there is no room for it, the one that has been idle for
        longest is closed. Raises `Overloaded` when all are taken and too many requests wait.
        """
        idle = self._idle
        while idle and not fresh:
            connection = idle[-1]
            if connection.key == key or not connection.requests_sent:
                idle.pop()
            else:
                found = self._take_cooled(key)
                if found is None:
                    break
                connection = found
            if connection.usable:
                poll_unread = connection.poll_unread
                if poll_unread is None or connection.idle_since > _now() - _UNREAD_CHECK_SECONDS or not poll_unread(0):
                    connection.key = key
                    return connection
                connection.abort()
        room = self.upstream.max_connections - len(self._open) + len(idle)
        if self._state == _CLOSED or len(self._waiters) >= room + self.upstream.max_waiting:
            raise Overloaded("Too many requests wait for this model. Try again shortly.", headers={"retry-after": "1"})
        self._waiters.append(_Waiter(sink, key, fresh))
        self._open_more()
        if not fresh:
            self._serve_when_cooled()
        elif idle and self.saturated:
            idle.pop(0).abort()
        return None

    def cancel(self, sink: ResponseSink) -> None:
        """The request no longer waits. A connection that is being opened for it is for the next one, if it comes up."""
        for place, waiter in enumerate(self._waiters):
            if waiter.sink is sink:
                del self._waiters[place]
                self._one_waits_less()
                return

    def sweep(self, now: float, spare: bool = False) -> None:
        """Close what has idled too long; `now` is loop time. `spare`: the process needs what idle ones take up."""
        oldest = now - (SPARE_IDLE_SECONDS if spare else self.upstream.keep_alive_timeout)
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    def retire(self) -> None:
        """Keep nothing idle any more: requests that run or wait are served, and their connections closed."""
        self._state = max(self._state, _RETIRED)
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """Close every connection and wait for the tasks that open them."""
        self._state = _CLOSED
        await self._opener.close()
        for connection in list(self._open):
            connection.fail(UpstreamFailed("The gateway is shutting down."))
        self._idle.clear()
        if self._cooldown_timer is not None:
            self._cooldown_timer.cancel()
        while self._waiters:
            self._waiters.popleft().sink.not_connected(UpstreamFailed("The gateway is shutting down."))

    # called by connections and their opener

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def released(self, connection: Connection) -> None:
        if self._state == _CLOSED or not connection.usable:
            connection.close()
            return
        connection.resume()
        waiter = self._waiters[0] if self._waiters else None
        if waiter is not None and (not connection.requests_sent or connection.key == waiter.key):
            self._hand_out(connection, waiter)
        elif self._state == _RETIRED and waiter is None:
            connection.close()
        else:
            connection.idle_since = self._opener.loop.time()
            self._idle.append(connection)
            if waiter is not None:
                self._serve_when_cooled()

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._state != _CLOSED:
            self._open_more()
            self._serve_when_cooled()

    def not_opened(self, error: UpstreamFailed, awaited: bool) -> None:
        if awaited and self._waiters:
            if self._idle and not self._waiters[0].fresh and self._state != _CLOSED:
                # One that cools down is better than none.
                self._serve_when_cooled()
                return
            self._waiters.popleft().sink.not_connected(error)
        if self._state != _CLOSED:
            self._open_more()

    # cooling down

    def _take_cooled(self, key: str) -> Connection | None:
        """Take an idle connection that served this key last, or none yet, or that has cooled down."""
        idle, now = self._idle, self._opener.loop.time()
        for place in range(len(idle) - 1, max(len(idle) - 1 - _MAX_SAME_KEY_LOOKUPS, -1), -1):
            if idle[place].key == key or not idle[place].requests_sent:
                return idle.pop(place)
        place = bisect_right(idle, now - COOLDOWN_SECONDS, key=_idle_since)
        return idle.pop(place - 1) if place else None

    def _serve_when_cooled(self) -> None:
        """Requests that wait, and for which nothing is opened, get what cools down now after a round trip."""
        if self.saturated and self._idle and self._cooldown_timer is None:
            loop = self._opener.loop
            soonest = min([connection.idle_since + connection.round_trip for connection in self._idle])
            wait = max(soonest - loop.time(), _MIN_COOLDOWN_SECONDS)
            self._cooldown_timer = loop.call_later(wait, self._serve_cooled)

    def _serve_cooled(self) -> None:
        self._cooldown_timer = None
        now = self._opener.loop.time()
        for connection in list(self._idle):
            if not self.saturated:
                break
            if connection.idle_since + connection.round_trip > now:
                continue
            self._idle.remove(connection)
            waiter = self._first_not_fresh()
            poll_unread = connection.poll_unread
            if waiter is not None and connection.usable and not (poll_unread is not None and poll_unread(0)):
                self._hand_out(connection, waiter)
            else:
                # Its end makes room for another.
                connection.abort()
                break
        if self._state == _RETIRED and not self._waiters:
            self.retire()
        self._serve_when_cooled()

    def _first_not_fresh(self) -> _Waiter | None:
        """The request that has waited for longest, of those that take a connection that has served others."""
        for waiter in self._waiters:
            if not waiter.fresh:
                return waiter
        return None

    def _hand_out(self, connection: Connection, waiter: _Waiter) -> None:
        self._waiters.remove(waiter)
        self._one_waits_less()
        connection.key = waiter.key
        waiter.sink.connected(connection)

    # opening

    def _open_more(self) -> None:
        opener = self._opener
        while opener.awaited < len(self._waiters) and len(self._open) + opener.running < self.upstream.max_connections:
            opener.start()

    def _one_waits_less(self) -> None:
        """One request waits no longer: of more openings than are waited for, the oldest is for the next that comes."""
        if self._opener.awaited > len(self._waiters):
            self._opener.orphan_oldest()


def _idle_since(connection: Connection) -> float:
    return connection.idle_since
