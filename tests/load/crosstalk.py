"""Answers to the right client: `python -m tests.load.crosstalk [--count 200000]`, which is `make crosstalk`.

Clients that keep their connections alive ask an upstream that sends too much, too late, twice or too little, over
connections that are kept alive too. Each answer must be the one to its own request, byte for byte, and each row the
bill of its own request. Exits with 1 where that is not so.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import uvloop

from proxy.ledger.record import UsageRecord
from tests.load import answers, asking
from tests.load.client import Answer, Connection, Visitor
from tests.load.figures import Figures
from tests.load.kinds import PIECES, padding
from tests.load.processes import Process, raise_descriptor_limit
from tests.load.store import make_key, read_rows
from tests.load.upstream import read_records

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{upstream}/v1"
api_key = "sk-upstream"
warm_connections = 0
"""
UPSTREAM = """
[upstreams.{name}]
base_url = "{upstream}/v1"
warm_connections = 0
"""
MODEL = """
[models.{alias}]
capability = "chat"
targets = ["{upstream}/{kind}"]
"""
#: How often each kind of answer is asked for.
SHARES = {"whole": 48, "pieces": 8, "extra": 8, "twice": 8, "cookie": 8, "short": 4, "torn": 4, "dropped": 2}
SHARES |= {"failing": 2, "endless": 4, "silent": 4}
#: Kinds whose answers are good, whatever the upstream adds to them.
GOOD = frozenset({"whole", "pieces", "extra", "twice", "cookie", "late", "again"})
#: Kinds whose answers never end: their clients leave.
ENDLESS = frozenset({"endless", "silent"})
#: Of a hundred requests for good answers, those whose clients leave all the same, and those with others behind them.
LEAVING, PIPELINED = 5, 10
#: Clients who ask for late bytes, each over an upstream of its own, and the seconds they then wait. A request that
#: crosses them on the wire could get them for its answer, which nothing in HTTP/1.1 forbids; so none is sent, on a
#: busy machine too.
LATE_CLIENTS = 4
LATE_PAUSE = 0.3
#: Pairs of clients with a key each over an upstream of their own that answers twice: the seconds after which the second
#: one asks, and those after which the first one asks again.
PAIRS, PAIR_PAUSE, PAIR_REST = 4, 0.01, 0.3
#: Seconds in which some answer must come.
PATIENCE = 30.0


@dataclass(slots=True)
class Asked:
    """A request."""

    kind: str
    stream: bool
    alias: str
    leaving: bool
    request_id: str = ""
    whole: bool = False


