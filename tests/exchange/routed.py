"""Gateways for tests of routing: aliases over scripted upstreams, with the settings that a test needs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from proxy.config.tree import Config, Fallbacks, Model, Price, Routing
from tests.exchange.samples import question
from tests.fakes import Body, Head, RecordedRequest, ScriptedUpstream, Step
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

LARGE = "prometheus-large"
#: Ten times the price of `ALIAS`.
LARGE_PRICE = Price(input=Decimal("11.00"), output=Decimal("44.00"))


@contextmanager
def upstreams(count: int, answer: Sequence[Step] | None = None) -> Iterator[list[ScriptedUpstream]]:
    """So many upstreams, each of which responds with the `answer` where it has no script."""

    def respond(_: RecordedRequest) -> Sequence[Step]:
        return answer or ()

    with ExitStack() as stack:
        yield [stack.enter_context(ScriptedUpstream(respond if answer is not None else None)) for _ in range(count)]


def config_of(
    data_dir: Path,
    fakes: Sequence[ScriptedUpstream],
    routing: Routing | None,
    *,
    fallback: bool = False,
    upstream: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Config:
    """`ALIAS` over the upstreams; with `fallback` the last of them is that of `LARGE` instead."""
    urls = [fake.base_url for fake in fakes]
    config = simple_config(data_dir, *urls, upstream=upstream, model={"routing": routing, **(model or {})})
    if not fallback:
        return config
    own, (name,) = list(config.upstreams)[:-1], list(config.upstreams)[-1:]
    models = {
        ALIAS: msgspec.structs.replace(config.models[ALIAS], targets=[f"{one}/{UPSTREAM_MODEL}" for one in own]),
        LARGE: Model(capability="chat", targets=[f"{name}/large-model"], price=LARGE_PRICE),
    }
    return msgspec.structs.replace(config, models=models)


def falling_back(**causes: list[str]) -> Routing:
    return Routing(fallbacks=Fallbacks(**causes))


def call(
    gateway: RunningGateway, body: Mapping[str, Any] | None = None, *, key: str = KEY, **headers: str
) -> tuple[Head, Body]:
    """A chat request with these headers, on a connection of its own."""
    data = msgspec.json.encode(body if body is not None else question(stream=False))
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    with gateway.client() as client:
        client.request(
            "POST",
            "/v1/chat/completions",
            data,
            {"authorization": f"Bearer {key}", "content-type": "application/json", **fields},
        )
        return client.read_answer()
