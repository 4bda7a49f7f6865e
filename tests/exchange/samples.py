"""What the tests of the relay share: an answer in pieces, questions, and gateways with the upstreams they need.

No expectation of a test stands here; these are the makings of them.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.ledger.record import UsageRecord
from tests.fakes import LAST_CHUNK, Body, Head, ScriptedUpstream, Send, Step, chunk, head
from tests.serving import ALIAS, RunningGateway, simple_config

#: What the upstream calls itself in its answers: more than what it was asked for.
ANSWERING_MODEL = "vendor-model-2026-08-07-b"
MESSAGES = [{"role": "user", "content": "hello"}]


def event(**fields: object) -> bytes:
    """One event of a chat stream, as the upstream sends it."""
    value = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": ANSWERING_MODEL, **fields}
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def word(text: str) -> bytes:
    """An event with some text."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


ROLE = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
HELLO = word("Hello")
STOP = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
DONE = b"data: [DONE]\n\n"
STREAM = ROLE + HELLO + STOP + USAGE + DONE
#: What 9 tokens in and 2 tokens out cost at the price of `simple_config`, in nano-dollars.
COST = 9 * 1100 + 2 * 4400
JSON_ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": ANSWERING_MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
EVENTS = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


def rewritten(data: bytes) -> bytes:
    """A response as the client gets it: with the alias for the model of the upstream."""
    return data.replace(ANSWERING_MODEL.encode(), ALIAS.encode())


#: `STREAM` as a client that did not ask for usage gets it.
REWRITTEN_STREAM = rewritten(ROLE + HELLO + STOP + DONE)


def question(stream: bool = True, **fields: object) -> dict[str, Any]:
    """A request's body."""
    return {"model": ALIAS, "messages": MESSAGES, **({"stream": True} if stream else {}), **fields}


def begun(*events: bytes) -> list[Step]:
    """An answer that has begun with these events, each in a chunk, and has not ended."""
    return [head(200, EVENTS), *(chunk(one) for one in events)]


def ended(*events: bytes) -> list[Step]:
    """A whole answer of these events."""
    return [*begun(*events), Send(LAST_CHUNK)]


@contextmanager
def serving(
    data_dir: Path,
    *,
    server: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    """A gateway over one upstream."""
    with ScriptedUpstream() as fake:
        config = simple_config(data_dir, fake.base_url, server=server, upstream=upstream, model=model)
        with RunningGateway(config) as gateway:
            yield gateway, fake


@contextmanager
def serving_two(
    data_dir: Path, *, server: Mapping[str, Any] | None = None, upstream: Mapping[str, Any] | None = None
) -> Iterator[tuple[RunningGateway, ScriptedUpstream, ScriptedUpstream]]:
    """A gateway over one upstream and another to fall back to."""
    with ScriptedUpstream() as first, ScriptedUpstream() as second:
        config = simple_config(data_dir, first.base_url, second.base_url, server=server, upstream=upstream)
        with RunningGateway(config) as gateway:
            yield gateway, first, second


@contextmanager
def refusing_url() -> Iterator[str]:
    """A base URL that refuses connections: its port is bound, and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def ask(gateway: RunningGateway, body: Mapping[str, Any] | None = None) -> tuple[Head, Body]:
    """Ask on a connection of its own, and read the answer to its end."""
    with gateway.client() as client:
        gateway.chat(client, question() if body is None else body)
        return client.read_answer()


def only_row(gateway: RunningGateway) -> UsageRecord:
    """The one row there is."""
    (row,) = gateway.rows()
    return row


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
    """Wait for something that no event tells. Raises AssertionError when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.002)


def wait_for_settled(gateway: RunningGateway, count: int = 1) -> list[UsageRecord]:
    """Wait until so many rows are there, for requests whose client learns of no end."""
    wait_until(lambda: len(gateway.rows()) >= count, f"{count} rows")
    return gateway.rows()


def wait_for_pool(gateway: RunningGateway, *, size: int, idle: int, name: str = "vendor1") -> None:
    """Wait until the pool has so many connections, and so many of them free."""
    seen: list[tuple[int, int]] = []

    def fits() -> bool:
        seen.append(gateway.call(lambda running: (running.pools[name].size, running.pools[name].idle)))
        return seen[-1] == (size, idle)

    wait_until(fits, f"a pool of {size} with {idle} idle")
