"""Several workers under one supervisor: what each does in its process, and what the supervisor decides for them."""

import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from proxy.config.changes import Changes, applicable, changes
from proxy.config.load import Loaded
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.tree import Config, Server
from proxy.demo import DemoSettings, demo_app
from proxy.errors import ConfigFault, GatewayError, StoreFailed
from proxy.ledger.ledger import open_reports, prepare
from proxy.observability.messages import configure_logging
from proxy.process.channel import WorkerEnd
from proxy.process.control_socket import KEEP_SECONDS, ControlSocket, Keeper
from proxy.process.heartbeat import Heart
from proxy.process.reload import ORDER, Outcome, Source, failed, tell, without_file
from proxy.process.run import Serving, serve, tell_end
from proxy.process.supervisor import BEAT, Member, Supervisor
from proxy.process.systemd import Notifier
from proxy.server.listener import InnerServer

#: Seconds that workers get to take a configuration.
RELOAD_SECONDS = 30.0
#: Seconds for an order to the supervisor to be written, and its answer to be read.
ORDER_SECONDS = 2.0
_TAKEN = b"taken"
_log = logging.getLogger(__name__)


class Worker:
    """One worker's process: a `Host` that does what the supervisor says."""

    def __init__(self, channel: socket.socket) -> None:
        self._main = asyncio.current_task()
        self._serving: Serving | None = None
        self._begun = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel = WorkerEnd(channel, self._hear, self._stop)
        self._heart = Heart(BEAT, self._beat)

    async def begin(self, serving: Serving) -> None:
        self._serving = serving
        self._begun.set()

    def ready(self) -> None:
        self._channel.say("ready")

    def draining(self) -> None:
        """The supervisor knows: it said so."""

    def fail(self, error: GatewayError) -> None:
        """It cannot serve."""
        self._channel.say("failed", str(error).replace("\n", "; ").encode())

    def end(self) -> None:
        """Everything has ended but this."""
        self._heart.stop()
        self._channel.close()

    def _beat(self) -> None:
        watched = self._serving is not None and self._serving.gateway.readiness.is_probed
        self._channel.say("beat", b"watched" if watched else b"")

    def _hear(self, word: str, payload: bytes) -> None:
        if word == "drain":
            running = self._serving.gateway.overload.in_flight if self._serving is not None else 0
            self._channel.say("running", str(running).encode())
            self._stop(float(payload))
        elif word == "end":
            self._stop()
        elif word == "take":
            self._spawn(self._take(payload))
        elif word == "adopt":
            self._spawn(self._adopt(int(payload)))
        elif word == "release" and self._serving is not None:
            self._serving.listener.release(int(payload))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self, notice: float = 0.0) -> None:
        if self._serving is not None:
            self._serving.listener.stop(notice)
        elif self._main is not None:
            self._main.cancel()

    async def _take(self, payload: bytes) -> None:
        await self._begun.wait()
        assert self._serving is not None
        try:
            await self._serving.reload(msgspec.json.decode(payload, type=Config))
        except ConfigFault as fault:
            self._channel.say("answer", str(fault).replace("\n", "; ").encode())
        else:
            self._channel.say("answer", _TAKEN)

    async def _adopt(self, number: int) -> None:
        await self._begun.wait()
        assert self._serving is not None
        await self._serving.listener.adopt(number)


