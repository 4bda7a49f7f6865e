"""What an exchange leaves behind, however it ends: nothing that only the collector of cycles would find.

The collector runs seldom, and until it does the request's body, or a whole uploaded file, would stay in memory.
"""

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from proxy.exchange.exchange import Exchange
from proxy.exchange.upload import Upload
from proxy.server.cycle import RequestCycle
from proxy.server.protocol import GuardedProtocol
from proxy.upstream.connection import Connection
from proxy.upstream.drain import ResponseDrainer
from tests.exchange.samples import HELLO, JSON_ANSWER, ROLE, STREAM, begun, serving, wait_until
from tests.fakes import Close, Hang, Reset, Step, json_answer, sse_answer
from tests.load import asking
from tests.serving import ALIAS, KEY, RunningGateway

#: Seconds that an end may take on a machine that is busy elsewhere.
PATIENCE = 30.0
KINDS = (Exchange, RequestCycle, GuardedProtocol, Upload, Connection, ResponseDrainer)


def alive() -> Counter[str]:
    """How many of the objects of an exchange there are, garbage that was not collected included."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, KINDS))


def gone(gateway: RunningGateway, before: Counter[str]) -> bool:
    """Whether no exchange is left when the collector has run, in the thread in which nothing moves meanwhile.

    `before` are those of gateways of other tests in this process.
    """
    return gateway.call(lambda _: (gc.collect(), alive() <= before)[1])


def read_to_the_end(gateway: RunningGateway, data: bytes) -> None:
    with gateway.client() as client:
        client.send(data)
        client.read_answer()


def leave_within(gateway: RunningGateway, data: bytes) -> None:
    with gateway.client() as client:
        client.send(data)
        client.read_until(b"Hello")


def leave_before(gateway: RunningGateway, data: bytes) -> None:
    with gateway.client() as client:
        client.send(data)
        wait_until(lambda: gateway.call(lambda running: len(running.deadlines)) > 0, "an exchange")


def chat(stream: bool) -> bytes:
    return asking.chat(ALIAS, 1, KEY, stream=stream)


def form(whole: bool = True) -> bytes:
    data = asking.transcribe(ALIAS, 1, KEY, 200_000)
    return data if whole else data[:100_000]


ClientBehaviour = Callable[[RunningGateway, bytes], None]
ENDINGS: dict[str, tuple[Sequence[Step], bytes, ClientBehaviour]] = {
    "a whole answer": (json_answer(JSON_ANSWER), chat(False), read_to_the_end),
    "a whole stream": (sse_answer(STREAM), chat(True), read_to_the_end),
    "a stream that is cut": ([*begun(ROLE, HELLO), Close()], chat(True), read_to_the_end),
    "no answer": ([Reset()], chat(True), read_to_the_end),
    "a client that leaves within a stream": ([*begun(ROLE, HELLO), Hang()], chat(True), leave_within),
    "a client that leaves before the answer": ([Hang()], chat(False), leave_before),
    "an upload": (json_answer({"text": "Hello"}), form(), read_to_the_end),
    "a client that leaves within an upload": ([Hang()], form(whole=False), leave_before),
}


@pytest.mark.parametrize(("script", "data", "visit"), ENDINGS.values(), ids=ENDINGS.keys())
def test_an_exchange_leaves_nothing_to_the_collector(
    script: Sequence[Step], data: bytes, visit: ClientBehaviour, tmp_path: Path
) -> None:
    model = {"capability": "audio", "price": None} if b"form-data" in data else None
    gc.collect()
    before = alive()
    with serving(tmp_path, upstream={"keep_alive_timeout": 0.05}, model=model) as (gateway, upstream):
        upstream.handler = lambda _: script
        # The first of its kind, for what is made once; it is gone, and its garbage with it, before the second.
        visit(gateway, data)
        wait_until(lambda: gone(gateway, before), "the end of the first", PATIENCE)
        gc.disable()
        try:
            visit(gateway, data)
            wait_until(lambda: gateway.call(lambda _: alive() <= before), "an end without garbage", PATIENCE)
        finally:
            gc.enable()
