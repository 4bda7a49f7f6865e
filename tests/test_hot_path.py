"""What a request and a relayed chunk may cost, counted and not timed: the same on every machine, under every load.

The counts are those of the real protocol, endpoint, relay and journal; only the sockets are replaced, and where sockets
are the matter, not even these. A budget is what the code needs today and a very little more: raise one only together
with a reason. Times belong to `make bench-guard`.
"""

import asyncio
import gc
import json
import logging
import random
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from benchmarks.counting import CountingLoop, Counts, counted
from benchmarks.plan import Load
from benchmarks.rig import ALIAS_PREFIX, KEY, AllLimits, Rig, reads_of, request, running_rig
from proxy.config.tree import Budget, Limits, Routing, Strategy
from proxy.exchange.attempt import Attempt
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, Step, WaitFor, chunk, head
from tests.serving import ALIAS, RunningGateway, needs_patching, simple_config

T = TypeVar("T")

#: A JSON chat request, from the client's bytes to the last byte of its answer: the keys, the bill and the access line.
JSON_REQUEST = Counts(python_calls=141, c_calls=152, decodes=4, file_writes=2)
#: What routing adds to it, sticky sessions and the metrics of the target included, by strategy.
ROUTED: dict[Strategy, Counts] = {
    "order": Counts(python_calls=18, c_calls=13),
    "weighted": Counts(python_calls=18, c_calls=14),
    # While one of the targets was not measured yet it costs a call more, and the draw decides whether that is so.
    "fastest": Counts(python_calls=21, c_calls=17),
    "least-busy": Counts(python_calls=21, c_calls=17),
    "cheapest": Counts(python_calls=20, c_calls=19),
}
#: A streamed one with three chunks of content, each in a read of its own.
STREAM = Counts(python_calls=221, c_calls=264, decodes=7, file_writes=2)
#: The same JSON request with everything on that `all_on` has: five limits.
ALL_ON = Counts(python_calls=185, c_calls=175, decodes=4, file_writes=2)
#: A JSON request that three budgets of the configuration pay for.
BUDGETED = Counts(python_calls=183, c_calls=170, decodes=4, file_writes=2)
#: A chunk that differs from the one before in its text alone, as those of nearly all providers do.
CHUNK = Counts(python_calls=11, c_calls=9)
#: A chunk that differs elsewhere too: it is read once.
STRANGE_CHUNK = Counts(python_calls=17, c_calls=24, decodes=1)
#: A chunk that shares its read with others.
BURST_CHUNK = Counts(python_calls=2, c_calls=6)
#: Times that a large piece of an answer may be in memory while it is relayed, beside the bytes that came.
COPIES = 4.5
#: The same of a large request on its way up, those included that came: as pieces, as one, and as it goes.
REQUEST_COPIES = 2.1
#: Objects that a finished request leaves to the collector of cycles. It should be none: until the collector runs, the
#: request's body is kept with them.
GARBAGE = 0

SHORT, LONG = 20, 40


def all_on() -> AllLimits:
    """Five limits that a request has to pass, and passes."""
    default = Limits(requests="1000000/s, 10000000/min", tokens="1000000000/min", concurrent=1_000)
    return {"default": default, "global": Limits(requests="100000000/min")}


def on_rig(
    models: Iterable[str],
    work: Callable[[Rig, CountingLoop], T],
    routing: Routing | None = None,
    limits: AllLimits | None = None,
    budgets: Mapping[str, Budget] | None = None,
) -> T:
    """Run something on a rig that has served once already."""

    async def scene(folder: str) -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        async with running_rig(Path(folder), models, routing, limits, budgets) as rig:
            return work(rig, loop)

    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(scene(folder))


def exchange(rig: Rig, loop: CountingLoop, sent: bytes, reads: tuple[bytes, ...]) -> Counts:
    """What one whole exchange costs. The first of its kind, which compiles and fills caches, is not counted, nor is the
    second, whose head is learned."""
    for _ in range(3):
        rig.client_transport.writes = rig.upstream_transport.writes = 0
        with counted(loop) as counts:
            rig.send_request(sent)
            rig.send_response(reads)
    return counts


def cost_of(model: str, *, stream: bool, whole: bool = False) -> Counts:
    """The cost of a request for a script of the benchmarks' upstream."""
    return on_rig(
        [model], lambda rig, loop: exchange(rig, loop, request(model, stream), reads_of(model, stream, whole))
    )


