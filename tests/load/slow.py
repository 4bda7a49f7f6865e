"""Clients that do not read and clients that do not come to the point: `python -m tests.load.slow`, or `make slow`.

Thousands of readers of an endless stream who read nothing, and as many heads that come a byte at a time, at once: the
gateway's memory stays bounded, both are dropped when their time is over, and good traffic in between is served as
ever. Exits with 1 where that is not so.
"""

import argparse
import asyncio
import contextlib
import math
import select
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from proxy.ledger.record import UsageRecord
from tests.load import answers, asking
from tests.load.client import Visitor
from tests.load.figures import Figures, percentile
from tests.load.processes import Process, raise_descriptor_limit
from tests.load.store import make_key, read_rows

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"
head_timeout = {head_timeout}
write_stall_timeout = {write_stall_timeout}

[upstreams.vendor]
base_url = "{upstream}/v1"
warm_connections = 0
max_connections = 20000
keep_alive_timeout = 0.5

[models.endless]
capability = "chat"
targets = ["vendor/talkative"]
price = {{ input = "1", output = "2" }}

[models.whole]
capability = "chat"
targets = ["vendor/whole"]
"""
#: Bytes that a reader's kernel takes for it.
RECEIVE_BUFFER = 4_096
#: MiB by which the gateway may grow.
GROWTH = 100.0
#: Seconds between two bytes of a slow head, and between two good requests of one client.
PACE, PAUSE = 0.5, 0.05
GOOD_CLIENTS = 4
#: Connections that are opened at once.
BATCH = 100
#: Seconds between two batches of readers, and in which a stream fills what the kernel takes of it.
RAMP, FILLING = 0.5, 10.0
#: Seconds after its deadline in which a client is to be dropped: the guard looks twice a second, and the machine may
#: be busy with all the others who are dropped at the same time.
GRACE = 5.0
PATIENCE = 30.0


@dataclass
class Seen:
    """What the clients saw."""

    #: Seconds from the begin of a head to its end by the gateway, and from the last byte that a reader took.
    heads: list[float] = field(default_factory=list)
    readers: list[float] = field(default_factory=list)
    good: int = 0
    bad: list[str] = field(default_factory=list)
    slowest: float = 0.0
    #: The most memory, in MiB.
    memory: float = 0.0


@contextlib.asynccontextmanager
async def connected(port: int, count: int, receive_buffer: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections, opened some at a time."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for first in range(0, count, BATCH):
            batch = sockets[first : first + BATCH]
            for sock in batch:
                sock.setblocking(False)
                if receive_buffer:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await asyncio.gather(*(loop.sock_connect(sock, ("127.0.0.1", port)) for sock in batch))
        yield sockets


async def read_nothing(port: int, count: int, key: str, seen: Seen, until: float) -> None:
    """Ask for endless streams, and wait, without reading, until the gateway resets them, or until a moment."""
    async with connected(port, count, RECEIVE_BUFFER) as sockets:
        poll = select.poll()
        began: dict[int, float] = {}
        for number, sock in enumerate(sockets):
            sock.send(asking.chat("endless", number, key, stream=True))
            began[sock.fileno()] = time.monotonic()
            poll.register(sock, 0)
            if number % BATCH == BATCH - 1:
                # A crowd that comes at once would show how fast the gateway begins streams, and not what they hold.
                await asyncio.sleep(RAMP)
        while began and time.monotonic() < until:
            for descriptor, _ in poll.poll(0):
                seen.readers.append(time.monotonic() - began.pop(descriptor))
                poll.unregister(descriptor)
            await asyncio.sleep(0.05)


async def send_slowly(port: int, count: int, seen: Seen, until: float) -> None:
    """Send heads a byte at a time until the gateway closes their connections, or until a moment."""
    head = asking.chat("whole", 0, "none", stream=True).partition(b"\r\n\r\n")[0] + b"x" * 10_000
    async with connected(port, count, 0) as sockets:
        began = {sock: time.monotonic() for sock in sockets}
        for byte in head:
            for sock in list(began):
                if not still_sends(sock, byte):
                    seen.heads.append(time.monotonic() - began.pop(sock))
            if not began or time.monotonic() > until:
                return
            await asyncio.sleep(PACE)


def still_sends(sock: socket.socket, byte: int) -> bool:
    """Send a byte; False once the gateway has ended the connection or its answer."""
    try:
        sock.send(bytes([byte]))
        return bool(sock.recv(0, socket.MSG_PEEK) is not None and not sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


async def ask_well(port: int, key: str, first: int, seen: Seen, go_on: Callable[[], bool]) -> None:
    """Be a good client among them."""
    visitor = Visitor(port)
    number = first
    while go_on():
        number += GOOD_CLIENTS
        stream = number % 2 == 0
        began = time.monotonic()
        answer = await visitor.ask(asking.chat("whole", number, key, stream=stream), number, wait=PATIENCE)
        seen.slowest = max(seen.slowest, time.monotonic() - began)
        if answer.whole and answer.status == 200 and answer.body() == answers.shown("whole", number, stream=stream):
            seen.good += 1
        else:
            seen.bad.append(repr(answer.data[:500]))
        await asyncio.sleep(PAUSE)
    await visitor.close()


async def load(gateway: Process, key: str, count: int, longest: float) -> Seen:
    """All of them at once; `longest` is the seconds after which all should be dropped."""
    seen = Seen()
    port = gateway.port
    until = time.monotonic() + longest + FILLING + count / BATCH * RAMP + PATIENCE
    good = asyncio.gather(*(ask_well(port, key, one, seen, lambda: running) for one in range(GOOD_CLIENTS)))
    running = True
    bad = asyncio.gather(read_nothing(port, count, key, seen, until), send_slowly(port, count, seen, until))
    while not bad.done():
        seen.memory = max(seen.memory, gateway.resident_bytes() / 2**20)
        await asyncio.sleep(0.1)
    running = False
    await good
    await bad
    return seen


async def warm_up(gateway: Process, key: str) -> None:
    """Some good requests, for what is made at first use."""
    visitor = Visitor(gateway.port)
    for number in range(50):
        await visitor.ask(asking.chat("whole", number, key, stream=number % 2 == 0), number)
    await visitor.close()


def run(folder: Path, count: int, head_timeout: float, stall_timeout: float, *, measured: bool = True) -> Figures:
    """The whole suite; `measured` holds the memory and the times to their bounds."""
    raise_descriptor_limit()
    data_dir, config = folder / "data", folder / "prometheus.toml"
    key = make_key(data_dir)
    with Process(folder, "tests.load.upstream", [str(folder / "records.json")]) as upstream:
        settings = {"head_timeout": head_timeout, "write_stall_timeout": stall_timeout}
        config.write_text(CONFIG.format(data_dir=data_dir, upstream=upstream.ready, **settings))
        with Process(folder, "proxy", ["serve", "--config", str(config), "--port", "0"]) as gateway:
            uvloop.run(warm_up(gateway, key))
            before = gateway.resident_bytes() / 2**20
            seen = uvloop.run(load(gateway, key, count, max(head_timeout, stall_timeout)))
            gateway.end()
            errors = gateway.said().count("Traceback")
    figures = Figures("slow clients")
    figures.tell("readers that do not read, and as many slow heads", count)
    figures.tell("memory before, MiB", before)
    figures.at_most("memory more at the most, MiB", seen.memory - before, GROWTH if measured else math.inf)
    figures.equal("good requests that failed", len(seen.bad), 0)
    figures.at_least("good requests", seen.good, 1)
    figures.tell("slowest good request, ms", 1_000 * seen.slowest)
    for what, times, timeout, most in (
        ("heads", seen.heads, head_timeout, head_timeout + GRACE),
        ("readers", seen.readers, stall_timeout, stall_timeout + FILLING + GRACE),
    ):
        times.sort()
        figures.equal(f"slow {what} dropped", len(times), count)
        figures.at_least(f"slow {what} dropped after, s, first", percentile(times, 0.0), timeout * 0.9)
        figures.at_most(f"slow {what} dropped after, s, last", percentile(times, 1.0), most if measured else math.inf)
    _check_rows(figures, read_rows(data_dir), count, seen.good + 50)
    figures.equal("errors inside the gateway", errors, 0)
    for example in seen.bad[:5]:
        print(example, file=sys.stderr)
    return figures


def _check_rows(figures: Figures, rows: list[UsageRecord], count: int, good: int) -> None:
    readers = [row for row in rows if row.alias == "endless"]
    figures.equal("rows of good requests", len(rows) - len(readers), good)
    figures.equal("rows of readers", len(readers), count)
    kept = sum(row.outcome == "client_stalled" and row.usage_source == "estimated" for row in readers)
    figures.equal("stalled, with their usage", kept, count)
    figures.equal("bills of them for nothing", sum(not row.output_tokens or not row.cost for row in readers), 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.slow", description=__doc__)
    parser.add_argument("--count", type=int, default=2_000, help="clients of each kind (default 2000)")
    parser.add_argument("--head-timeout", type=float, default=10.0, help="seconds (default 10)")
    parser.add_argument("--stall-timeout", type=float, default=30.0, help="seconds (default 30)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = arguments.head_timeout, arguments.stall_timeout
        sys.exit(run(Path(folder), arguments.count, *times).show())


if __name__ == "__main__":
    main()
