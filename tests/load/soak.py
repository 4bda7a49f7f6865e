"""A mixed load with faults, and the ledger beside it: `python -m tests.load.soak`, or `make soak`.

Good answers and bad ones, clients that leave or do not read, uploads, keys that come and go; at the end the ledger must
say what the upstream says it served, to the token, and memory and descriptors must be where they were. Exits with 1
where that is not so.
"""

import argparse
import asyncio
import contextlib
import math
import random
import select
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import uvloop

from proxy.ledger.record import UsageRecord
from tests.load import answers, asking
from tests.load.client import Visitor
from tests.load.figures import Figures, growth, percentile
from tests.load.processes import Process, raise_descriptor_limit
from tests.load.store import keys_in, make_key, read_rows
from tests.load.upstream import read_records

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"
write_stall_timeout = 1

[upstreams.vendor]
base_url = "{upstream}/v1"
keep_alive_timeout = 0.5
warm_connections = 0
idle_timeout = 2

[upstreams.failing]
base_url = "{upstream}/v1"
keep_alive_timeout = 0.5
warm_connections = 0
"""
MODEL = """
[models.{alias}]
capability = "{capability}"
targets = {targets}
price = {{ input = "1"{output} }}
"""
#: Bytes of the file of an upload.
FILE = 200_000
#: Seconds between two looks at the memory, and the share of the load after which they count.
LOOK, WARM = 1.0, 0.25
#: MiB by which the memory may grow over the rest of the load, by the line that fits it best.
GROWTH = 6.0
#: Seconds in which a key that was made or ended elsewhere has its effect.
KEY_DELAY = 1.0
PATIENCE = 20.0
#: Stands for the kind where a key was refused: then there is no row.
REFUSED = "refused"
COMPLETE = frozenset({("complete", "reported")})


@dataclass(frozen=True)
class RequestKind:
    """A kind of request, and what its row may say."""

    targets: tuple[str, ...]
    #: The outcomes, each with the source of its usage, that its row may have.
    rows: frozenset[tuple[str, str]] = COMPLETE
    share: int = 4
    stream: bool | None = None
    path: str = "chat"
    #: The client leaves after some bytes, or after so many seconds.
    leaves: bool = False
    leaves_after: float = math.inf
    #: The client does not read.
    reads: bool = True


_LEFT = frozenset({("client_closed", "estimated")})
#: The upstream had not been asked yet, or had told its usage already.
_UNASKED, _TOLD = frozenset({("client_closed", "none")}), frozenset({("client_closed", "reported")})
_CUT = frozenset({("upstream_cut", "estimated"), ("upstream_error", "none"), ("upstream_error", "estimated")})
KINDS: Mapping[str, RequestKind] = MappingProxyType(
    {
        "whole": RequestKind(("vendor/whole",), share=30),
        "pieces": RequestKind(("vendor/pieces",), share=10),
        "embeddings": RequestKind(("vendor/embedded",), path="embeddings", share=10),
        "upload": RequestKind(("vendor/transcribed",), path="upload"),
        "fallback": RequestKind(("failing/failing", "vendor/whole")),
        "failing": RequestKind(("failing/failing",), frozenset({("upstream_error", "none")}), share=2),
        "dropped": RequestKind(("failing/dropped",), frozenset({("upstream_error", "none")}), share=2),
        "torn": RequestKind(("failing/torn",), _CUT),
        "short": RequestKind(("failing/short",), _CUT),
        "stalled": RequestKind(("vendor/begun",), frozenset({("timeout", "estimated")}), stream=True, share=1),
        # Of an answer that is no stream nothing has been passed on by then.
        "stalled-whole": RequestKind(("vendor/begun",), frozenset({("timeout", "none")}), stream=False, share=1),
        "left": RequestKind(("vendor/endless",), _LEFT, stream=True, leaves=True, share=10),
        "left-late": RequestKind(("vendor/pieces",), COMPLETE | _LEFT | _TOLD, stream=True, leaves=True),
        "left-early": RequestKind(("vendor/silent",), _LEFT | _UNASKED, leaves_after=0.02),
        # The length of its audio is what nobody can tell.
        "left-upload": RequestKind(("vendor/silent",), _UNASKED, path="upload", leaves_after=0.02, share=2),
        "unread": RequestKind(
            ("vendor/flood",), frozenset({("client_stalled", "estimated")}), stream=True, reads=False, share=1
        ),
    }
)


@dataclass(slots=True)
class Asked:
    """A request, and what its client learnt of it."""

    visit: str
    stream: bool
    request_id: str = ""
    whole: bool = False


@dataclass
class Soak:
    """The load on one gateway. Every request that it makes with a good key is in `asked`, by its number."""

    port: int
    key: str
    seconds: float
    #: Requests a second, all clients together.
    rate: float
    asked: list[Asked] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    #: Seconds from each change of a key to its effect.
    key_effects: list[float] = field(default_factory=list)

    async def run(self, data_dir: Path, clients: int, look: Callable[[], None]) -> None:
        """Load it; `look` is called now and then."""
        self._choose = random.Random(1)
        self._end = time.monotonic() + self.seconds
        self._kinds = [name for name, visit in KINDS.items() for _ in range(visit.share)]
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(clients / self.rate))
            group.create_task(self._change_keys(data_dir))
            while time.monotonic() < self._end:
                look()
                await asyncio.sleep(LOOK)

    async def _client(self, pause: float) -> None:
        """One client: it asks, reads, now and then leaves, and asks again."""
        visitor = Visitor(self.port)
        while time.monotonic() < self._end:
            await asyncio.sleep(pause * 2 * self._choose.random())
            await self.visit(visitor, self._choose.choice(self._kinds))
        await visitor.close()
        if visitor.strange:
            self._wrong("bytes that nothing was asked for", visitor.strange)

    async def visit(self, visitor: Visitor, name: str) -> None:
        """Make one request of a kind."""
        visit = KINDS[name]
        stream = visit.stream if visit.stream is not None else visit.path == "chat" and self._choose.random() < 0.5
        number = len(self.asked)
        asked = Asked(name, stream)
        self.asked.append(asked)
        data = request(name, number, self.key, stream=stream)
        if not visit.reads:
            asked.request_id = await self._do_not_read(data)
            return
        if visit.path == "upload" and visit.leaves_after < math.inf:
            data = data[: -FILE // 2]
        leave_at = 200.0 + number % 1_500 if visit.leaves else math.inf
        answer = await visitor.ask(data, number, leave_at=leave_at, leave_after=visit.leaves_after)
        asked.request_id = answer.request_id
        asked.whole = answer.whole and answer.status == 200
        if {int(found) for found in answers.MARK.findall(answer.data)} - {number}:
            self._wrong("answers with a foreign mark", answer.data)
        if visit.rows == COMPLETE and not asked.whole:
            self._wrong("good answers that did not arrive", answer.data)
        elif asked.whole and not visit.rows >= COMPLETE:
            self._wrong("whole answers where there was none", answer.data)

    async def _do_not_read(self, data: bytes) -> str:
        """Ask, read the head, and nothing more until the gateway gives up; the request's id."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            await loop.sock_sendall(sock, data)
            head = await loop.sock_recv(sock, 1_024)
            if await dropped(sock, 10.0):
                self.seen["readers dropped"] += 1
            else:
                self._wrong("readers that stall and are not dropped", head)
        return head.partition(b"x-request-id: ")[2].partition(b"\r")[0].decode()

    async def _change_keys(self, data_dir: Path) -> None:
        """Make keys, use them, and end them, beside the running gateway."""
        visitor = Visitor(self.port)
        async with keys_in(data_dir) as store:
            while time.monotonic() < self._end - KEY_DELAY:
                key, secret = await store.create(f"passing-{self.seen['keys made']}")
                self.seen["keys made"] += 1
                await self._until(200, visitor, secret)
                await store.revoke(key.id)
                await self._until(401, visitor, secret)
        await visitor.close()

    async def _until(self, status: int, visitor: Visitor, secret: str) -> None:
        """Ask with a key until that is answered with a status."""
        began = time.monotonic()
        while True:
            number = len(self.asked)
            asked = Asked("whole", False)
            self.asked.append(asked)
            answer = await visitor.ask(request("whole", number, secret, stream=False), number)
            asked.request_id = answer.request_id
            asked.whole = answer.status == 200
            if answer.status == 401:
                asked.visit = REFUSED
            took = time.monotonic() - began
            if answer.status == status or took > PATIENCE:
                break
            await asyncio.sleep(0.05)
        self.key_effects.append(took)

    def _wrong(self, what: str, data: bytes) -> None:
        self.seen[what] += 1
        if len(self.examples) < 5:
            self.examples.append(f"{what}: {data[:2_000]!r}")


