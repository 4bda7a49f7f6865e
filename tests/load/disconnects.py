"""Clients that leave at random points: `python -m tests.load.disconnects [--count 10000]`, which is `make disconnects`.

Whatever the point, the upstream's connection is closed at once, each request that was read has one row, which says what
its answer has used where that was told or was still to be told, and the gateway then holds exactly what it held before.
Exits with 1 where that is not so.
"""

import argparse
import asyncio
import contextlib
import math
import random
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from proxy.ledger.record import UsageRecord
from tests.load import asking
from tests.load.answers import tokens
from tests.load.figures import Figures, percentile
from tests.load.gateway import KEY, Held
from tests.load.processes import Process, raise_descriptor_limit
from tests.load.store import read_rows
from tests.load.upstream import read_records

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{upstream}/v1"
warm_connections = 0
keep_alive_timeout = 0.5

# It is to be asked each time: clients leave during the attempt behind it.
[upstreams.failing]
base_url = "{upstream}/v1"
warm_connections = 0
keep_alive_timeout = 0.5
consecutive_5xx = 0
consecutive_gateway_failures = 0
retry_budget_percent = 100
retry_budget_min = 1000

[upstreams.narrow]
base_url = "{upstream}/v1"
warm_connections = 0
keep_alive_timeout = 0.5
max_connections = 1

[upstreams.unreachable]
base_url = "http://127.0.0.1:{full}/v1"
warm_connections = 0
keep_alive_timeout = 0.5
connect_timeout = 1
"""
MODEL = """
[models.{alias}]
capability = "{capability}"
targets = {targets}
"""
#: Bytes of the file of a form that is left before its end.
FILE = 400_000
#: Seconds at most between what a client waits for and its leaving.
LINGERING = 0.02
#: Seconds in which the gateway is to hold again what it held before.
PATIENCE = 20.0
#: Seconds of the sleeps that show how busy the machine is, and processes from a client's leaving to its upstream.
PROBE = 0.005
HOPS = 3
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Point:
    """A point at which a client leaves; it leaves up to `LINGERING` after it."""

    name: str
    targets: tuple[str, ...] = ()
    #: Which part of the request is sent, by its bytes and where its head ends; all of it when not given.
    part: Callable[[bytes, int], int] | None = None
    #: What of the answer is waited for.
    until: bytes = b""
    form: bool = False
    #: The outcome that its rows may have; none where the gateway never read a request.
    outcomes: frozenset[str] = frozenset({"client_closed"})
    #: The upstream has been asked, and must see the end.
    reaches: bool = False
    #: Streams only, where there is nothing of another answer to wait for.
    streams: bool = False
    #: The answer is made: its rows say what it used, though the client has left.
    used: bool = False

    @property
    def alias(self) -> str:
        """The alias of its requests: the rows tell by it where the client left."""
        return f"at-{self.name}"


NO_ROW: frozenset[str] = frozenset()
POINTS = (
    Point("connected", part=lambda data, head: 0, outcomes=NO_ROW),
    Point("inside-the-head", part=lambda data, head: random.randrange(1, head), outcomes=NO_ROW),
    Point("inside-the-body", part=lambda data, head: random.randrange(head, len(data))),
    Point("inside-a-form", ("vendor/silent",), form=True, reaches=True, part=lambda data, head: len(data) - 5_000),
    Point("queued", ("narrow/silent",)),
    # An opening that was begun for one who has left may fail one who has just come.
    Point("connecting", ("unreachable/silent",), outcomes=frozenset({"client_closed", "timeout"})),
    Point("before-the-first-byte", ("vendor/silent",), reaches=True),
    Point("after-a-failure", ("failing/failing", "vendor/silent"), reaches=True),
    Point("behind-the-head", ("vendor/begun",), reaches=True, until=b"\r\n\r\n", streams=True),
    Point("inside-the-stream", ("vendor/endless",), reaches=True, until=b"more ", streams=True),
    Point(
        "behind-the-finish",
        ("vendor/finished",),
        until=b'"stop"',
        streams=True,
        outcomes=frozenset({"client_closed", "complete"}),
        used=True,
    ),
    Point("at-the-end", ("vendor/whole",), until=b"nonce-", outcomes=frozenset({"client_closed", "complete"})),
    Point("in-any-piece", ("vendor/pieces",), outcomes=frozenset({"client_closed", "complete"})),
)


@dataclass
class Leavings:
    """Who left where, and when."""

    #: Monotonic time at which each request's client left.
    left: dict[int, float] = field(default_factory=dict)
    points: dict[int, Point] = field(default_factory=dict)
    #: Seconds by which a short sleep ended too late, again and again: how busy the machine is with other things.
    late: list[float] = field(default_factory=list)


async def leave(port: int, point: Point, number: int, leavings: Leavings, choose: random.Random) -> None:
    """Be a client that leaves at a point."""
    loop = asyncio.get_running_loop()
    data = asking.transcribe(point.alias, number, KEY, FILE) if point.form else _chat(point, number, choose)
    if point.part is not None:
        data = data[: point.part(data, data.index(b"\r\n\r\n") + 4)]
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, data)
        answer = b""
        while point.until not in answer:
            came = await loop.sock_recv(sock, 65_536)
            assert came, f"{point.name}: the gateway ended the connection before the client did: {answer!r}"
            answer += came
        await asyncio.sleep(choose.random() * LINGERING)
        if choose.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        leavings.points[number] = point
        leavings.left[number] = time.monotonic()


def _chat(point: Point, number: int, choose: random.Random) -> bytes:
    stream = point.streams or choose.random() < 0.5
    return asking.chat(point.alias, number, KEY, stream=stream)


async def leave_all(port: int, count: int, clients: int, first: int = 0) -> Leavings:
    """So many leavings, evenly from all points, by so many clients at a time."""
    choose = random.Random(count)
    order = [POINTS[number % len(POINTS)] for number in range(count)]
    choose.shuffle(order)
    waiting = iter(enumerate(order, first))
    leavings = Leavings()

    async def client() -> None:
        for number, point in waiting:
            await leave(port, point, number, leavings, choose)

    async def probe() -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(PROBE)
            leavings.late.append(time.monotonic() - asleep - PROBE)

    probing = asyncio.create_task(probe())
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    probing.cancel()
    return leavings


@contextlib.contextmanager
def unreachable() -> Iterator[int]:
    """The port of a listener whose queue is full: whoever connects waits."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextlib.contextmanager
