"""Fallbacks by cause to another alias: who serves, who pays, what the client sees, and who has no right to it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.config.tree import Routing
from tests.exchange.routed import LARGE, call, config_of, falling_back, upstreams
from tests.exchange.samples import (
    HELLO,
    JSON_ANSWER,
    ROLE,
    begun,
    ended,
    event,
    only_row,
    question,
    rewritten,
    wait_for_settled,
)
from tests.fakes import Close, Step, json_answer, sse_answer
from tests.serving import ALIAS, RunningGateway

OTHER_KEY = "prom_sk_another_test_key_that_is_long_enough"
#: 9 tokens in and 2 out at the price of `LARGE`, in nano-dollars.
LARGE_COST = 9 * 11_000 + 2 * 44_000
FILTERED = event(choices=[{"index": 0, "delta": {}, "finish_reason": "content_filter"}])
LARGE_STREAM = ROLE + HELLO + event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]) + b"data: [DONE]\n\n"


def refused(status: int, code: str | None, message: str = "no") -> list[Step]:
    return json_answer({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)


#: (the cause, how the first alias fails with it).
FAILURES: dict[str, tuple[str, Sequence[Step]]] = {
    "context, by its code": ("context_window", refused(400, "context_length_exceeded")),
    "context, by its words": ("context_window", refused(400, None, "prompt is too long: 9 tokens > 8 maximum")),
    "policy": ("content_policy", refused(400, "content_filter")),
    "policy, in a good response": (
        "content_policy",
        json_answer({"choices": [{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}]}),
    ),
    "rate limit": ("rate_limit", refused(429, "rate_limit_exceeded")),
}


def fallback_run(
    data_dir: Path, routing: Routing | None, first: Sequence[Step], body: Mapping[str, Any], key: str = "", **model: Any
) -> tuple[Any, Any, Any, int]:
    """A request whose alias fails so, beside `LARGE`, which does not: (head, body, row, requests at LARGE)."""
    answer = ended(LARGE_STREAM) if body.get("stream") else json_answer(JSON_ANSWER)
    with upstreams(2) as (fake, large):
        fake.script(first)
        large.script(answer)
        with RunningGateway(config_of(data_dir, [fake, large], routing, fallback=True, model=model)) as gateway:
            if key:
                gateway.add_key("narrow", key, [ALIAS])
                head, response = call(gateway, body, key=key)
            else:
                head, response = call(gateway, body)
            return head, response, only_row(gateway), len(large.requests)


@pytest.mark.parametrize("name", FAILURES)
def test_another_alias_serves_and_is_billed_and_the_client_sees_its_own(name: str, tmp_path: Path) -> None:
    cause, first = FAILURES[name]
    head, body, row, _ = fallback_run(tmp_path, falling_back(**{cause: [LARGE]}), first, question(stream=False))
    assert head.status == 200
    assert json.loads(body.payload)["model"] == ALIAS
    assert (head.header("x-prism-fallback-used"), head.header("x-prism-model-used")) == ("true", ALIAS)
    assert head.header("x-prism-routing-strategy") == "order"
    assert (row.alias, row.upstream_model, row.attempts) == (LARGE, "large-model", 2)
    assert row.cost == LARGE_COST
    assert LARGE.encode() not in body.payload


@pytest.mark.parametrize("name", ["context, by its code", "rate limit"])
def test_without_a_fallback_for_the_cause_the_client_gets_the_error(name: str, tmp_path: Path) -> None:
    head, _, row, asked = fallback_run(
        tmp_path, falling_back(content_policy=[LARGE]), FAILURES[name][1], question(stream=False)
    )
    assert head.status in (400, 429)
    assert (row.alias, row.attempts, asked) == (ALIAS, 1, 0)
    assert head.header("x-prism-fallback-used") is None


def test_a_key_without_the_right_to_it_does_not_get_it(tmp_path: Path) -> None:
    routing = falling_back(context_window=[LARGE])
    first = refused(400, "context_length_exceeded")
    head, _, row, asked = fallback_run(tmp_path, routing, first, question(stream=False), OTHER_KEY)
    assert (head.status, asked, row.alias) == (400, 0, ALIAS)


def test_a_stream_that_is_refused_before_its_content_falls_back(tmp_path: Path) -> None:
    routing = falling_back(content_policy=[LARGE])
    head, body, row, _ = fallback_run(tmp_path, routing, sse_answer(ROLE + FILTERED + b"data: [DONE]\n\n"), question())
    assert (head.status, row.alias) == (200, LARGE)
    assert body.payload == rewritten(LARGE_STREAM)


def test_after_the_commit_point_nothing_falls_back(tmp_path: Path) -> None:
    routing = falling_back(content_policy=[LARGE], rate_limit=[LARGE])
    first = ended(ROLE, HELLO, FILTERED, b"data: [DONE]\n\n")
    head, body, row, asked = fallback_run(tmp_path, routing, first, question())
    assert (head.status, row.alias, asked) == (200, ALIAS, 0)
    assert body.payload == rewritten(ROLE + HELLO + FILTERED + b"data: [DONE]\n\n")


def test_a_stream_that_breaks_after_its_content_ends_with_an_error(tmp_path: Path) -> None:
    routing = falling_back(rate_limit=[LARGE])
    _, body, row, asked = fallback_run(tmp_path, routing, [*begun(ROLE, HELLO), Close()], question())
    assert (row.outcome, asked, body.complete) == ("upstream_cut", 0, False)


def test_an_error_event_before_any_content_is_judged_by_its_code(tmp_path: Path) -> None:
    failed = b'data: {"error":{"code":"context_length_exceeded","message":"Your input exceeds the limit."}}\n\n'
    routing = falling_back(context_window=[LARGE])
    head, _, row, _ = fallback_run(tmp_path, routing, sse_answer(ROLE + failed), question())
    assert (head.status, row.alias) == (200, LARGE)


def test_the_next_name_serves_where_the_first_fails_too(tmp_path: Path) -> None:
    too_long = refused(400, "context_length_exceeded")
    with upstreams(2) as (fake, large):
        fake.script(too_long, times=2)
        large.script(json_answer(JSON_ANSWER))
        config = config_of(tmp_path, [fake, large], falling_back(context_window=["middle", LARGE]), fallback=True)
        config.models["middle"] = config.models[ALIAS].__class__(capability="chat", targets=["vendor1/middle"])
        with RunningGateway(config) as gateway:
            head, _ = call(gateway)
            assert (head.status, only_row(gateway).attempts) == (200, 3)
            assert [json.loads(one.body)["model"] for one in fake.requests][1] == "middle"


def test_a_model_that_one_target_has_not_is_asked_of_the_next(tmp_path: Path) -> None:
    with upstreams(2) as (one, two):
        one.script(refused(404, "model_not_found"))
        two.script(json_answer(JSON_ANSWER))
        with RunningGateway(config_of(tmp_path, [one, two], None)) as gateway:
            head, _ = call(gateway)
            assert (head.status, only_row(gateway).upstream) == (200, "vendor2")
            assert head.header("x-prism-routing-strategy") is None


def test_a_client_that_left_gets_no_fallback(tmp_path: Path) -> None:
    with upstreams(2) as (fake, large):
        fake.script([])
        with RunningGateway(
            config_of(tmp_path, [fake, large], falling_back(rate_limit=[LARGE]), fallback=True)
        ) as gateway:
            with gateway.client() as client:
                gateway.chat(client, question(stream=False))
                fake.wait_for_requests(1)
            (row,) = wait_for_settled(gateway)
            assert (row.alias, len(large.requests)) == (ALIAS, 0)


@pytest.mark.parametrize(
    ("tool", "status"),
    [({"type": "function", "function": {"name": "f"}}, 200), ({"type": "advisor", "model": "another"}, 400)],
)
def test_what_the_body_names_is_checked_for_the_other_alias_too(tmp_path: Path, tool: object, status: int) -> None:
    # At OpenAI's own servers a tool may choose a model; this one of the first alias's kind may not.
    with upstreams(2) as (fake, large):
        fake.script(refused(400, "context_length_exceeded"))
        large.script(json_answer(JSON_ANSWER))
        config = config_of(tmp_path, [fake, large], falling_back(context_window=[LARGE]), fallback=True)
        first = msgspec.structs.replace(config.upstreams["vendor1"], client_models=True)
        config = msgspec.structs.replace(config, upstreams={**config.upstreams, "vendor1": first})
        with RunningGateway(config) as gateway:
            head, _ = call(gateway, question(stream=False, tools=[tool]))
            assert (head.status, len(large.requests)) == (status, int(status == 200))
