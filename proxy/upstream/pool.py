"""The connections to one upstream: opened when needed, kept warm, handed out last in first out, bounded.

All tables change in plain methods, never across an await; the only awaits are in the tasks that open connections,
which the pool owns. What is written on a connection is its taker's business.
"""

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from proxy.config.tree import Upstream
from proxy.errors import (
    ConfigFault,
    NoDescriptor,
    Overloaded,
    UpstreamConnectFailed,
    UpstreamFailed,
    UpstreamTimeout,
)
from proxy.upstream.budget import RetryBudget
from proxy.upstream.connection import Connection
from proxy.upstream.health import Health

#: Seconds that a connection may idle while the process is short of descriptors or memory.
SPARE_IDLE = 1.0


class Waiter(Protocol):
    """Waits for a connection; exactly one of the two comes, unless it was forgotten before."""

    def connected(self, connection: Connection) -> None: ...

    def not_connected(self, error: UpstreamFailed) -> None: ...


class Pool:
    """See the module. Must be made, used and closed on one running event loop."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        tls: ssl.SSLContext | None = None,
        may_eject: Callable[[], bool] = lambda: True,
        may_connect: Callable[[], bool] | None = None,
    ) -> None:
        """`tls` is what `tls_context` gives, if it was made before, off the loop; `may_eject` is for its `Health`.

        `may_connect` says whether the process has a descriptor left for a connection.
        """
        self.name = name
        self.upstream = upstream
        #: Read for every request.
        self.connect_timeout = upstream.connect_timeout
        self.health = Health(upstream, may_eject)
        self.retries = RetryBudget(upstream.retry_budget_percent, upstream.retry_budget_min)
        url = urlsplit(upstream.base_url)
        self.host = url.hostname or ""
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self._may_connect = may_connect
        self._tls = tls or tls_context(name, upstream)
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[Waiter] = deque()
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
    def crowded(self) -> bool:
        """Whether some wait for a connection that others must give back first."""
        return len(self._waiters) > len(self._opening)

    @property
    def closed(self) -> bool:
        return self._closed

    def acquire(self, waiter: Waiter, fresh: bool = False) -> Connection | None:
        """Take an idle connection, or None: then `waiter` hears when there is one.

        `fresh` asks for one that has served nobody yet. Raises `Overloaded` when all are taken and too many wait.
        """
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        room = self.upstream.max_connections - len(self._open)
        if self._closed or len(self._waiters) >= room + self.upstream.max_waiting:
            raise Overloaded("Too many requests wait for this model. Try again shortly.", headers={"retry-after": "1"})
        self._waiters.append(waiter)
        self._open_more()
        return None

    def forget(self, waiter: Waiter) -> None:
        """The waiter no longer wants a connection. One that is being opened for it is for the next, if it comes up."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            self._served()

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
        while self._waiters:
            self._waiters.popleft().not_connected(UpstreamFailed("The gateway is shutting down."))

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
        if self._waiters:
            waiter = self._waiters.popleft()
            self._served()
            waiter.connected(connection)
        elif self._retired:
            connection.close()
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._closed:
            self._open_more()

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
        try:
            async with asyncio.timeout(self.upstream.connect_timeout):
                _, connection = await self._loop.create_connection(
                    partial(Connection, self),
                    self.host,
                    self.port,
                    ssl=self._tls,
                    server_hostname=self.host if self._tls else None,
                )
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
            self._waiters.popleft().not_connected(error)
        if not self._closed:
            self._open_more()


def _refused(error: Exception) -> UpstreamConnectFailed:
    return UpstreamConnectFailed(
        "The model's provider could not be reached.", detail=f"{type(error).__name__}: {error}".strip()
    )


def tls_context(name: str, upstream: Upstream) -> ssl.SSLContext | None:
    """How an upstream's certificate is checked; None for one without TLS.

    Certificates are always checked; `ca_file` adds authorities, it replaces none. Raises `ConfigFault`.
    """
    if urlsplit(upstream.base_url).scheme != "https":
        return None
    context = ssl.create_default_context()
    if upstream.ca_file:
        try:
            context.load_verify_locations(upstream.ca_file)
        except OSError as error:
            # ssl's own errors are OSErrors too.
            raise ConfigFault(
                f"upstreams.{name}.ca_file: {upstream.ca_file} cannot be used ({error.strerror or error}); "
                "name a file with certificates in PEM form"
            ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