class Crowd:
    """All the clients: they ask until so many requests are made. What they saw is counted."""

    def __init__(self, port: int, key: str, other: str, count: int) -> None:
        self._port = port
        self._key = key
        self._other = other
        self._count = count
        self._choose = random.Random(count)
        self._kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
        self.asked: list[Asked] = []
        self.seen: Counter[str] = Counter()
        self.examples: list[str] = []
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()

    async def ask_all(self, clients: int) -> None:
        """Run all clients to their end. Raises TimeoutError when nothing comes any more."""
        await asyncio.gather(*(self._connect() for _ in range(clients)))
        late = [asyncio.create_task(self._ask_late(number)) for number in range(1, LATE_CLIENTS + 1)]
        late += [asyncio.create_task(self._ask_in_pairs(number)) for number in range(1, PAIRS + 1)]
        while not self.done.is_set():
            before = self.seen.total(), len(self.asked)
            try:
                await asyncio.wait_for(self.done.wait(), PATIENCE)
            except TimeoutError:
                if (self.seen.total(), len(self.asked)) == before:
                    raise
        await asyncio.gather(*late)

    # a connection's user

    def answered(self, connection: Connection, answer: Answer) -> None:
        number = connection.due.popleft()
        self.judge(number, answer)
        if not connection.due and answer.whole:
            self._ask(connection)

    def moved(self, connection: Connection, size: int) -> None:
        number = connection.due[0]
        asked = self.asked[number]
        # Some as soon as anything has come, some later.
        if asked.leaving and size > (number % 4) * 400:
            self._leave(connection)

    def unasked(self, data: bytes) -> None:
        self._wrong("bytes that nothing was asked for", data)

    def lost(self, connection: Connection) -> None:
        for number in connection.due:
            if not self.asked[number].leaving:
                self._wrong("answers that did not come", answers.mark(number).encode())
        self._open -= 1
        if len(self.asked) < self._count:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif not self._open:
            self.done.set()

    def judge(self, number: int, answer: Answer) -> None:
        """Compare what came with what the request is to get."""
        asked = self.asked[number]
        asked.request_id = answer.request_id
        asked.whole = answer.whole and answer.status == 200
        self.seen["answers"] += 1
        strange = {int(found) for found in answers.MARK.findall(answer.data)} - {number}
        if strange:
            self._wrong("answers with a foreign mark", answer.data)
        if asked.whole and asked.kind in GOOD:
            words = PIECES if asked.kind == "pieces" else 3
            text = padding(number) if asked.kind == "pieces" else ""
            wanted = answers.shown(asked.alias, number, stream=asked.stream, words=words, text=text)
            if answer.body() != wanted:
                self._wrong("answers that are not their own, byte for byte", answer.data)
        elif asked.whole:
            self._wrong("whole answers where there was none", answer.data)
        elif asked.kind in GOOD and not asked.leaving:
            self._wrong("good answers that did not arrive", answer.data)

    # asking

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._open += 1
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        """Send the next request, or some at once."""
        choose = self._choose
        if len(self.asked) >= self._count:
            connection.leave()
            return
        kind = choose.choice(self._kinds)
        chance = choose.randrange(100)
        leaving = kind in ENDLESS or (kind in GOOD and chance < LEAVING)
        numbers = [self._new(kind, leaving)]
        if kind in GOOD and LEAVING <= chance < LEAVING + PIPELINED:
            numbers += [self._new(kind, False) for _ in range(choose.randrange(1, 4))]
        connection.send(b"".join(map(self._request, numbers)), *numbers)
        if leaving:
            asyncio.get_running_loop().call_later(choose.random() * 0.02, self._give_up, connection, numbers[0])

    def _new(self, kind: str, leaving: bool, alias: str = "") -> int:
        stream = kind == "endless" or (kind not in ("extra", "cookie") and self._choose.random() < 0.5)
        self.asked.append(Asked(kind, stream, alias or f"x-{kind}", leaving))
        return len(self.asked) - 1

    def _request(self, number: int, key: str = "") -> bytes:
        asked = self.asked[number]
        return asking.chat(asked.alias, number, key or self._key, stream=asked.stream)

    def _give_up(self, connection: Connection, number: int) -> None:
        if connection.due and connection.due[0] == number:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        number = connection.due[0]
        answer = connection.leave()
        self.seen["clients that left"] += 1
        if answer.data:
            connection.due.popleft()
            self.judge(number, answer)

    async def _ask_late(self, client: int) -> None:
        """Ask for answers behind which more comes when their connection idles."""
        visitor = Visitor(self._port)
        while True:
            number = self._new("late", False, f"late-{client}")
            self.judge(number, await visitor.ask(self._request(number), number))
            await asyncio.sleep(LATE_PAUSE)
            if len(self.asked) >= self._count:
                break
        await visitor.close()
        if visitor.strange:
            self.unasked(visitor.strange)

    async def _ask_in_pairs(self, pair: int) -> None:
        """Ask with one key just after another has its answer, which then comes once more."""
        alice, bob = Visitor(self._port), Visitor(self._port)
        while len(self.asked) < self._count:
            for visitor, key, pause in ((alice, self._key, PAIR_PAUSE), (bob, self._other, PAIR_REST)):
                number = self._new("again", False, f"again-{pair}")
                self.judge(number, await visitor.ask(self._request(number, key), number))
                await asyncio.sleep(pause)
        for visitor in (alice, bob):
            await visitor.close()
            if visitor.strange:
                self.unasked(visitor.strange)

    def _wrong(self, what: str, data: bytes) -> None:
        self.seen[what] += 1
        if len(self.examples) < 5:
            self.examples.append(f"{what}: {data[:2_000]!r}")


