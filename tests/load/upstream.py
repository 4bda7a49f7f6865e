"""An upstream that misbehaves, in a process of its own: `python -m tests.load.upstream RECORDS`.

It answers as the model in the request says (see `kinds`), and writes what it saw and when to the file RECORDS when it
is told to end. It holds what it checks against nobody: that is the suites' business.
"""

import asyncio
import functools
import gc
import math
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import msgspec
import uvloop

from tests.load.answers import MARK
from tests.load.kinds import PLANS, Plan, Step

#: What happened: a request began to come, was answered to its end, or its connection was closed by the gateway before
#: that; or it held what is not its own.
Event = Literal["asked", "served", "closed", "foreign"]
_KIND = re.compile(rb'(?:"model":"|name="model"\r\n\r\n)([a-z]+)')
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\ncookie:", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)


class Seen(NamedTuple):
    """One thing that the upstream saw; `moment` is of the monotonic clock, which all processes share."""

    number: int
    kind: str
    event: Event
    moment: float


def read_records(path: Path) -> Iterator[Seen]:
    """What an upstream that has ended saw, in its order."""
    yield from msgspec.json.decode(path.read_bytes(), type=list[Seen])


class Connection(asyncio.Protocol):
    """One connection of the gateway: reads a request, plays its plan."""

    def __init__(self, seen: list[Seen]) -> None:
        self._seen = seen
        self._buffer = b""
        self._number = -1
        self._kind = ""
        self._plan: Plan | None = None
        #: A request has begun to come and is not answered to its end.
        self._owing = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._owing:
            self._begin()
        if self._owing and self._plan is None:
            self._take()

    def eof_received(self) -> None:
        self._closed()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed()
        self._plan = None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._play()

    def _begin(self) -> None:
        """Learn which request it is; forms come in pieces, and what names them comes first."""
        number, kind = MARK.search(self._buffer), _KIND.search(self._buffer)
        if number is not None and kind is not None:
            self._plan = None
            self._owing = True
            self._number = int(number[1])
            self._kind = kind[1].decode()
            self._note("asked")

    def _take(self) -> None:
        """Answer once the whole request is there."""
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not end or (len(body) < int(length[1]) if length is not None else not body.endswith(b"0\r\n\r\n")):
            return
        self._buffer = b""
        if _COOKIE.search(head) or any(int(number) != self._number for number in MARK.findall(body)):
            self._note("foreign")
        self._plan = PLANS[self._kind](self._number, b'"stream":true' in body)
        self._play()

    def _play(self) -> None:
        plan = self._plan
        while plan is not None and plan is self._plan and not self._paused:
            step = next(plan, None)
            if step is None:
                self._plan = None
            elif isinstance(step, bytes):
                self._transport.write(step)
            elif step is Step.ANSWERED:
                self._owing = False
                self._note("served")
            elif isinstance(step, float):
                if step != math.inf:
                    asyncio.get_running_loop().call_later(step, self._wake, plan)
                return
            else:
                self._end(step)

    def _wake(self, plan: Plan) -> None:
        # In the turn after the next: a request that is there by now is to be seen before its connection is written to,
        # and what a timer puts off runs before the sockets are looked at.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._go_on, plan)

    def _go_on(self, plan: Plan) -> None:
        if plan is self._plan:
            self._play()

    def _end(self, step: Step) -> None:
        self._plan = None
        self._owing = False
        if step is Step.RESET:
            # Linger is set on the socket itself; the transport's close then resets.
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()

    def _closed(self) -> None:
        if self._owing:
            self._owing = False
            self._note("closed")

    def _note(self, event: Event) -> None:
        self._seen.append(Seen(self._number, self._kind, event, time.monotonic()))


async def serve(records: Path) -> None:
    """Serve on a free port until SIGTERM, then write the records."""
    seen: list[Seen] = []
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(functools.partial(Connection, seen), "127.0.0.1", 0, backlog=4096)
    print(f"Ready: http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    # A collection would show as the gateway's slowness, and the records are no garbage.
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)
    await stop.wait()
    server.close()
    await asyncio.to_thread(records.write_bytes, msgspec.json.encode(seen))


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