def cost_of_a_chunk(kind: str, *, whole: bool = False) -> Counts:
    """What one chunk more costs, in the middle of a stream."""
    more = cost_of(f"bench-{kind}-{LONG}", stream=True, whole=whole)
    less = cost_of(f"bench-{kind}-{SHORT}", stream=True, whole=whole)
    return (more - less).shared_by(LONG - SHORT)


def test_a_json_request_stays_within_its_budget() -> None:
    assert cost_of("bench-json", stream=False).over(JSON_REQUEST) == {}


@pytest.mark.parametrize("strategy", ROUTED)
def test_a_choice_of_the_target_stays_within_its_budget(strategy: Strategy) -> None:
    # One request in a hundred looks for a target to measure, and would cost more.
    random.seed(1)
    routing = Routing(strategy=strategy, sticky="session")
    reads = reads_of("bench-json", False, False)
    counts = on_rig(["bench-json"], lambda rig, loop: exchange(rig, loop, request("bench-json", False), reads), routing)
    assert (counts - cost_of("bench-json", stream=False)).over(ROUTED[strategy]) == {}


def test_a_json_request_with_everything_on_stays_within_its_budget() -> None:
    reads = reads_of("bench-json", False, False)
    counts = on_rig(
        ["bench-json"], lambda rig, loop: exchange(rig, loop, request("bench-json", False), reads), limits=all_on()
    )
    assert counts.over(ALL_ON) == {}


def test_a_json_request_with_three_budgets_stays_within_its_budget() -> None:
    reads = reads_of("bench-json", False, False)
    budgets = {window: Budget(limit=Decimal(1_000), window=window) for window in ("day", "month", "total")}
    counts = on_rig(
        ["bench-json"], lambda rig, loop: exchange(rig, loop, request("bench-json", False), reads), budgets=budgets
    )
    assert counts.over(BUDGETED) == {}


def test_a_short_stream_stays_within_its_budget() -> None:
    assert cost_of("bench-each-3", stream=True).over(STREAM) == {}


def test_a_chunk_stays_within_its_budget_and_is_not_read_as_json() -> None:
    assert cost_of_a_chunk("each").over(CHUNK) == {}


def test_chunks_that_come_in_one_read_share_the_cost_of_it() -> None:
    assert cost_of_a_chunk("burst", whole=True).over(BURST_CHUNK) == {}


def test_a_chunk_that_looks_new_each_time_is_read_once() -> None:
    assert cost_of_strange_chunk().over(STRANGE_CHUNK) == {}


def event(**fields: object) -> bytes:
    """One chunk of a chat stream, as one chunk of the HTTP body."""
    delta = {"index": 0, "delta": {"content": "word"}, "finish_reason": None}
    data = {"id": "c", "object": "chat.completion.chunk", "model": "dated", "choices": [delta], **fields}
    return chunk(b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n").data


def stream_of(events: Iterable[bytes]) -> tuple[bytes, ...]:
    """A whole answer, each event in a read of its own."""
    begin = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}).data
    return begin, *events, chunk(b"data: [DONE]\n\n").data + LAST_CHUNK


def cost_of_strange_chunk() -> Counts:
    """The same as `cost_of_a_chunk`, where a provider pads each one by random text."""

    def cost(count: int) -> Counts:
        padded = (event(obfuscation="x" * (number % 7), created=number) for number in range(count))
        reads = stream_of([*padded, event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])])
        return on_rig(["any"], lambda rig, loop: exchange(rig, loop, request("any", True), reads))

    return (cost(LONG) - cost(SHORT)).shared_by(LONG - SHORT)


@pytest.mark.parametrize(("model", "writes"), [("bench-json", 1), ("bench-burst-20", 1), ("bench-each-20", 23)])
def test_each_read_of_upstream_becomes_one_write_to_the_client(model: str, writes: int) -> None:
    def count(rig: Rig, loop: CountingLoop) -> tuple[int, int]:
        stream = model != "bench-json"
        exchange(rig, loop, request(model, stream), reads_of(model, stream, model != "bench-each-20"))
        return rig.upstream_transport.writes, rig.client_transport.writes

    assert on_rig([model], count) == (1, writes)


