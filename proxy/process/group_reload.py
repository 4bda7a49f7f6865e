"""Changes that all workers of a gateway make together: another configuration, and other provider keys.

The supervisor broadcasts one change at a time; a worker may request one over its channel, for its admin API.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from proxy.admin.services import Control
from proxy.config.changes import Changes, applicable, changes
from proxy.config.load import Loaded
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.tree import Config
from proxy.errors import ConfigFault, GatewayError
from proxy.process.channel import WorkerEnd
from proxy.process.reload import ConfigSource, ReloadResult, as_data, failed_result, log_result, no_file_result

#: Seconds that workers get to apply a configuration.
RELOAD_SECONDS: Final = 30.0
#: Seconds that a worker waits for a change that it has requested: one may run already, each with its undo.
REQUEST_SECONDS: Final = 4 * RELOAD_SECONDS
#: What a worker reports when it has applied a change.
APPLIED: Final = b"applied"
#: Messages to the workers: use the stored provider keys; and the result of a change that was requested.
REFRESH: Final = "refresh"
RESPONSE: Final = "response"
#: Messages of a worker that request a change.
REQUEST_RELOAD: Final = "request-reload"
REQUEST_REFRESH: Final = "request-refresh"


class Broadcaster(Protocol):
    """What sends a message to all workers and collects their results: the supervisor."""

    def broadcast(self, word: str, payload: bytes, done: Callable[[dict[str, bytes]], None], seconds: float) -> None:
        """Send it; one at a time."""


class Requester(Protocol):
    """A worker, as its parent has it."""

    def send(self, word: str, payload: bytes = b"") -> bool:
        """Send it a message; False if it does not run."""


class WorkerControl(Control):
    """What the admin API of a worker may have the supervisor do."""

    def __init__(self, channel: WorkerEnd) -> None:
        # It has its own way to refresh, and does not use that of its base class.
        self._channel = channel
        self._requests: dict[int, asyncio.Future[bytes]] = {}
        self._count = 0

    def respond(self, payload: bytes) -> None:
        """The supervisor has the result of a request."""
        number, _, result = payload.partition(b" ")
        future = self._requests.get(int(number))
        if future is not None and not future.done():
            future.set_result(result)

    async def reload(self) -> Mapping[str, Any]:
        return as_data(msgspec.json.decode(await self._request(REQUEST_RELOAD), type=ReloadResult))

    async def refresh(self) -> list[str]:
        return msgspec.json.decode(await self._request(REQUEST_REFRESH), type=list[str])

    async def _request(self, word: str) -> bytes:
        self._count += 1
        number = self._count
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        self._channel.send(word, str(number).encode())
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await future
        except TimeoutError as error:
            raise GatewayError("The supervisor does not respond; its log may say why.", status=503) from error
        finally:
            del self._requests[number]


class GroupReload:
    """The configuration of all workers, and the changes to it, one after the other."""

    def __init__(self, supervisor: Broadcaster, config: Config, source: ConfigSource | None) -> None:
        self.config = config
        self._supervisor = supervisor
        self._source = source
        #: Called with the result of the running reload, and of the next one.
        self._waiting: list[Callable[[ReloadResult], None]] | None = None
        self._waiting_for_next: list[Callable[[ReloadResult], None]] = []
        #: The same of the refresh of provider keys.
        self._refreshing: list[Callable[[list[str]], None]] | None = None
        self._refreshing_next: list[Callable[[list[str]], None]] = []

    def requested(self, worker: Requester, word: str, number: bytes) -> None:
        """A worker requests a change; it is sent the result with the number of its request."""
        if word == REQUEST_RELOAD:
            self.reload(lambda result: _respond(worker, number, result))
        elif word == REQUEST_REFRESH:
            self.refresh(lambda failed: _respond(worker, number, failed))

    def reload(self, done: Callable[[ReloadResult], None]) -> None:
        """Have all workers apply the file as it is now; `done` is called with the result."""
        if self._source is None:
            done(no_file_result())
            return
        # The file may have changed since a running reload read it.
        self._waiting_for_next.append(done)
        self._go_on()

    def refresh(self, done: Callable[[list[str]], None]) -> None:
        """Have all workers use the stored provider keys; `done` is called with what has failed."""
        self._refreshing_next.append(done)
        self._go_on()

    def _go_on(self) -> None:
        """Begin what waits, unless a change is being made."""
        if self._waiting is not None or self._refreshing is not None:
            return
        if self._waiting_for_next and self._source is not None:
            self._waiting, self._waiting_for_next = self._waiting_for_next, []
            self._begin_reload(self._source)
        elif self._refreshing_next:
            self._refreshing, self._refreshing_next = self._refreshing_next, []
            self._supervisor.broadcast(REFRESH, b"", self._refreshed, RELOAD_SECONDS)

    def _refreshed(self, results: dict[str, bytes]) -> None:
        failed = [f"{name}: {result.decode(errors='replace')}" for name, result in results.items() if result != APPLIED]
        waiting, self._refreshing = self._refreshing or [], None
        for done in waiting:
            done(failed)
        self._go_on()

    def _begin_reload(self, source: ConfigSource) -> None:
        try:
            loaded = source.read_for_reload()
        except ConfigFault as fault:
            self._finish_reload(failed_result(source.path, fault))
            return
        before = self.config
        found = changes(before, loaded.config)
        # A worker that is started from now on begins with it.
        self.config = applicable(before, loaded.config)
        self._supervisor.broadcast(
            "reload",
            msgspec.json.encode(self.config),
            lambda results: self._reloaded(source, before, loaded, found, results),
            RELOAD_SECONDS,
        )

    def _reloaded(
        self, source: ConfigSource, before: Config, loaded: Loaded, found: Changes, results: dict[str, bytes]
    ) -> None:
        file = str(source.path)
        faults = {name: result.decode(errors="replace") for name, result in results.items() if result != APPLIED}
        if not faults:
            source.applied(loaded.config)
            self._finish_reload(ReloadResult(True, file, (), loaded.warnings, found))
            return
        problems = [Problem(file, None, "", f"{name}: {fault}") for name, fault in faults.items()]
        self.config = before
        # Some may have applied it.
        self._supervisor.broadcast(
            "reload",
            msgspec.json.encode(before),
            lambda _: self._finish_reload(failed_result(source.path, ConfigProblems(problems))),
            RELOAD_SECONDS,
        )

    def _finish_reload(self, result: ReloadResult) -> None:
        log_result(result)
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done(result)
        self._go_on()


def _respond(worker: Requester, number: bytes, result: object) -> None:
    worker.send(RESPONSE, number + b" " + msgspec.json.encode(result))
