"""Counts what code does instead of timing it: a figure that is the same on every machine and under every load.

It counts calls, tasks, futures and callbacks of one event loop, and the reads and writes of its sockets. It measures no
time and knows nothing of requests; what is counted is chosen in `rig` and in the tests.
"""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from types import FrameType
from typing import Any, Self

import msgspec
import orjson

#: The C functions that read JSON; the standard library's reader is a Python function.
_DECODERS = (msgspec.json.decode, orjson.loads)
_STANDARD_READER = ("json.decoder", "raw_decode")


@dataclass(slots=True)
class Counts:
    """Counts of what happened; two of them can be subtracted."""

    python_calls: int = 0
    c_calls: int = 0
    #: Readings of JSON text.
    decodes: int = 0
    #: Calls into `logging`.
    log_calls: int = 0
    tasks: int = 0
    futures: int = 0
    #: Callbacks planned on the loop, at once or for later.
    callbacks: int = 0
    #: `os.write`: what is appended to files.
    file_writes: int = 0

    def __sub__(self, other: Self) -> "Counts":
        return Counts(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))

    def over(self, budget: "Counts") -> dict[str, tuple[int, int]]:
        """The counts beyond the budget, each with its budget, by name."""
        mine, allowed = asdict(self), asdict(budget)
        return {name: (mine[name], allowed[name]) for name in mine if mine[name] > allowed[name]}

    def shared_by(self, number: int) -> "Counts":
        """The part of each of `number` things, rounded up: a thing that happens now and then is not lost."""
        return Counts(*(-(-getattr(self, one.name) // number) for one in fields(self)))


class CountingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, which counts what its own thread asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counts | None = None
        #: Turns so far. Timers that have no part in what is counted turn it too: compare turns, do not sum them.
        self.turn = 0
        #: Called for each system call that reads or writes a socket: whether it writes, and the socket.
        self.watcher: Callable[[bool, socket.socket], None] | None = None

    def create_future(self) -> asyncio.Future[Any]:
        if self.counts is not None:
            self.counts.futures += 1
        return super().create_future()

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if self.counts is not None:
            self.counts.tasks += 1
        return super().create_task(coro, **options)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        if self.counts is not None:
            self.counts.callbacks += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        # `call_later` comes this way too.
        if self.counts is not None:
            self.counts.callbacks += 1
        return super().call_at(when, callback, *args, context=context)

    # What follows is asyncio's own inside: there is no other way to see a turn, or a system call of a socket.

    def _run_once(self) -> None:
        self.turn += 1
        super()._run_once()  # type: ignore[misc]

    def _make_socket_transport(self, sock: socket.socket, *arguments: Any, **options: Any) -> Any:
        watched = _WatchedSocket(sock.family, sock.type, sock.proto, sock.detach())
        watched.setblocking(False)
        watched.loop = self
        return super()._make_socket_transport(watched, *arguments, **options)  # type: ignore[misc]


class _WatchedSocket(socket.socket):
    """A socket that reports every system call that moves bytes to its loop."""

    loop: CountingLoop

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        self._tell(False)
        return super().recv(bufsize, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self._tell(True)
        return super().send(data, flags)

    def sendmsg(self, *arguments: Any) -> int:
        self._tell(True)
        return super().sendmsg(*arguments)

    def _tell(self, write: bool) -> None:
        if self.loop.watcher is not None:
            self.loop.watcher(write, self)


@contextmanager
def counted(loop: CountingLoop) -> Iterator[Counts]:
    """Count what this thread does inside the `with`, the loop's own work included. No collection of garbage runs."""
    counts = Counts()

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            module = frame.f_globals.get("__name__", "")
            if module == __name__:
                return
            counts.python_calls += 1
            if (module, frame.f_code.co_name) == _STANDARD_READER:
                counts.decodes += 1
            if module.partition(".")[0] == "logging":
                counts.log_calls += 1
        elif event == "c_call":
            counts.c_calls += 1
            if is_decoder(argument):
                counts.decodes += 1
            elif argument.__name__ == "write" and argument.__module__ == "posix":
                counts.file_writes += 1

    collecting = gc.isenabled()
    gc.disable()
    loop.counts = counts
    sys.setprofile(seen)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        loop.counts = None
        # Its own end is seen too.
        counts.c_calls -= 1
        if collecting:
            gc.enable()


def is_decoder(function: Any) -> bool:
    """Whether a C function parses JSON."""
    if isinstance(getattr(function, "__self__", None), msgspec.json.Decoder):
        return bool(function.__name__ in ("decode", "decode_lines"))
    return function in _DECODERS