def asking_for(port: int, alias: str, number: int) -> Iterator[socket.socket]:
    """A client that has asked, and leaves at the end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(asking.chat(alias, number, KEY, stream=True))
        yield sock


def configuration(data_dir: Path, upstream: str, full: int) -> str:
    """The gateway's configuration: an alias for each point."""
    text = CONFIG.format(data_dir=data_dir, upstream=upstream, full=full)
    for point in POINTS:
        capability = "audio" if point.form else "chat"
        text += MODEL.format(alias=point.alias, capability=capability, targets=list(point.targets or ["vendor/whole"]))
    return text


def settled(gateway: Process) -> tuple[Held, int]:
    """What the gateway holds, and its descriptors, once it serves nobody and its pools have closed what idled."""
    deadline = time.monotonic() + PATIENCE
    while True:
        held = msgspec.json.decode(gateway.ask("held?"), type=Held)
        if not (held.busy or held.deadlines or held.clients) or time.monotonic() > deadline:
            return held, gateway.descriptors()
        time.sleep(0.05)


def run(folder: Path, count: int, clients: int, *, timed: bool = True) -> Figures:
    """The whole suite; `timed` holds the upstream's seeing it to its bounds."""
    raise_descriptor_limit()
    records, data_dir, config = folder / "records.json", folder / "data", folder / "prometheus.toml"
    figures = Figures("disconnects")
    with unreachable() as full, Process(folder, "tests.load.upstream", [str(records)]) as upstream:
        config.write_text(configuration(data_dir, upstream.ready, full))
        with Process(folder, "tests.load.gateway", [str(config)], talks=True) as gateway:
            # Each point once, for what is made at first use.
            warm = uvloop.run(leave_all(gateway.port, len(POINTS), len(POINTS)))
            before = settled(gateway)
            began = time.monotonic()
            with asking_for(gateway.port, "at-queued", count + len(POINTS)):
                leavings = uvloop.run(leave_all(gateway.port, count, clients, len(POINTS)))
            took = time.monotonic() - began
            after = settled(gateway)
            with asking_for(gateway.port, "at-at-the-end", count + len(POINTS) + 1) as healthy:
                answer = healthy.recv(65_536)
                while b"[DONE]" not in answer and (more := healthy.recv(65_536)):
                    answer += more
            errors = gateway.said().count("Traceback")
        upstream.end()
    figures.tell("disconnects", count)
    figures.tell("seconds", round(took, 1))
    leavings.left |= warm.left
    leavings.points |= warm.points
    _check_upstream(figures, leavings, records, timed)
    _check_rows(figures, leavings, read_rows(data_dir))
    figures.unchanged("tasks, pools, deadlines and clients are as before", after[0], before[0])
    figures.unchanged("descriptors are as before", after[1], before[1])
    figures.equal("a healthy call afterwards is whole", b"[DONE]" in answer, True)
    figures.equal("errors inside the gateway", errors, 0)
    return figures