async def dropped(sock: socket.socket, seconds: float) -> bool:
    """Wait, without reading, until the peer has reset a connection; False when it has not within so many seconds."""
    poll = select.poll()
    poll.register(sock, 0)
    deadline = time.monotonic() + seconds
    while not poll.poll(0):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def request(name: str, number: int, key: str, *, stream: bool) -> bytes:
    """The request of a kind of request."""
    path = KINDS[name].path
    if path == "embeddings":
        return asking.embed(name, number, key)
    if path == "upload":
        return asking.transcribe(name, number, key, FILE)
    return asking.chat(name, number, key, stream=stream)


def configuration(data_dir: Path, upstream: str) -> str:
    """The gateway's configuration: an alias for each kind of request."""
    text = CONFIG.format(data_dir=data_dir, upstream=upstream)
    capabilities = {"chat": "chat", "embeddings": "embeddings", "upload": "audio"}
    for name, visit in KINDS.items():
        output = "" if visit.path == "embeddings" else ', output = "2"'
        text += MODEL.format(
            alias=name, capability=capabilities[visit.path], targets=list(visit.targets), output=output
        )
    return text


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[Process, Process, str]]:
    """The upstream, the gateway over it, and a key."""
    data_dir, config = folder / "data", folder / "prometheus.toml"
    key = make_key(data_dir)
    with Process(folder, "tests.load.upstream", [str(folder / "records.json")]) as upstream:
        config.write_text(configuration(data_dir, upstream.ready))
        with Process(folder, "proxy", ["serve", "--config", str(config), "--port", "0"]) as gateway:
            yield upstream, gateway, key


