"""What tests of limits share: a gateway with limits, keys with accounts, clients, and what the counters hold."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.app import Gateway
from proxy.auth.accounts import Account
from proxy.auth.keys import Key, digest_of
from proxy.config.tree import Config, Limits
from proxy.limits.counters import HELD
from tests.fakes import Handler, Head, RawClient, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

OTHER = "prom_sk_another_key_that_is_long_enough_for_everybody"
QUESTION = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}


def limited(folder: Path, base_url: str, model: Limits | None = None, **limits: Limits) -> Config:
    """A configuration with these limits: `default`, `overall` and those of the alias."""
    named: dict[Any, Limits] = {"global" if name == "overall" else name: one for name, one in limits.items()}
    config = simple_config(folder, base_url, model={"limits": model})
    return msgspec.structs.replace(config, limits=named)


@contextlib.contextmanager
def served(
    folder: Path, handler: Handler | None, model: Limits | None = None, **limits: Limits
) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    """A gateway with these limits over an upstream that responds by `handler`."""
    with (
        ScriptedUpstream(handler) as upstream,
        RunningGateway(limited(folder, upstream.base_url, model, **limits)) as gateway,
    ):
        yield gateway, upstream


def usage(given: int, produced: int) -> list[Step]:
    """A chat completion of so many tokens."""
    counts = {"prompt_tokens": given, "completion_tokens": produced, "total_tokens": given + produced}
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    return json_answer({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counts})


def answer(_: RecordedRequest) -> list[Step]:
    return usage(9, 3)


def ask(
    gateway: RunningGateway,
    body: Mapping[str, Any] | None = None,
    *,
    path: str = "/v1/chat/completions",
    key: str = KEY,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> tuple[Head, Any]:
    """One request on a connection of its own: the head of its response, and its JSON."""
    data = json.dumps(body if body is not None else QUESTION).encode() if method == "POST" else b""
    fields = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
    with gateway.client() as client:
        client.request(method, path, data, fields)
        head, read = client.read_answer()
    return head, json.loads(read.payload)


def statuses(gateway: RunningGateway, count: int, key: str = KEY, **fields: Any) -> list[int]:
    """The statuses of so many requests, one after the other."""
    return [ask(gateway, {**QUESTION, **fields}, key=key)[0].status for _ in range(count)]


def in_parallel(gateway: RunningGateway, clients: int, body: Mapping[str, Any]) -> list[int]:
    """The statuses of one request of each client, all at the same time."""
    found: list[int] = []
    begin = threading.Barrier(clients)

    def run() -> None:
        with gateway.client(30.0) as client:
            begin.wait()
            gateway.chat(client, body)
            found.append(client.read_answer()[0].status)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def give_account(gateway: RunningGateway, secret: str, *accounts: Account, name: str = "paying") -> None:
    """A key with accounts, as the store of keys makes them."""

    def put(inside: Gateway) -> None:
        key = Key(id=f"key_{name}", name=name, models=None, created=0, expires=None, accounts=accounts)
        inside.keys._table.put_local(key, digest_of(secret.encode()))
        inside.admission.state.has_accounts = True
        inside.admission.reconfigure()

    gateway.call(put)


def held(gateway: RunningGateway) -> int:
    """What all requests together hold in the counters: 0 where none runs."""

    def total(inside: Gateway) -> int:
        counters = inside.admission.state.counters
        return sum(sum(counters.cells[HELD + place :: counters.stride]) for place in range(counters.workers))

    return gateway.call(total)


def header_fields(head: Head) -> dict[str, str]:
    """The header lines about limits."""
    return {name.lower(): value for name, value in head.headers if "ratelimit" in name.lower()}


@contextlib.contextmanager
def open_stream(gateway: RunningGateway, body: Mapping[str, Any]) -> Iterator[RawClient]:
    """A request whose response has begun, and has not ended."""
    with gateway.client() as client:
        gateway.chat(client, {**body, "stream": True})
        client.read_head()
        yield client