def _check_upstream(figures: Figures, leavings: Leavings, records: Path, timed: bool) -> None:
    asked: Counter[int] = Counter()
    latencies: dict[int, float] = {}
    for seen in read_records(records):
        if seen.kind == "failing" or seen.number not in leavings.left:
            continue
        asked[seen.number] += {"asked": 1, "closed": -1, "served": -1}.get(seen.event, 0)
        if seen.event == "closed":
            latencies[seen.number] = seen.moment - leavings.left[seen.number]
    reached = Counter(leavings.points[number].name for number in latencies)
    for point in POINTS:
        if point.reaches:
            figures.at_least(f"closed upstream, left {point.name}", reached[point.name], 1)
    milliseconds = sorted(1_000 * latency for latency in latencies.values())
    figures.tell("upstream connections closed because of it", len(milliseconds))
    figures.tell("closed after, ms, p50", percentile(milliseconds, 0.5))
    # Three processes take part, and each may have to wait for the machine as long as this one.
    late = 1_000 * max(leavings.late, default=0.0)
    figures.tell("a sleep ended too late by, ms, most", late)
    for name, share, bound in (("p99", 0.99, 50.0), ("most", 1.0, 250.0)):
        bound = bound + HOPS * late if timed else math.inf
        figures.at_most(f"closed after, ms, {name}", percentile(milliseconds, share), bound)
    figures.equal("requests left open upstream", sum(asked.values()), 0)


def _check_rows(figures: Figures, leavings: Leavings, rows: list[UsageRecord]) -> None:
    due = Counter(point.name for point in leavings.points.values() if point.outcomes)
    # The one that held the narrow upstream's connection, and the healthy call.
    due["queued"] += 1
    due["at-the-end"] += 1
    names = {point.alias: point for point in POINTS} | {
        "": next(point for point in POINTS if point.name == "inside-the-body")
    }
    there = Counter(names[row.alias].name for row in rows)
    figures.tell("rows due", due.total())
    figures.equal("rows more than due", (there - due).total(), 0)
    figures.equal("rows missing", (due - there).total(), 0)
    figures.equal("requests with two rows", len(rows) - len({row.id for row in rows}), 0)
    odd = Counter((row.alias, row.outcome) for row in rows if row.outcome not in names[row.alias].outcomes)
    figures.equal("rows with another outcome", dict(odd), {})
    _check_usage(figures, leavings, rows)


def _check_usage(figures: Figures, leavings: Leavings, rows: list[UsageRecord]) -> None:
    """Compare what the rows say with what the upstream has used."""
    for point in POINTS:
        numbers = [number for number, left in leavings.points.items() if left is point]
        said = Counter(
            (row.input_tokens, row.output_tokens)
            for row in rows
            if row.alias == point.alias and row.usage_source == "reported"
        )
        used = Counter((tokens(number).input, tokens(number).output) for number in numbers)
        if point.name == "at-the-end":
            # The healthy call.
            healthy = tokens(len(leavings.points) + 1)
            used[healthy.input, healthy.output] += 1
        if point.used:
            figures.equal(f"usage that is not in the rows, left {point.name}", (used - said).total(), 0)
        figures.equal(f"usage that nobody had, left {point.name}", (said - used).total(), 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.disconnects", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="clients that leave (default 10000)")
    parser.add_argument("--clients", type=int, default=16, help="at a time (default 16)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(Path(folder), arguments.count, arguments.clients).show())


if __name__ == "__main__":
    main()
