"""The parent process of the workers: forks them, restarts those that exit or hang, and stops them.

It serves nothing itself, and has neither threads nor an event loop, so that it can fork: a worker begins with all
modules loaded and the sockets bound. While one is away, others accept the connections that queue at its socket.
"""

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, Protocol

from proxy.config.tree import Server
from proxy.errors import GatewayError
from proxy.process.channel import SupervisorEnd

#: Seconds between two rounds of checks, when nothing happens.
TICK_SECONDS = 0.25
#: Seconds between two heartbeats of a worker, and without one after which others take its connections.
HEARTBEAT_SECONDS = 0.5
LATE_SECONDS = 2.0
#: Seconds that a worker may take until its first heartbeat.
START_SECONDS = 30.0
#: A worker that runs for so many seconds has come up; the restart of one that has not is delayed longer each time.
MIN_UPTIME_SECONDS = 0.25
MIN_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 0.2, 5.0
#: So many exits in a row before it has come up, of every worker: the supervisor gives up.
MAX_EARLY_EXITS = 6
#: Seconds that workers get to report how many requests still run.
COUNT_SECONDS = 1.0
#: Seconds beyond their own shutdown timeout that workers get to exit.
EXIT_SECONDS = 10.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_log = logging.getLogger(__name__)


class WorkersFailed(GatewayError):
    """The workers cannot be brought up, or end as soon as they are."""

    code = "workers_failed"


class SupervisorDelegate(Protocol):
    """Decides what the supervisor only carries out; called between two rounds of checks."""

    @property
    def server(self) -> Server:
        """The settings as they are now."""

    def ready(self) -> None:
        """All processes are up for the first time."""

    def hang_up(self) -> None:
        """SIGHUP."""

    def exited(self, worker: int) -> None:
        """The process of a worker, by its place in their list, has ended; no other has been started for it."""

    def draining(self) -> None:
        """The shutdown has begun."""

    def waiting(self, running: int, *, again: bool) -> None:
        """So many requests still ran when the shutdown began; `again` where a second signal may follow the first."""

    def requested(self, child: "ChildProcess", word: str, payload: bytes) -> None:
        """A process requests something of its delegate by a message that is none of the supervisor's."""

    def tick(self) -> None:
        """Four times a second at least."""


class ChildProcess:
    """A worker, or the demo's provider: its current process, and its restarts."""

    def __init__(self, name: str, main: Callable[[socket.socket], int], place: int | None) -> None:
        """`main` is run in the process, with its end of the channel, and returns the exit code.

        `place` is the number of its own listening socket, None where it has none of its own.
        """
        self.name = name
        self.main = main
        self.place = place
        #: Its process id; 0 while it does not run.
        self.pid = 0
        self.channel: SupervisorEnd | None = None
        #: Monotonic times of the start, the last message, and the next restart; and of the ready message, if it came.
        self.started = self.last_heartbeat = self.restart_at = 0.0
        self.ready_at: float | None = None
        #: Its readiness was asked for recently, by a load balancer.
        self.is_watched = False
        #: Exits in a row before it had come up.
        self.early_exits = 0
        #: The reason that it has given for its exit.
        self.failure = ""

    def is_serving(self, now: float, seconds: float = LATE_SECONDS) -> bool:
        """Whether it accepts connections, as far as is known: there was a heartbeat in the last `seconds`."""
        return self.ready_at is not None and now - self.last_heartbeat < seconds

    def send(self, word: str, payload: bytes = b"") -> bool:
        """Send it a message; False if it does not run."""
        return self.channel is not None and self.channel.send(word, payload)


class _Broadcast:
    """A message to all workers, and their results."""

    def __init__(self, pending: set[ChildProcess], done: Callable[[dict[str, bytes]], None], deadline: float) -> None:
        self.pending = pending
        self.done = done
        self.deadline = deadline
        self.results: dict[str, bytes] = {}


class _Shutdown:
    """A shutdown that has begun."""

    def __init__(self, kill_at: float, counting: set[ChildProcess], count_until: float, again: bool) -> None:
        #: When what has not exited is killed.
        self.kill_at = kill_at
        #: Workers that have not reported their running requests, and until when that is waited for; 0.0 is no longer.
        self.counting = counting
        self.count_until = count_until
        #: Requests that still ran, as far as was reported.
        self.running = 0
        #: A second signal may follow the first.
        self.again = again