class Crew:
    """The supervisor's side: an `Overseer`."""

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        own: bool,
        source: Source | None,
        notifier: Notifier,
        url: str,
        ready: Callable[[], None],
        demo: tuple[socket.socket, DemoSettings, str] | None,
    ) -> None:
        """`own` says that there is a socket for each worker; else all serve at all sockets. `ready` prints the ready
        block."""
        self._config = config
        self._sockets = sockets
        self._source = source
        self._notifier = notifier
        self._url = url
        self._tell_ready = ready
        self._demo = demo
        count = config.server.workers
        workers = [
            Member(f"worker {number + 1}", self._work_of(number, own), number if own else None)
            for number in range(count)
        ]
        helper = Member("the demo's provider", self._provide, None) if demo is not None else None
        self._supervisor = Supervisor(workers, helper, sockets, self)
        self._control: ControlSocket | None = None
        self._keeper: Keeper | None = None
        self._keep_at = 0.0
        #: The socket at which orders come.
        self._listening: socket.socket | None = None
        #: Who waits for the running reload, and for the next one.
        self._askers: list[Callable[[Outcome], None]] | None = None
        self._next: list[Callable[[Outcome], None]] = []

    @property
    def server(self) -> Server:
        return self._config.server

    def run(self) -> None:
        """Supervise to the end. Raises GatewayError."""
        directory = Path(self._config.server.data_dir)
        prepare(directory)
        self._control = ControlSocket(directory)
        self._keeper = Keeper(self._control)
        self._keep()
        try:
            self._supervisor.run()
            asyncio.run(_store_rest(directory))
        finally:
            self._control.close()
            self._notifier.close()

    # what the supervisor asks

    def ready(self) -> None:
        self._tell_ready()
        self._notifier.ready(self._url)

    def hang_up(self) -> None:
        if self._source is None:
            self._supervisor.stop()
            return
        self._notifier.reloading()
        self._order(lambda _: self._notifier.ready(self._url))

    def draining(self) -> None:
        self._notifier.stopping()
        self._keeper = None
        if self._control is not None:
            # One that has been started in its place may be asked.
            self._listen(None)
            self._control.close()

    def waits(self, answers: int, *, again: bool) -> None:
        tell_end(answers, self._config.server.shutdown_timeout, again=again, stream=sys.stderr)

    def tick(self) -> None:
        if self._notifier.watchdog:
            self._notifier.alive()
        if time.monotonic() >= self._keep_at:
            self._keep()

    def _keep(self) -> None:
        """Look after the control socket."""
        self._keep_at = time.monotonic() + KEEP_SECONDS
        if self._keeper is not None and self._control is not None:
            # It may be closed by that.
            self._listen(None)
            self._keeper.keep()
            self._listen(self._control.socket)

    def _listen(self, listening: socket.socket | None) -> None:
        before, self._listening = self._listening, listening
        if before is listening:
            return
        if before is not None:
            self._supervisor.forget(before)
        if listening is not None:
            self._supervisor.watch(listening, self._accept)

    # reloading

    def _accept(self) -> None:
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            connection.settimeout(ORDER_SECONDS)
            self._supervisor.watch(connection, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        self._supervisor.forget(connection)
        order = b""
        with contextlib.suppress(OSError):
            order = connection.recv(64)
        if order.decode("ascii", "replace").strip() == ORDER:
            self._order(lambda outcome: _answer(connection, outcome))
        else:
            connection.close()

    def _order(self, then: Callable[[Outcome], None]) -> None:
        if self._source is None:
            then(without_file())
        elif self._askers is not None:
            # The file may have changed since that one read it.
            self._next.append(then)
        else:
            self._askers = [then]
            self._begin(self._source)

    def _begin(self, source: Source) -> None:
        try:
            loaded = source.read_again()
        except ConfigFault as fault:
            self._finish(failed(source.path, fault))
            return
        before = self._config
        found = changes(before, loaded.config)
        # Whoever is started from now on begins with it.
        self._config = applicable(before, loaded.config)
        payload = msgspec.json.encode(self._config)
        self._supervisor.ask_all(
            "take", payload, lambda answers: self._taken(before, loaded, found, answers), RELOAD_SECONDS
        )

    def _taken(self, before: Config, loaded: Loaded, found: Changes, answers: dict[str, bytes]) -> None:
        assert self._source is not None
        file = str(self._source.path)
        faults = {name: answer.decode(errors="replace") for name, answer in answers.items() if answer != _TAKEN}
        if not faults:
            self._source.taken(loaded.config)
            self._finish(Outcome(True, file, (), loaded.warnings, found))
            return
        problems = [Problem(file, None, "", f"{name}: {fault}") for name, fault in faults.items()]
        self._config = before
        # Some may have taken it.
        self._supervisor.ask_all(
            "take",
            msgspec.json.encode(before),
            lambda _: self._finish(failed(self._path, ConfigProblems(problems))),
            RELOAD_SECONDS,
        )

    @property
    def _path(self) -> Path:
        assert self._source is not None
        return self._source.path

    def _finish(self, outcome: Outcome) -> None:
        tell(outcome)
        askers, self._askers = self._askers or [], None
        for then in askers:
            then(outcome)
        if self._next:
            self._askers, self._next = self._next, []
            assert self._source is not None
            self._begin(self._source)

    # in the processes

    def _work_of(self, number: int, own: bool) -> Callable[[socket.socket], int]:
        def work(channel: socket.socket) -> int:
            self._become(f"worker {number + 1}")
            mine = [self._sockets[number]] if own else list(self._sockets)
            key = self._demo[2] if self._demo is not None else ""
            return uvloop.run(_serve_as_worker(self._config, mine, key, channel, self._sockets if own else ()))

        return work

    def _provide(self, channel: socket.socket) -> int:
        self._become("provider")
        assert self._demo is not None
        for sock in self._sockets:
            sock.close()
        return uvloop.run(_provide(*self._demo[:2], channel))

    def _become(self, name: str) -> None:
        self._notifier.close()
        configure_logging(name, force=True)


async def _serve_as_worker(
    config: Config,
    sockets: Sequence[socket.socket],
    key: str,
    channel: socket.socket,
    all_sockets: Sequence[socket.socket],
) -> int:
    worker = Worker(channel)
    try:
        await serve(config, sockets, key, worker, all_sockets)
    except GatewayError as error:
        worker.fail(error)
        return 1
    except asyncio.CancelledError:
        # Told to end before it served.
        return 0
    finally:
        worker.end()
    return 0


async def _provide(listening: socket.socket, settings: DemoSettings, channel: socket.socket) -> int:
    """The demo's provider, one for all workers."""
    provider = InnerServer(demo_app(settings))

    def end(*_: object) -> None:
        provider.should_exit = True

    line = WorkerEnd(channel, end, end)
    heart = Heart(BEAT, lambda: line.say("beat"))
    line.say("ready")
    try:
        await provider.serve(sockets=[listening])
    finally:
        heart.stop()
        line.close()
    return 0


async def _store_rest(directory: Path) -> None:
    """Take in what the last workers left in their journals when they ended at the same moment."""
    try:
        async with open_reports(directory):
            pass
    except StoreFailed as error:
        _log.error("the journal was not stored to its end; the next start does so: %s", error.message)


def _answer(connection: socket.socket, outcome: Outcome) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(msgspec.json.encode(outcome))
