"""Opens connections for a pool, each in a task of its own, and reports to the pool how that ended.

It does not decide how many are opened, and knows no request: the pool says when one that an opening was begun for is
gone.
"""

import asyncio
import errno
from collections.abc import Callable
from functools import partial

from proxy.errors import NoDescriptor, UpstreamConnectFailed, UpstreamFailed, UpstreamTimeout
from proxy.upstream.connection import Connection, ConnectionOwner
from proxy.upstream.dial import Dialer

#: Seconds that a round trip to the upstream counts for at most.
MAX_ROUND_TRIP_SECONDS = 0.25


class Opener:
    """Must be made and used on one running event loop."""

    def __init__(
        self,
        owner: ConnectionOwner,
        dialer: Dialer,
        connect_timeout: float,
        may_connect: Callable[[], bool] | None,
    ) -> None:
        """`may_connect` says whether the process has a descriptor left for a connection."""
        self.dialer = dialer
        self.loop = asyncio.get_running_loop()
        self._owner = owner
        self._connect_timeout = connect_timeout
        self._may_connect = may_connect
        #: Openings that a request waits for, in the order in which they began; and those whose request is gone: their
        #: failure is not reported to a request that has only just come, and has not waited as long as they have.
        self._awaited: list[asyncio.Task[None]] = []
        self._orphaned: set[asyncio.Task[None]] = set()

    @property
    def awaited(self) -> int:
        """Openings that requests wait for."""
        return len(self._awaited)

    @property
    def running(self) -> int:
        """All openings."""
        return len(self._awaited) + len(self._orphaned)

    def start(self) -> None:
        """Begin to open a connection that a request waits for."""
        task = self.loop.create_task(self._open())
        self._awaited.append(task)
        task.add_done_callback(self._discard)

    def orphan_oldest(self) -> None:
        """A request waits no longer: the oldest opening is for the next one that comes."""
        self._orphaned.add(self._awaited.pop(0))

    async def close(self) -> None:
        """Cancel every opening and wait for its end."""
        tasks = [*self._awaited, *self._orphaned]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> None:
        if self._may_connect is not None and not self._may_connect():
            self._fail(NoDescriptor("the last descriptors are kept for files"))
            return
        began = self.loop.time()
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self.dialer.open(self.loop, partial(Connection, self._owner))
        except TimeoutError:
            self._fail(UpstreamTimeout("The model's provider could not be reached in time.", detail="connect"))
        except (OSError, ValueError) as error:
            # ValueError: a name that cannot be a host's.
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                self._fail(NoDescriptor(str(error)))
            else:
                self._fail(_connect_failed(error))
        else:
            if not connection.usable:
                self._fail(_connect_failed(ConnectionResetError("closed as soon as it was open")))
                return
            # With TLS it took two round trips at least.
            took = (self.loop.time() - began) / (2 if self.dialer.tls else 1)
            connection.round_trip = min(took, MAX_ROUND_TRIP_SECONDS)
            self._discard(asyncio.current_task())
            self._owner.released(connection)

    def _discard(self, task: asyncio.Task[None] | None) -> bool:
        """An opening is over; whether a request waited for it."""
        if task in self._awaited:
            self._awaited.remove(task)
            return True
        self._orphaned.discard(task)
        return False

    def _fail(self, error: UpstreamFailed) -> None:
        self._owner.not_opened(error, self._discard(asyncio.current_task()))


def _connect_failed(error: Exception) -> UpstreamConnectFailed:
    return UpstreamConnectFailed(
        "The model's provider could not be reached.", detail=f"{type(error).__name__}: {error}".strip()
    )
