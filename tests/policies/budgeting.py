"""Gateways with budgets: an upstream that reports a fixed usage, and requests that cost a round amount. No test."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from proxy.auth.accounts import Account
from proxy.auth.keys import digest_of
from proxy.config.tree import Budget, Config, Price
from proxy.policies.budgets import BudgetPolicy
from tests.fakes import Handler, RawClient, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

#: A dollar for a million output tokens, and nothing for the input: 10 tokens are 10,000 nano-dollars.
PRICE = Price(input=Decimal("0"), output=Decimal("1"))
TOKENS = 10
COST = 10_000


def answer(tokens: int | None = TOKENS) -> dict[str, Any]:
    """A completion that says how many tokens it has."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 4}, "finish_reason": "stop"}
    fields: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": UPSTREAM_MODEL, "choices": [choice]}
    if tokens is not None:
        fields["usage"] = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    return fields


def budget(limit: str, **settings: Any) -> Budget:
    return Budget(limit=Decimal(limit), **settings)


def requests(count: int) -> str:
    """A limit in USD for so many requests."""
    return f"{Decimal(COST * count) / 10**9:f}"


def respond(_: RecordedRequest) -> list[Step]:
    return json_answer(answer())


def config_of(data_dir: Path, url: str, budgets: Mapping[str, Budget], **model: Any) -> Config:
    config = simple_config(data_dir, url, model={"price": PRICE, **model})
    return msgspec.structs.replace(config, budgets=dict(budgets))


@contextmanager
def budgeted(
    data_dir: Path, budgets: Mapping[str, Budget], handler: Handler = respond, **model: Any
) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    with (
        ScriptedUpstream(handler) as upstream,
        RunningGateway(config_of(data_dir, upstream.base_url, budgets, **model)) as gateway,
    ):
        yield gateway, upstream


def ask(
    gateway: RunningGateway, *, key: str = KEY, headers: Mapping[str, str] | None = None, **fields: Any
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of one chat request that is capped at TOKENS, on a connection of its own."""
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "hi"}], "max_tokens": TOKENS, **fields}
    with gateway.client() as client:
        return post(client, "/v1/chat/completions", body, key, headers)


def post(
    client: RawClient, path: str, body: Any, key: str = KEY, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    client.request(
        "POST",
        path,
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})},
    )
    head, received = client.read_answer()
    lines = {name.lower(): value for name, value in head.headers}
    is_json = lines.get("content-type", "").startswith("application/json")
    return head.status, lines, json.loads(received.payload) if is_json else received.payload


def give_accounts(gateway: RunningGateway, *accounts: Account, secret: str = KEY, **changes: Any) -> None:
    """Have a key pay from accounts, as if it had been stored with them."""

    def change(running: Any) -> None:
        table = running.keys._table
        key = table.by_digest[digest_of(secret.encode())]
        table.put_local(msgspec.structs.replace(key, accounts=accounts, **changes), digest_of(secret.encode()))
        running.admission.state.has_accounts = True
        running.admission.reconfigure()

    gateway.call(change)


def policy_of(gateway: RunningGateway) -> BudgetPolicy:
    found = [policy for policy in gateway.gateway.admission._policies if isinstance(policy, BudgetPolicy)]
    return found[0]


def counts(gateway: RunningGateway, name: str) -> tuple[int, int]:
    """Spent and reserved of a budget of the file, in its window now."""
    return gateway.call(lambda _: policy_of(gateway)._pots.of_file[name].spending(time.time_ns() // 1_000).counts())