def quiet(gateway: Process, wanted: int) -> int:
    """The gateway's descriptors once there are so many, or when waiting for it has been in vain."""
    deadline = time.monotonic() + PATIENCE
    while (there := gateway.descriptors()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return there


async def warm_up(soak: Soak) -> None:
    """Each kind of visit, for what is made at its first use."""
    soak._choose = random.Random(0)
    visitors = [Visitor(soak.port) for _ in KINDS]
    await asyncio.gather(*(soak.visit(*pair) for pair in zip(visitors, KINDS, strict=True)))
    for visitor in visitors:
        await visitor.close()


def run(folder: Path, seconds: float, rate: float, clients: int, *, measured: bool = True) -> Figures:
    """The whole suite; `measured` holds the memory to its bound."""
    raise_descriptor_limit()
    memory: list[tuple[float, float]] = []
    began = time.monotonic()
    with serving(folder) as (upstream, gateway, key):
        soak = Soak(gateway.port, key, seconds, rate)
        idle = gateway.descriptors()
        uvloop.run(warm_up(soak))
        before = quiet(gateway, idle)

        def look() -> None:
            memory.append((time.monotonic() - began, gateway.resident_bytes() / 2**20))

        uvloop.run(soak.run(folder / "data", clients, look))
        after = quiet(gateway, before)
        gateway.end()
        errors = gateway.said().count("Traceback")
        upstream.end()
    figures = Figures("soak")
    figures.tell("seconds", seconds)
    figures.tell("requests", len(soak.asked))
    figures.tell("kinds", ", ".join(f"{name} {n}" for name, n in Counter(one.visit for one in soak.asked).items()))
    figures.tell("keys made and ended", soak.seen["keys made"])
    figures.tell("readers dropped", soak.seen["readers dropped"])
    for what in (
        "good answers that did not arrive",
        "whole answers where there was none",
        "answers with a foreign mark",
        "bytes that nothing was asked for",
        "readers that stall and are not dropped",
    ):
        figures.equal(what, soak.seen[what], 0)
    effects = sorted(soak.key_effects)
    figures.at_most(
        "keys changed, effect after, s, p99", percentile(effects, 0.99), KEY_DELAY if measured else math.inf
    )
    figures.at_most("keys changed, effect after, s, slowest", percentile(effects, 1.0), PATIENCE)
    check_bills(figures, soak.asked, read_rows(folder / "data"), served(folder / "records.json"))
    steady = memory[int(len(memory) * WARM) :]
    figures.tell("memory, MiB, when warm and at the end", f"{steady[0][1]:.1f}, {steady[-1][1]:.1f}")
    figures.at_most("memory, MiB more, by the best line", growth(steady), GROWTH if measured else math.inf)
    figures.unchanged("descriptors are as before", after, before)
    figures.equal("errors inside the gateway", errors, 0)
    for example in soak.examples:
        print(example, file=sys.stderr)
    return figures


def served(records: Path) -> set[int]:
    """The requests that the upstream has answered to the end."""
    return {one.number for one in read_records(records) if one.event == "served" and one.kind != "failing"}


def check_bills(figures: Figures, asked: list[Asked], rows: list[UsageRecord], answered: set[int]) -> None:
    """Compare the ledger with what the upstream says it served."""
    numbers = {one.request_id: number for number, one in enumerate(asked) if one.request_id}
    figures.equal("rows", len(rows), sum(one.visit != REFUSED for one in asked))
    figures.equal("requests with two rows", len(rows) - len({row.id for row in rows}), 0)
    due = Counter(one.visit for one in asked if one.visit != REFUSED)
    there = Counter(row.alias for row in rows)
    figures.equal("rows of another kind of request", ((due - there) + (there - due)).total(), 0)
    odd = Counter(
        f"{row.alias}: {row.outcome}, {row.usage_source}"
        for row in rows
        if (row.outcome, row.usage_source) not in KINDS[row.alias].rows
    )
    figures.equal("rows with another outcome or source", dict(odd), {})
    reported = {numbers[row.id]: row for row in rows if row.usage_source == "reported" and row.id in numbers}
    unknown = [row for row in rows if row.usage_source == "reported" and row.id not in numbers]
    figures.equal("bills that nobody knows of", len(unknown), 0)
    figures.equal("whole answers without a bill", sum(one.whole for one in asked) - _whole(asked, reported), 0)
    ended = {one for one, row in reported.items() if row.outcome == "complete"}
    figures.equal("bills for what was not served", len(ended - answered), 0)
    told = {one: _told(one, asked[one]) for one in reported}
    for what, place in (("input", 0), ("output", 1)):
        billed = sum((row.input_tokens, row.output_tokens)[place] for row in reported.values())
        figures.equal(f"{what} tokens billed", billed, sum(told[one][place] for one in reported))
    wrong = [one for one, row in reported.items() if (row.input_tokens, row.output_tokens) != told[one]]
    figures.equal("bills with other tokens", len(wrong), 0)
    costs = sum(
        row.cost != row.input_tokens * 1_000 + row.output_tokens * 2_000 for row in rows if row.cost is not None
    )
    figures.equal("bills with another price", costs, 0)
    unpriced = Counter(row.alias for row in rows if row.cost is None)
    figures.equal("unpriced, but for uploads that were left", unpriced.total() - unpriced["left-upload"], 0)


def _whole(asked: list[Asked], reported: Mapping[int, UsageRecord]) -> int:
    return sum(one.whole and number in reported for number, one in enumerate(asked))


def _told(number: int, asked: Asked) -> tuple[int, int]:
    """The usage that the upstream reports of a request."""
    given, produced = answers.tokens(number)
    return given, 0 if asked.visit == "embeddings" else produced


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the load (default 600)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second, at most (default 200)")
    parser.add_argument("--clients", type=int, default=48, help="at a time (default 48)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(Path(folder), arguments.seconds, arguments.rate, arguments.clients).show())


if __name__ == "__main__":
    main()