def copies_of_a_large_piece() -> float:
    """How often, at the most, the bytes of a large event are in memory while it is relayed, beside those that came."""
    content = "x" * 262_144
    large = event(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": None}])
    end = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])

    def peak(rig: Rig, loop: CountingLoop) -> int:
        opening, *rest = stream_of([event(), event(), large, end])
        rig.send_request(request("any", True))
        rig.send_response([opening, *rest[:2]])
        tracemalloc.start()
        try:
            rig.send_response(rest[2:3])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            rig.send_response(rest[3:])

    return on_rig(["any"], peak) / len(large)


def test_a_large_piece_is_in_memory_no_more_often_than_its_budget_says() -> None:
    assert copies_of_a_large_piece() <= COPIES


def copies_of_a_large_request() -> float:
    """How often, at the most, the bytes of a large request are in memory until they have gone up."""
    sent = Load(port=1, model="", key=KEY, stream=True, body_bytes=2**20).request(ALIAS_PREFIX + "any")

    def peak(rig: Rig, loop: CountingLoop) -> int:
        tracemalloc.start()
        try:
            for at in range(0, len(sent), 65_536):
                rig.send_request(sent[at : at + 65_536])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            rig.send_response(reads_of("bench-first", True, False))

    return on_rig(["any"], peak) / len(sent)


def test_a_large_request_is_in_memory_no_more_often_than_its_budget_says() -> None:
    assert copies_of_a_large_request() <= REQUEST_COPIES


@pytest.mark.parametrize(("model", "stream"), [("bench-json", False), ("bench-first", True)])
def test_a_finished_request_leaves_the_collector_no_more_than_its_budget_says(model: str, stream: bool) -> None:
    def garbage(rig: Rig, loop: CountingLoop) -> int:
        sent, reads = request(model, stream), reads_of(model, stream, False)
        exchange(rig, loop, sent, reads)
        gc.collect()
        gc.disable()
        try:
            rig.send_request(sent)
            rig.send_response(reads)
            return gc.collect()
        finally:
            gc.enable()

    assert on_rig([model], garbage) <= GARBAGE


@contextmanager
def collections() -> Iterator[list[int]]:
    """The generations of the garbage collections that code asks for meanwhile; none runs by itself."""
    seen: list[int] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    collecting = gc.isenabled()
    gc.disable()
    gc.callbacks.append(look)
    try:
        yield seen
    finally:
        gc.callbacks.remove(look)
        if collecting:
            gc.enable()


@pytest.mark.parametrize(("model", "stream"), [("bench-json", False), ("bench-each-3", True)])
def test_no_request_runs_the_garbage_collector(model: str, stream: bool) -> None:
    """One call in C costs nothing by the counts above, however long it takes."""

    def collected(rig: Rig, loop: CountingLoop) -> list[int]:
        with collections() as seen:
            for _ in range(3):
                rig.send_request(request(model, stream))
                rig.send_response(reads_of(model, stream, False))
        return seen

    assert on_rig([model], collected) == []


def test_a_garbage_collection_is_seen() -> None:
    with collections() as seen:
        gc.collect(0)
        gc.collect()
    assert seen == [0, 2]


class CountedGateway(RunningGateway):
    """A gateway whose loop tells of its system calls and turns."""

    def __init__(self, folder: Path, upstream: ScriptedUpstream) -> None:
        super().__init__(simple_config(folder, upstream.base_url))
        self._upstream_port = upstream.port
        #: What happened on the request's two sockets, and in which turn of the loop.
        self.seen: list[tuple[str, int]] = []

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=CountingLoop) as runner:
                runner.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 (raised in the test's thread)
            self._failure = failure
        finally:
            self._ready.set()

    def watch(self) -> None:
        """Forget what was seen, and look on."""

        def look(_: object) -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, CountingLoop)
            self.seen.clear()
            loop.watcher = lambda write, sock: self.seen.append(
                (
                    f"{'write to' if write else 'read from'} "
                    f"{'upstream' if sock.getpeername()[1] == self._upstream_port else 'client'}",
                    loop.turn,
                )
            )

        self.call(look)


