"""Connections opened ahead: how many, with what request, and that a failure is told and harms nothing."""

import asyncio
import logging

import pytest

from proxy.upstream.pool import Pool
from proxy.upstream.warmup import MAX_RESPONSE_BYTES, warm
from tests.fakes import Hang, Reset, ScriptedUpstream, Send, Step, head, json_answer
from tests.upstream.recording import fetch, open_pool, run, until


def warmed(*scripts: list[Step], idle: int, **settings: object) -> ScriptedUpstream:
    """Warm a pool, each GET answered by a script, until nothing is busy and this many connections are kept."""
    upstream = ScriptedUpstream()

    async def main() -> None:
        with upstream:
            for script in scripts:
                upstream.script(script)
            async with open_pool(upstream.base_url + "/v1", **settings) as pool:
                warm(pool)
                await asyncio.to_thread(upstream.wait_for_requests, len(scripts))
                await until(lambda: pool.idle == pool.size == idle)

    run(main())
    return upstream


def test_each_warm_connection_asks_for_the_models_once() -> None:
    upstream = warmed(*[json_answer({})] * 3, idle=3, warm_connections=3, api_key="sk-1")
    assert [(request.method, request.target) for request in upstream.requests] == [("GET", "/v1/models")] * 3
    assert {request.connection for request in upstream.requests} == {1, 2, 3}
    assert upstream.requests[0].header("authorization") == "Bearer sk-1"
    assert upstream.requests[0].body == b""


def test_the_first_request_takes_a_warm_connection() -> None:
    async def main() -> None:
        with ScriptedUpstream(lambda _: json_answer({})) as upstream:
            async with open_pool(upstream.base_url, warm_connections=1) as pool:
                warm(pool)
                await until(lambda: pool.idle == 1)
                await fetch(pool)
            assert [request.connection for request in upstream.requests] == [1, 1]

    run(main())


def test_no_more_are_opened_than_there_may_be() -> None:
    upstream = warmed(*[json_answer({})] * 2, idle=2, warm_connections=5, max_connections=2)
    assert len(upstream.requests) == 2


def test_a_pool_without_a_queue_is_warmed_too() -> None:
    upstream = warmed(*[json_answer({})] * 2, idle=2, warm_connections=2, max_waiting=0)
    assert len(upstream.requests) == 2


def test_none_are_opened_where_none_are_wanted() -> None:
    async def main() -> Pool:
        async with open_pool("http://127.0.0.1:1", warm_connections=0) as pool:
            warm(pool)
            return pool

    assert "0 opening, 0 waiting" in repr(run(main()))


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_that_is_refused_is_reported(status: int, caplog: pytest.LogCaptureFixture) -> None:
    warmed(json_answer({}, status), idle=1, warm_connections=1, api_key="sk-secret")
    assert f"refuses the credential (status {status})" in caplog.text
    assert "sk-secret" not in caplog.text


def test_an_upstream_without_a_list_of_models_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    warmed(json_answer({}, 404), idle=1, warm_connections=1)
    assert caplog.text == ""


def test_an_upstream_that_is_down_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with open_pool("http://127.0.0.1:1", warm_connections=1) as pool:
            warm(pool)
            await until(lambda: "cannot be reached" in caplog.text)

    run(main())


def test_a_dropped_warm_up_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    warmed([Reset()], idle=0, warm_connections=1)
    assert "dropped the warm-up" in caplog.text


def test_an_endless_answer_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    size = 2 * MAX_RESPONSE_BYTES
    warmed([head(200, {"content-length": str(size)}), Send(b"a" * (size - 1)), Hang()], idle=0, warm_connections=1)
    assert "does not end its response" in caplog.text


def test_a_warm_up_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.warmup.MAX_RESPONSE_SECONDS", 0.05)
    warmed([Hang()], idle=0, warm_connections=1)


def test_a_gateway_that_stops_during_the_warm_up_says_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with ScriptedUpstream(lambda _: [Hang()]) as upstream:
            async with open_pool(upstream.base_url, warm_connections=2) as pool:
                warm(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 2)
                warm(pool)

    caplog.set_level(logging.DEBUG, "proxy")
    run(main())
    assert [record for record in caplog.records if record.name.startswith("proxy")] == []