class Supervisor:
    """Forks and watches `workers`; `helper`, where there is one, serves them and exits after them."""

    def __init__(
        self,
        workers: Sequence[ChildProcess],
        helper: ChildProcess | None,
        sockets: Sequence[socket.socket],
        delegate: SupervisorDelegate,
    ) -> None:
        self._workers = list(workers)
        self._helper = helper
        self._sockets = sockets
        self._delegate = delegate
        self._selector = selectors.DefaultSelector()
        #: Closed in every child.
        self._own_sockets: list[socket.socket] = []
        #: Workers that are away, and those that accept the connections at their sockets meanwhile.
        self._substitutes: dict[ChildProcess, ChildProcess] = {}
        self._was_ready = False
        self._shutdown: _Shutdown | None = None
        self._broadcast: _Broadcast | None = None
        self._failure = ""

    def watch(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """Call `act` whenever a socket is readable; children do not inherit it."""
        self._own_sockets.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, act)

    def unwatch(self, sock: socket.socket) -> None:
        """Watch a socket no longer."""
        self._own_sockets.remove(sock)
        self._selector.unregister(sock)

    def broadcast(self, word: str, payload: bytes, done: Callable[[dict[str, bytes]], None], seconds: float) -> None:
        """Send a message to all workers, and give their results by name to `done`; a worker that exits is left out, one
        that sends no result in time is killed. One broadcast at a time."""
        assert self._broadcast is None
        pending = {worker for worker in self._workers if worker.send(word, payload)}
        self._broadcast = _Broadcast(pending, done, time.monotonic() + seconds)

    def run(self) -> None:
        """Start all processes, and keep them until the shutdown is over. Raises `WorkersFailed`."""
        wake, waker = socket.socketpair()
        with wake, waker, self._selector:
            wake.setblocking(False)
            waker.setblocking(False)
            self.watch(wake, lambda: self._signalled(wake))
            self._own_sockets.append(waker)
            signal.set_wakeup_fd(waker.fileno())
            for number in _SIGNALS:
                # Only its number counts, which arrives by the socket.
                signal.signal(number, lambda *_: None)
            # What is here at the fork is shared with the workers, and stays so if no collector touches it.
            gc.collect()
            gc.freeze()
            for child in self._children():
                self._start(child)
            while self._check():
                for key, _ in self._selector.select(TICK_SECONDS):
                    key.data()
            signal.set_wakeup_fd(-1)
        if self._failure:
            raise WorkersFailed(self._failure)

    def _children(self) -> list[ChildProcess]:
        return [*([self._helper] if self._helper is not None else []), *self._workers]

    def _check(self) -> bool:
        """Do what is due; False when all is over."""
        now = time.monotonic()
        self._delegate.tick()
        self._reap(now)
        self._check_broadcast(now)
        running = [child for child in self._children() if child.pid]
        if self._shutdown is not None:
            return self._check_shutdown(self._shutdown, now, running)
        for child in running:
            self._check_heartbeat(child, now)
        for child in self._children():
            if not child.pid and child.restart_at <= now:
                self._start(child)
        self._substitute(now)
        return True

    # shutdown

    def _check_shutdown(self, shutdown: _Shutdown, now: float, running: list[ChildProcess]) -> bool:
        shutdown.counting.intersection_update(running)
        if shutdown.count_until and (not shutdown.counting or now > shutdown.count_until):
            shutdown.count_until = 0.0
            self._delegate.waiting(shutdown.running, again=shutdown.again)
        if running == [self._helper]:
            running[0].send("end")
        if now > shutdown.kill_at:
            for child in running:
                _log.error("%s (process %d) does not end, and is killed", child.name, child.pid)
                _kill(child)
        return bool(running)

    def _signalled(self, wake: socket.socket) -> None:
        try:
            numbers = wake.recv(64)
        except BlockingIOError:
            return
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._begin_shutdown(notice=number == signal.SIGTERM)
            elif number == signal.SIGHUP and self._shutdown is None:
                self._delegate.hang_up()

    def _begin_shutdown(self, *, notice: bool) -> None:
        """Drain the workers; a second call ends them at once."""
        now = time.monotonic()
        if self._shutdown is not None:
            self._shutdown.kill_at = min(self._shutdown.kill_at, now + EXIT_SECONDS)
            for worker in self._workers:
                worker.send("end")
            return
        self._delegate.draining()
        server = self._delegate.server
        # One for all: a socket that is still open, and at which no process accepts, would keep connections waiting.
        is_watched = notice and any(worker.is_watched for worker in self._workers)
        pause = server.drain_notice if is_watched else 0.0
        kill_at = now + max(pause, server.shutdown_timeout) + EXIT_SECONDS
        counting = {worker for worker in self._workers if worker.send("drain", str(pause).encode())}
        self._shutdown = _Shutdown(kill_at, counting, now + COUNT_SECONDS, not notice)
        for sock in self._sockets:
            sock.close()

    def stop(self) -> None:
        """Begin the shutdown, without notice."""
        self._begin_shutdown(notice=False)

    def _give_up(self, why: str) -> None:
        self._failure = why
        if self._shutdown is None:
            self._begin_shutdown(notice=False)

    # starting

    def _start(self, child: ChildProcess) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the child ignores them, its signals would arrive by the socket that it shares with this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            ours.close()
            self._run_child(child, theirs, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        child.pid = pid
        child.started = child.last_heartbeat = time.monotonic()
        child.ready_at, child.failure, child.is_watched = None, "", False
        child.channel = SupervisorEnd(ours)
        self.watch(ours, lambda: self._receive(child))

    def _run_child(self, child: ChildProcess, channel: socket.socket, mask: Iterable[int]) -> NoReturn:
        """Be the child, from the fork to its exit."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                # A terminal or a service manager may signal all processes: the supervisor alone acts on it.
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            for sock in self._own_sockets:
                sock.close()
            code = child.main(channel)
        except BaseException:  # noqa: BLE001 (the border of the process)
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    # watching

    def _receive(self, child: ChildProcess) -> None:
        assert child.channel is not None
        messages = child.channel.receive()
        if messages is None:
            # It is about to exit, or has: `_reap` sees that.
            self._close_channel(child)
            return
        for word, payload in messages:
            child.last_heartbeat = time.monotonic()
            if word == "heartbeat":
                child.is_watched = payload == b"watched"
            elif word == "ready":
                self._is_ready(child)
            elif word == "running" and self._shutdown is not None:
                self._shutdown.counting.discard(child)
                self._shutdown.running += int(payload)
            elif word == "failed":
                child.failure = payload.decode(errors="replace")
            elif word == "result" and self._broadcast is not None and child in self._broadcast.pending:
                self._broadcast.pending.discard(child)
                self._broadcast.results[child.name] = payload
            elif word.startswith("request-"):
                self._delegate.requested(child, word, payload)

    def _close_channel(self, child: ChildProcess) -> None:
        if child.channel is not None:
            self.unwatch(child.channel.socket)
            child.channel.socket.close()
            child.channel = None

    def _is_ready(self, child: ChildProcess) -> None:
        child.ready_at = time.monotonic()
        if self._was_ready:
            _log.info("%s serves again (process %d)", child.name, child.pid)
        elif all(one.ready_at is not None for one in self._children()) and self._shutdown is None:
            self._was_ready = True
            self._delegate.ready()

    def _check_heartbeat(self, child: ChildProcess, now: float) -> None:
        has_started = child.last_heartbeat > child.started
        silent = now - child.last_heartbeat
        if silent > (self._delegate.server.worker_timeout if has_started else START_SECONDS):
            _log.error("%s (process %d) has hung for %.0f s, and is killed", child.name, child.pid, silent)
            _kill(child)

    def _reap(self, now: float) -> None:
        """Collect every process that has exited; also those that are not ours, as a container's first process must."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for child in self._children():
                if child.pid == pid:
                    self._exited(child, os.waitstatus_to_exitcode(status), now)

    def _exited(self, child: ChildProcess, code: int, now: float) -> None:
        """Plan the restart of a process that has exited, or give up."""
        if child.channel is not None:
            # Messages that it sent before its exit.
            self._receive(child)
        self._close_channel(child)
        pid, child.pid = child.pid, 0
        if child is not self._helper:
            self._delegate.exited(self._workers.index(child))
        if self._broadcast is not None:
            self._broadcast.pending.discard(child)
        for worker in [one for one, substitute in self._substitutes.items() if substitute is child]:
            del self._substitutes[worker]
        if self._shutdown is not None:
            return
        how = child.failure or (f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}")
        if not self._was_ready and child.failure:
            self._give_up(child.failure)
            return
        came_up = child.ready_at is not None and now - child.ready_at >= MIN_UPTIME_SECONDS
        child.early_exits = 0 if came_up else child.early_exits + 1
        child.ready_at = None
        alike = [self._helper] if child is self._helper else self._workers
        if min(one.early_exits for one in alike if one is not None) >= MAX_EARLY_EXITS:
            self._give_up(f"{child.name} ended {child.early_exits} times in a row as soon as it was started: {how}")
            return
        delay = 0.0
        if child.early_exits > 1:
            delay = min(MIN_RESTART_DELAY_SECONDS * 2.0 ** (child.early_exits - 2), MAX_RESTART_DELAY_SECONDS)
        child.restart_at = now + delay
        later = f" in {delay:.1f} s" if delay else ""
        _log.error("%s (process %d) ended: %s; another is started%s", child.name, pid, how, later)

    def _check_broadcast(self, now: float) -> None:
        broadcast = self._broadcast
        if broadcast is None or (broadcast.pending and now < broadcast.deadline):
            return
        self._broadcast = None
        for child in broadcast.pending:
            _log.error("%s (process %d) does not respond, and is killed", child.name, child.pid)
            _kill(child)
        broadcast.done(broadcast.results)

    def _substitute(self, now: float) -> None:
        """Have another worker accept the connections at the socket of one that is away, until it is back."""
        late = min(LATE_SECONDS, self._delegate.server.worker_timeout / 2)
        for worker in self._workers:
            substitute = self._substitutes.get(worker)
            is_away = worker.place is not None and not worker.is_serving(now, late)
            if substitute is not None and (not is_away or not substitute.is_serving(now, late)):
                substitute.send("release", str(worker.place).encode())
                del self._substitutes[worker]
            if is_away and self._was_ready and worker not in self._substitutes:
                able = [one for one in self._workers if one is not worker and one.is_serving(now, late)]
                if able:
                    self._substitutes[worker] = able[0]
                    able[0].send("adopt", str(worker.place).encode())


def _kill(child: ChildProcess) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    # Not again before it can have exited.
    child.last_heartbeat = time.monotonic()
