"""Fallbacks by cause to another alias: who serves, who pays, what the client sees, and who has no right to it."""

import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.config.tree import Budget, Limits, Price, Routing
from proxy.ledger import tries
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
    wait_until,
)
from tests.fakes import Close, Step, json_answer, sse_answer
from tests.policies.budgeting import counts, policy_of
from tests.policies.limit_samples import held
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
    if name == "rate limit":
        assert [one.target for one in tries.decode(row.tries)] == ["vendor1/vendor-model-2026-08-07"]
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


# limits and budgets of the other alias

FREE = Price(input=Decimal(0), output=Decimal(0))


def wait_for_counts(gateway: RunningGateway, **spent: int) -> None:
    """Wait until each budget has spent so much, and has nothing reserved."""
    wanted = {name: (nanos, 0) for name, nanos in spent.items()}
    wait_until(lambda: {name: counts(gateway, name) for name in spent} == wanted, f"the budgets to be {wanted}")


def wait_for_budget(gateway: RunningGateway, name: str) -> None:
    """Wait until a budget of the file is read from the ledger."""

    def is_loaded(_: object) -> bool:
        policy = policy_of(gateway)
        digest = policy._pots.of_file[name].spending(time.time_ns() // 1_000).digest
        return digest in policy._loader._known

    wait_until(lambda: gateway.call(is_loaded), "the budget to be read")


@pytest.mark.parametrize(
    "budget",
    [
        Budget(limit=Decimal("0.0005")),
        Budget(limit=Decimal("0.0005"), models=[LARGE]),
        Budget(limit=Decimal("0.0003"), on_exceed="soft_cap"),
    ],
)
def test_an_alias_that_costs_nothing_spends_no_more_by_its_fallback_than_the_budget_has(
    tmp_path: Path, budget: Budget
) -> None:
    with upstreams(2, refused(429, "rate_limit_exceeded")) as (fake, large):
        large.handler = lambda _: json_answer(JSON_ANSWER)
        config = config_of(
            tmp_path, [fake, large], falling_back(rate_limit=[LARGE]), fallback=True, model={"price": FREE}
        )
        config = msgspec.structs.replace(config, budgets={"all": budget})
        with RunningGateway(config) as gateway:
            wait_for_budget(gateway, "all")
            body = {**question(stream=False), "max_tokens": 2}
            statuses = [call(gateway, body)[0].status for _ in range(5)]
            # Of 187,000 nano-dollars each; more are reserved, and a second one is served while anything is left.
            served = 2 if budget.on_exceed == "soft_cap" else 1
            assert statuses == [200] * served + [429] * (5 - served)
            assert len(large.requests) == served
            wait_for_counts(gateway, all=served * LARGE_COST)


def test_a_fallback_without_a_price_is_no_way_around_a_budget(tmp_path: Path) -> None:
    with upstreams(2, refused(429, "rate_limit_exceeded")) as (fake, large):
        config = config_of(tmp_path, [fake, large], falling_back(rate_limit=[LARGE]), fallback=True)
        models = {**config.models, LARGE: msgspec.structs.replace(config.models[LARGE], price=None)}
        config = msgspec.structs.replace(config, models=models, budgets={"all": Budget(limit=Decimal(1))})
        with RunningGateway(config) as gateway:
            assert call(gateway)[0].status == 429
            assert not large.requests
            wait_for_counts(gateway, all=0)


def test_a_budget_of_the_first_alias_gets_back_what_the_fallback_does_not_spend(tmp_path: Path) -> None:
    with upstreams(2, refused(429, "rate_limit_exceeded")) as (fake, large):
        large.handler = lambda _: json_answer(JSON_ANSWER)
        config = config_of(tmp_path, [fake, large], falling_back(rate_limit=[LARGE]), fallback=True)
        budgets = {
            "first": Budget(limit=Decimal(1), models=[ALIAS]),
            "large": Budget(limit=Decimal(1), models=[LARGE]),
            "all": Budget(limit=Decimal(1)),
        }
        with RunningGateway(msgspec.structs.replace(config, budgets=budgets)) as gateway:
            wait_for_budget(gateway, "large")
            assert call(gateway)[0].status == 200
            wait_for_counts(gateway, first=0, large=LARGE_COST, all=LARGE_COST)


def test_limits_of_the_other_alias_hold_for_fallbacks_too(tmp_path: Path) -> None:
    with upstreams(2, refused(429, "rate_limit_exceeded")) as (fake, large):
        large.handler = lambda _: json_answer(JSON_ANSWER)
        config = config_of(tmp_path, [fake, large], falling_back(rate_limit=[LARGE]), fallback=True)
        limited = msgspec.structs.replace(config.models[LARGE], limits=Limits(requests="2/h", concurrent=5))
        config = msgspec.structs.replace(config, models={**config.models, LARGE: limited})
        with RunningGateway(config) as gateway:
            assert [call(gateway)[0].status for _ in range(4)] == [200, 200, 429, 429]
            assert len(large.requests) == 2
            assert held(gateway) == 0
