"""What is asked again after a failure, when, and how often, where no other target mends it at once."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.exchange.samples import (
    JSON_ANSWER,
    REWRITTEN_STREAM,
    STREAM,
    ask,
    only_row,
    question,
    serving,
    serving_two,
    wait_for_settled,
    wait_until,
)
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import RunningGateway, simple_config


def error(status: int, **headers: str) -> list[Step]:
    """An error answer in OpenAI's shape."""
    detail = {"message": "no", "type": "server_error", "param": None, "code": None}
    return json_answer({"error": detail}, status, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_short_wait_that_the_upstream_asks_for_is_waited(tmp_path: Path, status: int) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(status, retry_after="1", retry_after_ms="200"))
        upstream.script(sse_answer(STREAM))
        answer, body = ask(gateway)
        assert (answer.status, body.payload) == (200, REWRITTEN_STREAM)
        assert answer.header("x-prism-fallback-used") is None
        row = only_row(gateway)
        assert (row.attempts, row.outcome, row.cost) == (2, "complete", 9 * 1100 + 2 * 4400)
        # The upstream's time, and no overhead of the gateway's.
        assert row.overhead < 150_000
        first, second = upstream.requests
        assert second.arrived - first.arrived >= 0.2


def test_it_is_waited_for_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(429, retry_after_ms="50"), times=2)
        answer, _ = ask(gateway)
        assert (answer.status, answer.header("retry-after-ms")) == (429, "50")
        assert (only_row(gateway).attempts, len(upstream.requests)) == (2, 2)


@pytest.mark.parametrize(
    ("upstream_settings", "server_settings"),
    [({}, {}), ({"retry_after_max": 0.0}, {}), ({"retry_after_max": 60.0}, {"total_timeout": 1.0})],
    ids=["too long", "never", "no time left"],
)
def test_a_longer_wait_is_the_client_s_own(
    tmp_path: Path, upstream_settings: dict[str, float], server_settings: dict[str, float]
) -> None:
    with serving(tmp_path, upstream=upstream_settings, server=server_settings) as (gateway, upstream):
        upstream.script(error(429, retry_after="3"))
        answer, _ = ask(gateway)
        assert (answer.status, answer.header("retry-after")) == (429, "3")
        assert len(upstream.requests) == 1


def test_another_target_is_asked_at_once_instead(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(error(429, retry_after="1"))
        second.script(sse_answer(STREAM))
        assert ask(gateway)[1].payload == REWRITTEN_STREAM
        assert second.requests[0].arrived - first.requests[0].arrived < 1
        assert len(first.requests) == 1


def test_a_client_that_leaves_during_the_wait_is_settled_and_nobody_is_asked_again(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(429, retry_after="2"))
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: rests(gateway), "the wait")
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status, row.attempts) == ("client_closed", 499, 1)
        assert gateway.call(lambda running: (len(running.deadlines), running.pools["vendor1"].retries.running)) == (
            0,
            0,
        )
        assert len(upstream.requests) == 1


def test_a_gateway_that_goes_down_during_the_wait_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(429, retry_after="2"))
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: rests(gateway), "the wait")
            gateway.call(lambda running: running.interrupt())
            answer, body = client.read_answer()
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (503, "gateway_shutdown")


def rests(gateway: RunningGateway) -> bool:
    """Whether the one request holds its place in the retry budget, and no connection."""
    pool = gateway.gateway.pools["vendor1"]
    return gateway.call(lambda _: (pool.retries.running, pool.busy)) == (1, 0)


@pytest.mark.parametrize("status", [501, 520, 524, 599])
def test_any_failure_of_the_server_s_kind_is_mended_by_the_next_target(tmp_path: Path, status: int) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(error(status))
        second.script(sse_answer(STREAM))
        assert ask(gateway)[1].payload == REWRITTEN_STREAM
        assert len(first.requests) == 1


def test_without_a_budget_nothing_is_repeated_on_the_same_upstream(tmp_path: Path) -> None:
    settings = {"retry_budget_percent": 0, "retry_budget_min": 0}
    with serving(tmp_path, upstream=settings) as (gateway, upstream):
        upstream.script(error(500))
        upstream.script(error(503, retry_after_ms="1"))
        assert [ask(gateway)[0].status for _ in range(2)] == [500, 503]
        assert [row.attempts for row in gateway.rows()] == [1, 1]


def test_another_upstream_needs_no_budget(tmp_path: Path) -> None:
    settings = {"retry_budget_percent": 0, "retry_budget_min": 0}
    with serving_two(tmp_path, upstream=settings) as (gateway, first, second):
        first.script(error(429))
        second.script(sse_answer(STREAM))
        assert ask(gateway)[1].payload == REWRITTEN_STREAM


def test_another_model_of_the_same_upstream_does(tmp_path: Path) -> None:
    settings = {"retry_budget_percent": 0, "retry_budget_min": 0}
    with serving(tmp_path, upstream=settings, model={"targets": ["vendor1/a", "vendor1/b"]}) as (gateway, upstream):
        upstream.script(error(503))
        assert ask(gateway)[0].status == 503
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("answer", [error(503), error(503, retry_after="1"), error(500)], ids=["503", "rest", "500"])
def test_an_upstream_that_fails_always_gets_no_storm_of_retries(tmp_path: Path, answer: Sequence[Step]) -> None:
    count, at_once = 300, 20
    with serving(tmp_path) as (gateway, upstream):
        upstream.handler = lambda _: answer
        with ThreadPoolExecutor(at_once) as clients:
            statuses = list(clients.map(lambda _: ask(gateway, question(stream=False))[0].status, range(count)))
        assert set(statuses) <= {500, 503}
        assert len(upstream.requests) <= 1.2 * count
        assert sum(row.attempts for row in gateway.rows()) == len(upstream.requests)
        assert gateway.call(lambda running: running.pools["vendor1"].retries.running) == 0


def test_what_a_retry_held_of_the_budget_is_given_back_however_it_ends(tmp_path: Path) -> None:
    def answers(request: RecordedRequest) -> Sequence[Step]:
        return [
            error(500),
            json_answer(JSON_ANSWER),
            error(500),
            error(500),
            error(429, retry_after_ms="1"),
            error(400),
        ][len(upstream.requests) - 1]

    with ScriptedUpstream(answers) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        assert [ask(gateway)[0].status for _ in range(3)] == [200, 500, 400]
        assert gateway.call(lambda running: running.pools["vendor1"].retries.running) == 0
