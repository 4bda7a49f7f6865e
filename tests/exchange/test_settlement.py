"""The bill of a request as it is stored: tokens, money, times, and where the numbers come from."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Price
from proxy.dialects.openai_chat import CHAT
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.settlement import refused_record
from proxy.ledger.estimator import LEARN_ALL, LEARN_EACH
from proxy.ledger.record import UsageRecord
from tests.exchange.samples import (
    COST,
    DONE,
    HELLO,
    JSON_ANSWER,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    ask,
    ended,
    event,
    only_row,
    question,
    serving,
    serving_two,
)
from tests.fakes import Pause, Reset, ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway, simple_config

WAIT = 0.3


def billed(data_dir: Path, usage: dict[str, Any] | None, **model: Any) -> UsageRecord:
    """The row of a whole JSON answer that reports this usage."""
    with serving(data_dir, model=model) as (gateway, upstream):
        upstream.script(json_answer({**JSON_ANSWER, "usage": usage}))
        ask(gateway, question(stream=False))
        return only_row(gateway)


def test_a_row_says_who_asked_for_what_and_who_answered(tmp_path: Path) -> None:
    before = time.time_ns() // 1000
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        answer, body = ask(gateway)
        row = only_row(gateway)
        key = gateway.call(lambda running: running.keys.remember("test", "prom_sk_another_secret_of_the_same_key").id)
    assert row.id == answer.header("x-request-id")
    assert (row.key, row.alias, row.endpoint, row.stream) == (key, ALIAS, "/v1/chat/completions", True)
    assert (row.upstream, row.upstream_model, row.attempts) == ("vendor1", UPSTREAM_MODEL, 1)
    assert (row.status, row.outcome, row.error_code) == (200, "complete", None)
    assert (row.bytes_out, row.text_out) == (len(body.payload), len("Hello"))
    assert before <= row.started <= time.time_ns() // 1000


def test_reported_usage_is_billed_to_the_nano_dollar(tmp_path: Path) -> None:
    row = billed(tmp_path, JSON_ANSWER["usage"])  # type: ignore[arg-type]
    assert (row.usage_source, row.input_tokens, row.output_tokens, row.cost) == ("reported", 9, 2, COST)


def test_what_a_target_costs_stands_beside_what_the_alias_costs(tmp_path: Path) -> None:
    costs = {f"vendor1/{UPSTREAM_MODEL}": Price(input=Decimal("0.5"), output=Decimal(2))}
    row = billed(tmp_path, JSON_ANSWER["usage"], costs=costs)  # type: ignore[arg-type]
    assert (row.cost, row.target_cost) == (COST, 9 * 500 + 2 * 2_000)


def test_a_target_without_a_cost_has_none_and_one_that_was_not_asked_costs_nothing(tmp_path: Path) -> None:
    costs = {"vendor2/other": Price(input=Decimal("0.5"), output=Decimal(2))}
    assert billed(tmp_path / "a", JSON_ANSWER["usage"], costs=costs).target_cost is None  # type: ignore[arg-type]
    costs = {f"vendor1/{UPSTREAM_MODEL}": Price(input=Decimal(1))}
    # Its output has no price.
    assert billed(tmp_path / "b", JSON_ANSWER["usage"], costs=costs).target_cost is None  # type: ignore[arg-type]


def test_cached_and_reasoning_tokens_are_counted_inside_the_others(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    price = Price(input=Decimal(1), output=Decimal(10), cached_input=Decimal("0.1"))
    row = billed(tmp_path, usage, price=price)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens) == (100, 40, 50, 30)
    assert row.cost == 60 * 1_000 + 40 * 100 + 50 * 10_000


def test_an_alias_without_a_price_is_unpriced_and_not_free(tmp_path: Path) -> None:
    row = billed(tmp_path, JSON_ANSWER["usage"], price=None)  # type: ignore[arg-type]
    assert (row.input_tokens, row.cost) == (9, None)


def test_an_answer_that_reports_nothing_is_estimated_and_says_so(tmp_path: Path) -> None:
    row = billed(tmp_path, None)
    assert row.usage_source == "estimated"
    assert row.cost == row.input_tokens * 1100 + row.output_tokens * 4400 > 0


def test_an_explicit_zero_is_reported_and_not_estimated(tmp_path: Path) -> None:
    row = billed(tmp_path, {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9})
    assert (row.usage_source, row.output_tokens, row.cost) == ("reported", 0, 9 * 1100)


def test_the_last_usage_of_a_stream_counts_and_no_sum(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        growing = [
            event(
                choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": None}],
                usage={"prompt_tokens": 9, "completion_tokens": number},
            )
            for number in range(1, 5)
        ]
        upstream.script(ended(ROLE, *growing, STOP, DONE))
        ask(gateway)
        row = only_row(gateway)
    assert (row.input_tokens, row.output_tokens) == (9, 4)


def test_estimates_are_learned_from_what_is_reported(tmp_path: Path) -> None:
    dense = event(choices=[], usage={"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100})
    with serving(tmp_path) as (gateway, upstream):
        for _ in range(30):
            upstream.script(ended(ROLE, HELLO * 20, STOP, dense, DONE))
            ask(gateway)
        upstream.script(ended(ROLE, HELLO * 20, STOP, DONE))
        ask(gateway)
        rows = gateway.rows()
    assert rows[-1].usage_source == "estimated"
    # A quarter of a token for a byte is what it starts from, a tenth is what was reported.
    assert 10 <= rows[-1].output_tokens < 20
    assert rows[-1].input_tokens > rows[-1].text_in // 4


def test_hidden_reasoning_teaches_nothing_about_text(tmp_path: Path) -> None:
    counted = {
        "prompt_tokens": 90,
        "completion_tokens": 50,
        "total_tokens": 140,
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    with serving(tmp_path) as (gateway, upstream):
        for _ in range(30):
            upstream.script(ended(ROLE, HELLO * 20, STOP, event(choices=[], usage=counted), DONE))
            ask(gateway)
        upstream.script(ended(ROLE, HELLO * 20, STOP, DONE))
        ask(gateway)
        rows = gateway.rows()
    assert (rows[-1].usage_source, rows[-1].text_out) == ("estimated", 100)
    # A tenth of a token for a byte of text, and not half of one.
    assert 10 <= rows[-1].output_tokens < 20


def test_a_short_question_is_not_estimated_by_the_json_around_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(ROLE, HELLO, STOP, DONE))
        ask(gateway, {"model": ALIAS, "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 9})
        row = only_row(gateway)
    assert row.usage_source == "estimated"
    assert 2 <= row.input_tokens <= 10


def test_the_text_of_a_long_request_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(ROLE, HELLO, STOP, DONE))
        ask(gateway, question(messages=[{"role": "user", "content": "word " * 20_000}]))
        row = only_row(gateway)
    assert row.usage_source == "estimated"
    assert 25_000 <= row.input_tokens < 25_100


def test_the_pictures_of_one_key_change_no_estimate_of_another(tmp_path: Path) -> None:
    other = "prom_sk_another_key_that_is_long_enough_for_everybody"
    dear = event(choices=[], usage={"prompt_tokens": 130, "completion_tokens": 2, "total_tokens": 132})
    with serving(tmp_path) as (gateway, upstream), gateway.client() as client:
        gateway.add_key("other", other)
        for _ in range(20):
            upstream.script(ended(ROLE, HELLO, STOP, dear, DONE))
            gateway.chat(client, question(messages=[{"role": "user", "content": "x" * 100}]), other)
            client.read_answer()
        upstream.script(ended(ROLE, HELLO, STOP, DONE))
        ask(gateway, question(messages=[{"role": "user", "content": "x" * 4000}]))
        row = gateway.rows()[-1]
    assert row.usage_source == "estimated"
    assert 1_000 <= row.input_tokens <= 1_020


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 10**12 + 1, "total_tokens": 10**12 + 11},
        {"prompt_tokens": 10, "completion_tokens": 2**48, "total_tokens": 2**48 + 10},
        {"prompt_tokens": 10, "completion_tokens": 10**12, "total_tokens": 10**12 + 10},
        {"prompt_tokens": -5, "completion_tokens": 10**30},
    ],
)
def test_an_absurd_count_costs_no_row(tmp_path: Path, usage: dict[str, Any]) -> None:
    row = billed(tmp_path, usage)
    assert row.outcome == "complete"
    assert row.cost is not None
    assert row.usage_source == ("reported" if usage["completion_tokens"] == 10**12 else "estimated")


@pytest.mark.parametrize("last", [{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}, None])
def test_no_later_event_takes_the_counts_of_a_stream_away(tmp_path: Path, last: Any) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(ROLE, HELLO, STOP, USAGE, event(choices=[], usage=last), DONE))
        ask(gateway)
        row = only_row(gateway)
    assert (row.usage_source, row.input_tokens, row.output_tokens, row.cost) == ("reported", 9, 2, COST)


def test_the_name_of_a_model_that_is_none_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _):
        ask(gateway, {"model": "claude-opus-4-8\n\x1b[31m" + "x" * 500})
        row = only_row(gateway)
    line = json.loads(gateway.log.getvalue())
    assert (row.alias, row.error_code) == ("", "model_not_found")
    assert row.requested_model.startswith("claude-opus-4-8\\n\\x1b[31mxxx")
    assert len(row.requested_model) < 300
    assert line["requested_model"] == row.requested_model


def test_times_tell_the_gateway_s_part_from_the_upstream_s(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Pause(WAIT), *sse_answer(STREAM)])
        ask(gateway)
        row = only_row(gateway)
    assert row.ttft is not None
    assert 0 < row.ttft <= row.total
    assert row.ttft >= WAIT * 900_000
    assert row.overhead <= row.total - WAIT * 900_000


def test_the_time_of_an_attempt_that_failed_is_not_the_gateway_s(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script([Pause(WAIT), Reset()])
        second.script(sse_answer(STREAM))
        ask(gateway)
        row = only_row(gateway)
    assert row.attempts == 2
    assert row.overhead <= row.total - WAIT * 900_000


def test_a_request_that_reached_nobody_is_all_overhead_and_free() -> None:
    context = RequestContext(
        EndpointSpec("/v1/chat/completions", CHAT), id="req_1", started=1, arrived=time.monotonic()
    )
    context.arrived -= 0.07
    row = refused_record(context, "", "refused", 404, "model_not_found")
    assert row.total == row.overhead >= 70_000
    assert (row.cost, row.attempts, row.usage_source) == (0, 0, "none")
    assert (row.upstream, row.upstream_model, row.ttft) == ("", "", None)


def test_every_ending_makes_exactly_one_row(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        # The reset comes first: on a connection that has served before it would be taken for a race.
        error = json_answer({"error": {"message": "no"}}, 400)
        scripts: list[list[Step]] = [[Reset()], sse_answer(STREAM), ended(ROLE), error]
        ids = []
        for script in scripts:
            upstream.script(script)
            ids.append(ask(gateway)[0].header("x-request-id"))
        ids.append(ask(gateway, {"model": "nothing"})[0].header("x-request-id"))
        ids.append(ask(gateway, {})[0].header("x-request-id"))
        assert sorted(row.id for row in gateway.rows()) == sorted(one or "" for one in ids)


def test_behind_the_first_requests_one_of_some_is_learned_from(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        estimator = gateway.gateway.ledger.estimator
        gateway.call(lambda _: setattr(estimator, "turn", LEARN_ALL))
        for _ in range(LEARN_EACH):
            upstream.script(json_answer(JSON_ANSWER))
            ask(gateway, question(stream=False))
        rows = gateway.rows()
    assert sum(row.text_in > 0 for row in rows) == 1
