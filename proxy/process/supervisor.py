"""The process above the workers: starts them, restarts what ends or hangs, passes orders on. It serves nothing itself.

It has no threads and no event loop, so that it can fork: a worker begins with all modules loaded and the sockets bound.
While one is away the others take the connections that queue at its socket. What a worker does is not known here.
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

#: Seconds between two looks at the workers, when nothing happens.
TICK = 0.25
#: Seconds between two beats of a worker, and of silence after which others take its connections.
BEAT = 0.5
LATE = 2.0
#: Seconds that a worker may take before its first beat.
START = 30.0
#: A worker that lives for so many seconds has come up; the restart of one that has not waits longer each time.
LIVES = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
#: So many ends in a row as soon as it is started, of every worker: nothing will mend it.
HOPELESS = 6
#: Seconds that workers get to say how many answers still run.
COUNT = 1.0
#: Seconds beyond their own time that workers get to end.
PATIENCE = 10.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_log = logging.getLogger(__name__)


class WorkersFailed(GatewayError):
    """The workers cannot be brought up, or end as soon as they are."""

    code = "workers_failed"


class Overseer(Protocol):
    """Who decides what the supervisor only carries out; called between two looks."""

    @property
    def server(self) -> Server:
        """The settings as they are now."""
        ...

    def ready(self) -> None:
        """All are up for the first time."""
        ...

    def hang_up(self) -> None:
        """SIGHUP."""
        ...

    def draining(self) -> None:
        """The end has begun."""
        ...

    def waits(self, answers: int, *, again: bool) -> None:
        """So many answers still ran when the end began; `again` where a second signal may follow the first."""
        ...

    def tick(self) -> None:
        """Four times a second at least."""
        ...


class Member:
    """One process, and each that takes its place."""

    def __init__(self, name: str, work: Callable[[socket.socket], int], place: int | None) -> None:
        """`place` is the number of its own listening socket, None where it has none of its own.

        `work` is run in the process, with its end of the channel; what it gives is the exit code.
        """
        self.name = name
        self.work = work
        self.place = place
        self.process = 0
        self.channel: SupervisorEnd | None = None
        self.started = self.beat = self.restart_at = 0.0
        self.ready_at: float | None = None
        #: Somebody has asked it for its readiness of late.
        self.watched = False
        #: How often in a row it ended before it had come up.
        self.early_ends = 0
        self.lent_to: Member | None = None
        self.failure = ""

    def serves(self, now: float, late: float = LATE) -> bool:
        """Whether it takes connections, as far as can be known: it was heard of in the last `late` seconds."""
        return self.ready_at is not None and now - self.beat < late

    def say(self, word: str, payload: bytes = b"") -> bool:
        """Say something to it, if it is there."""
        return self.channel is not None and self.channel.say(word, payload)


class _Question:
    """Something all were told, and what they answer."""

    def __init__(self, of: set[Member], done: Callable[[dict[str, bytes]], None], until: float) -> None:
        self.of = of
        self.done = done
        self.until = until
        self.answers: dict[str, bytes] = {}


class Supervisor:
    """See the module. `workers` serve; `helper`, where there is one, serves them and ends after them."""

    def __init__(
        self, workers: Sequence[Member], helper: Member | None, sockets: Sequence[socket.socket], overseer: Overseer
    ) -> None:
        self._workers = list(workers)
        self._helper = helper
        self._sockets = sockets
        self._overseer = overseer
        self._selector = selectors.DefaultSelector()
        #: Closed in every child.
        self._own: list[socket.socket] = []
        self._was_ready = False
        #: When what has not ended is killed, once the end has begun.
        self._kill_at: float | None = None
        self._question: _Question | None = None
        self._failure = ""
        #: Who has not said yet how many answers it still had when the end began, until when that is waited for, and
        #: how many there are so far.
        self._counting: set[Member] = set()
        self._count_until = 0.0
        self._answers = 0
        self._again = False

    def watch(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """Call `act` whenever a socket is readable; children do not inherit it."""
        self._own.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, act)

    def forget(self, sock: socket.socket) -> None:
        """ResponseObserver a socket no longer."""
        self._own.remove(sock)
        self._selector.unregister(sock)

    def ask_all(self, word: str, payload: bytes, done: Callable[[dict[str, bytes]], None], seconds: float) -> None:
        """Say something to all workers, and give their answers by name to `done`; a worker that ends is left out, one
        that does not answer in time is ended. One question at a time."""
        assert self._question is None
        there = {worker for worker in self._workers if worker.say(word, payload)}
        self._question = _Question(there, done, time.monotonic() + seconds)

    def run(self) -> None:
        """Start all, and keep them until the end. Raises `WorkersFailed`."""
        wake, waker = socket.socketpair()
        with wake, waker, self._selector:
            wake.setblocking(False)
            waker.setblocking(False)
            self.watch(wake, lambda: self._signalled(wake))
            self._own.append(waker)
            signal.set_wakeup_fd(waker.fileno())
            for number in _SIGNALS:
                # Only its number counts, which arrives by the socket.
                signal.signal(number, lambda *_: None)
            # What is here at the fork is shared with the workers, and stays so if no collector touches it.
            gc.collect()
            gc.freeze()
            for member in self._members():
                self._start(member)
            while self._look():
                for key, _ in self._selector.select(TICK):
                    key.data()
            signal.set_wakeup_fd(-1)
        if self._failure:
            raise WorkersFailed(self._failure)

    def _members(self) -> list[Member]:
        return [*([self._helper] if self._helper is not None else []), *self._workers]

    def _look(self) -> bool:
        """Do what is due; False at the end."""
        now = time.monotonic()
        self._overseer.tick()
        self._reap(now)
        self._check_question(now)
        running = [member for member in self._members() if member.process]
        if self._kill_at is not None:
            return self._end_on(now, running)
        for member in running:
            self._check_beat(member, now)
        for member in self._members():
            if not member.process and member.restart_at <= now:
                self._start(member)
        self._lend(now)
        return True

    # the end

    def _end_on(self, now: float, running: list[Member]) -> bool:
        assert self._kill_at is not None
        self._counting.intersection_update(running)
        if self._count_until and (not self._counting or now > self._count_until):
            self._count_until = 0.0
            self._overseer.waits(self._answers, again=self._again)
        if running == [self._helper]:
            running[0].say("end")
        if now > self._kill_at:
            for member in running:
                _log.error("%s (process %d) does not end, and is killed", member.name, member.process)
                _kill(member)
        return bool(running)

    def _signalled(self, wake: socket.socket) -> None:
        try:
            numbers = wake.recv(64)
        except BlockingIOError:
            return
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._end(notice=number == signal.SIGTERM)
            elif number == signal.SIGHUP and self._kill_at is None:
                self._overseer.hang_up()

    def _end(self, *, notice: bool) -> None:
        now = time.monotonic()
        if self._kill_at is not None:
            self._kill_at = min(self._kill_at, now + PATIENCE)
            for worker in self._workers:
                worker.say("end")
            return
        self._overseer.draining()
        server = self._overseer.server
        # One for all: a socket that is still open, and at which nobody takes connections, would keep them waiting.
        watched = notice and any(worker.watched for worker in self._workers)
        pause = server.drain_notice if watched else 0.0
        self._kill_at = now + max(pause, server.shutdown_timeout) + PATIENCE
        self._counting = {worker for worker in self._workers if worker.say("drain", str(pause).encode())}
        self._count_until = now + COUNT
        self._again = not notice
        for sock in self._sockets:
            sock.close()

    def stop(self) -> None:
        """Begin the end, without notice."""
        self._end(notice=False)

    def _give_up(self, why: str) -> None:
        self._failure = why
        if self._kill_at is None:
            self._end(notice=False)

    # starting

    def _start(self, member: Member) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the child ignores them, a signal to it would be told by the socket that it shares with this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        process = os.fork()
        if not process:
            ours.close()
            self._become(member, theirs, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        member.process = process
        member.started = member.beat = time.monotonic()
        member.ready_at, member.failure, member.watched = None, "", False
        member.channel = SupervisorEnd(ours)
        self.watch(ours, lambda: self._hear(member))

    def _become(self, member: Member, channel: socket.socket, mask: Iterable[int]) -> NoReturn:
        """Be the member's process, from the fork to its end."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                # A terminal or a service manager may signal all processes; what it means is the supervisor's to say.
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            for sock in self._own:
                sock.close()
            code = member.work(channel)
        except BaseException:  # noqa: BLE001 (the border of the process)
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    # watching

    def _hear(self, member: Member) -> None:
        assert member.channel is not None
        said = member.channel.read()
        if said is None:
            # It is about to end, or has; that it did is learnt by its exit.
            self.forget(member.channel.socket)
            member.channel.socket.close()
            member.channel = None
            return
        for word, payload in said:
            member.beat = time.monotonic()
            if word == "beat":
                member.watched = payload == b"watched"
            elif word == "ready":
                self._is_ready(member)
            elif word == "running":
                self._counting.discard(member)
                self._answers += int(payload)
            elif word == "failed":
                member.failure = payload.decode(errors="replace")
            elif word == "answer" and self._question is not None and member in self._question.of:
                self._question.of.discard(member)
                self._question.answers[member.name] = payload

    def _is_ready(self, member: Member) -> None:
        member.ready_at = time.monotonic()
        if self._was_ready:
            _log.info("%s serves again (process %d)", member.name, member.process)
        elif all(one.ready_at is not None for one in self._members()) and self._kill_at is None:
            self._was_ready = True
            self._overseer.ready()

    def _check_beat(self, member: Member, now: float) -> None:
        patience = self._overseer.server.worker_timeout if member.beat > member.started else START
        if now - member.beat > patience:
            _log.error(
                "%s (process %d) has hung for %.0f s, and is killed", member.name, member.process, now - member.beat
            )
            _kill(member)

    def _reap(self, now: float) -> None:
        """Take in every process that has ended; also those that are not ours, as a container's first process must."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            for member in self._members():
                if member.process == process:
                    self._ended(member, os.waitstatus_to_exitcode(status), now)

    def _ended(self, member: Member, code: int, now: float) -> None:
        if member.channel is not None:
            # Its last words.
            self._hear(member)
        if member.channel is not None:
            self.forget(member.channel.socket)
            member.channel.socket.close()
            member.channel = None
        process, member.process = member.process, 0
        if self._question is not None:
            self._question.of.discard(member)
        for worker in self._workers:
            if worker.lent_to is member:
                worker.lent_to = None
        if self._kill_at is not None:
            return
        how = member.failure or (f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}")
        if not self._was_ready and member.failure:
            self._give_up(member.failure)
            return
        came_up = member.ready_at is not None and now - member.ready_at >= LIVES
        member.early_ends = 0 if came_up else member.early_ends + 1
        member.ready_at = None
        alike = [self._helper] if member is self._helper else self._workers
        if min(one.early_ends for one in alike if one is not None) >= HOPELESS:
            self._give_up(f"{member.name} ended {member.early_ends} times in a row as soon as it was started: {how}")
            return
        pause = 0.0
        if member.early_ends > 1:
            pause = min(FIRST_PAUSE * 2.0 ** (member.early_ends - 2), LONGEST_PAUSE)
        member.restart_at = now + pause
        later = f" in {pause:.1f} s" if pause else ""
        _log.error("%s (process %d) ended: %s; another is started%s", member.name, process, how, later)

    def _check_question(self, now: float) -> None:
        question = self._question
        if question is None or (question.of and now < question.until):
            return
        self._question = None
        for member in question.of:
            _log.error("%s (process %d) does not answer, and is killed", member.name, member.process)
            _kill(member)
        question.done(question.answers)

    def _lend(self, now: float) -> None:
        """Have the connections at the socket of a worker that is away taken by another, until it is back."""
        late = min(LATE, self._overseer.server.worker_timeout / 2)
        for worker in self._workers:
            if worker.place is None:
                continue
            place = str(worker.place).encode()
            if worker.serves(now, late):
                if worker.lent_to is not None:
                    worker.lent_to.say("release", place)
                    worker.lent_to = None
            elif self._was_ready and (worker.lent_to is None or not worker.lent_to.serves(now, late)):
                if worker.lent_to is not None:
                    worker.lent_to.say("release", place)
                able = [one for one in self._workers if one is not worker and one.serves(now, late)]
                worker.lent_to = able[0] if able else None
                if worker.lent_to is not None:
                    worker.lent_to.say("adopt", place)


def _kill(member: Member) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(member.process, signal.SIGKILL)
    # Not again before it can have ended.
    member.beat = time.monotonic()