def relay_in_lock_step(folder: Path, count: int) -> list[tuple[str, int]]:
    """Relay a stream of which each event is sent when the client has the one before; what the sockets saw of it."""
    events = [event() for _ in range(count)]
    read = [threading.Event() for _ in events]
    begin, *_, end = stream_of([])
    stop = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    steps: list[Step] = [Send(begin + events[0]), WaitFor(read[0])]
    for data, until in zip(events[1:], read[1:], strict=True):
        steps += [Send(data), WaitFor(until)]
    steps.append(Send(stop + end))
    with ScriptedUpstream() as upstream, CountedGateway(folder, upstream) as gateway, gateway.client() as client:
        # The first opens the connection to the upstream.
        upstream.script([Send(begin + events[0] + stop + end)])
        body = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}], "stream": True}
        gateway.chat(client, body)
        client.read_answer()
        gateway.watch()
        upstream.script(steps)
        gateway.chat(client, body)
        client.read_head()
        for until in read:
            client.read_chunk()
            until.set()
        assert client.read_chunked().complete
        return gateway.call(lambda _: list(gateway.seen))


def test_a_stream_costs_one_read_and_one_write_for_each_piece_and_nothing_else(tmp_path: Path) -> None:
    seen = [what for what, _ in relay_in_lock_step(tmp_path, 10)]
    assert seen == ["read from client", "write to upstream"] + ["read from upstream", "write to client"] * 11


def test_each_piece_leaves_in_the_turn_of_the_loop_in_which_it_came(tmp_path: Path) -> None:
    seen = relay_in_lock_step(tmp_path, 10)
    assert seen
    pairs = zip(seen[::2], seen[1::2], strict=True)
    assert [(came, left) for came, left in pairs if came[1] != left[1]] == []


# That the counters see what they are there for: each of these puts a well-known sin into the path of a chunk.


async def nothing() -> None:
    """What a careless task would do."""


def spawn_a_task(_: bytes) -> None:
    asyncio.get_running_loop().create_task(nothing())


def read_json(data: bytes) -> None:
    _, _, payload = data.partition(b"data: ")
    if payload.startswith(b"{"):
        json.loads(payload.rstrip())


def read_json_fast(data: bytes) -> None:
    _, _, payload = data.partition(b"data: ")
    if payload.startswith(b"{"):
        msgspec.json.decode(payload.rstrip())


def log(data: bytes) -> None:
    logging.getLogger("proxy.exchange.exchange").debug("relayed %d bytes", len(data))


def make_a_future(_: bytes) -> None:
    asyncio.get_running_loop().create_future()


def set_a_timer(_: bytes) -> None:
    asyncio.get_running_loop().call_later(0, int).cancel()


@needs_patching
@pytest.mark.parametrize(
    ("sin", "counter"),
    [
        (spawn_a_task, "tasks"),
        (read_json, "decodes"),
        (read_json_fast, "decodes"),
        (log, "log_calls"),
        (make_a_future, "futures"),
        (set_a_timer, "callbacks"),
    ],
)
def test_a_chunk_passes_its_budget_when_the_relay_does_more_than_relay(
    sin: Callable[[bytes], None], counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Attempt.body

    def sinful(self: Attempt, data: bytes, complete: bool) -> None:
        sin(data)
        body(self, data, complete)

    monkeypatch.setattr(Attempt, "body", sinful)
    assert counter in cost_of_a_chunk("each").over(CHUNK)


@needs_patching
def test_three_calls_more_in_the_path_of_a_chunk_pass_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    body = Attempt.body

    def layered(self: Attempt, data: bytes, complete: bool) -> None:
        (lambda: (lambda: body(self, data, complete))())()

    monkeypatch.setattr(Attempt, "body", layered)
    assert "python_calls" in cost_of_a_chunk("each").over(CHUNK)


@needs_patching
def test_a_chunk_that_waits_for_the_next_turn_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = Attempt.body

    def late(self: Attempt, data: bytes, complete: bool) -> None:
        asyncio.get_running_loop().call_soon(body, self, data, complete)

    monkeypatch.setattr(Attempt, "body", late)
    seen = relay_in_lock_step(tmp_path, 3)
    assert any(came[1] != left[1] for came, left in zip(seen[::2], seen[1::2], strict=True))


@needs_patching
def test_a_copy_of_every_piece_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    body = Attempt.body
    kept: list[str] = []

    def copying(self: Attempt, data: bytes, complete: bool) -> None:
        kept.append(data.decode())
        body(self, data, complete)

    monkeypatch.setattr(Attempt, "body", copying)
    assert copies_of_a_large_piece() > COPIES