def configuration(data_dir: Path, upstream: str) -> str:
    """The gateway's configuration: an alias for each kind of answer."""
    text = CONFIG.format(data_dir=data_dir, upstream=upstream)
    for kind in SHARES:
        text += MODEL.format(alias=f"x-{kind}", upstream="vendor", kind=kind)
    for number in range(1, LATE_CLIENTS + 1):
        text += UPSTREAM.format(name=f"late{number}", upstream=upstream)
        text += MODEL.format(alias=f"late-{number}", upstream=f"late{number}", kind="late")
    for number in range(1, PAIRS + 1):
        text += UPSTREAM.format(name=f"again{number}", upstream=upstream)
        text += MODEL.format(alias=f"again-{number}", upstream=f"again{number}", kind="again")
    return text


def run(folder: Path, count: int, clients: int) -> Figures:
    """The whole suite."""
    raise_descriptor_limit()
    records, data_dir, config = folder / "records.json", folder / "data", folder / "prometheus.toml"
    key, other = make_key(data_dir), make_key(data_dir, "other")
    with Process(folder, "tests.load.upstream", [str(records)]) as upstream:
        config.write_text(configuration(data_dir, upstream.ready))
        with Process(folder, "proxy", ["serve", "--config", str(config), "--port", "0"]) as gateway:

            async def ask() -> Crowd:
                crowd = Crowd(gateway.port, key, other, count)
                await crowd.ask_all(clients)
                return crowd

            began = time.monotonic()
            crowd = uvloop.run(ask())
            took = time.monotonic() - began
            gateway.end()
            errors = gateway.said().count("Traceback")
        upstream.end()
    figures = Figures("crosstalk")
    kinds = Counter(asked.kind for asked in crowd.asked)
    figures.tell("requests", len(crowd.asked))
    figures.tell("requests per second", round(len(crowd.asked) / took))
    figures.tell("kinds of answers", ", ".join(f"{kind} {number}" for kind, number in kinds.most_common()))
    figures.tell("clients that left", crowd.seen["clients that left"])
    for what in (
        "answers with a foreign mark",
        "answers that are not their own, byte for byte",
        "whole answers where there was none",
        "good answers that did not arrive",
        "answers that did not come",
        "bytes that nothing was asked for",
    ):
        figures.equal(what, crowd.seen[what], 0)
    upstream_saw = list(read_records(records))
    foreign = sum(one.event == "foreign" for one in upstream_saw)
    figures.equal("requests upstream with something foreign", foreign, 0)
    # Else nothing was tried: not all come so far, since some clients leave at once.
    reached = len({one.number for one in upstream_saw})
    figures.at_least("requests that the upstream saw", reached, round(0.9 * len(crowd.asked)))
    _check_rows(figures, crowd.asked, read_rows(data_dir))
    figures.equal("errors inside the gateway", errors, 0)
    for example in crowd.examples:
        print(example, file=sys.stderr)
    return figures


def _check_rows(figures: Figures, asked: list[Asked], rows: list[UsageRecord]) -> None:
    by_id = {row.id: row for row in rows}
    known = {one.request_id: number for number, one in enumerate(asked) if one.request_id}
    figures.equal("rows", len(rows), len(asked))
    figures.equal("requests with two rows", len(rows) - len(by_id), 0)
    figures.tell("rows compared with their request", len(known))
    figures.equal("requests without their row", len(known.keys() - by_id.keys()), 0)
    wrong: Counter[str] = Counter()
    for request_id, number in known.items():
        row, one = by_id.get(request_id), asked[number]
        if row is None:
            continue
        if row.alias != one.alias or row.stream != one.stream:
            wrong["another request's"] += 1
        if row.usage_source == "reported" and (row.input_tokens, row.output_tokens) != answers.tokens(number):
            wrong["another's tokens"] += 1
        if one.whole and (row.outcome, row.usage_source) != ("complete", "reported"):
            wrong[f"whole, but {row.outcome} and {row.usage_source}"] += 1
        if row.outcome == "complete" and one.kind not in GOOD:
            wrong[f"complete, but {one.kind}"] += 1
    figures.equal("wrong rows", dict(wrong), {})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.crosstalk", description=__doc__)
    parser.add_argument("--count", type=int, default=200_000, help="requests (default 200000)")
    parser.add_argument("--clients", type=int, default=64, help="connections at a time (default 64)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(Path(folder), arguments.count, arguments.clients).show())


if __name__ == "__main__":
    main()
