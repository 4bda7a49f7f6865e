"""A rate limit is one file (`rate_limit.py`) and one line: its class in the tuple of policies."""

from pathlib import Path

import pytest

from tests.exchange.samples import JSON_ANSWER, MESSAGES
from tests.extending import rate_limit
from tests.extending.rate_limit import LIMIT, RateLimitPolicy
from tests.fakes import RawClient, ScriptedUpstream, json_answer
from tests.resources.samples import OTHER, ask, record_owner
from tests.serving import ALIAS, RunningGateway, simple_config

CHAT = {"model": ALIAS, "messages": MESSAGES}


@pytest.fixture(autouse=True)
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a test happens in one window."""
    monkeypatch.setattr(rate_limit, "WINDOW_SECONDS", 10**9)


def limited(tmp_path: Path, upstream: ScriptedUpstream) -> RunningGateway:
    """A gateway with the one line."""
    return RunningGateway(simple_config(tmp_path, upstream.base_url), RateLimitPolicy)


def remaining(client: RawClient, path: str, body: object, key: str | None = None) -> tuple[int, str | None]:
    """The status of a POST, and how many requests it says are left."""
    head, _ = ask(client, "POST", path, body, **({"key": key} if key else {}))  # type: ignore[arg-type]
    assert head.header("x-ratelimit-limit-requests") == str(LIMIT)
    return head.status, head.header("x-ratelimit-remaining-requests")


def test_inference_and_resource_endpoints_count_together(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, limited(tmp_path, upstream) as gateway, gateway.client() as client:
        gateway.add_key("other", OTHER)
        upstream.script(json_answer(JSON_ANSWER))
        upstream.script(json_answer({"id": "thread_1", "object": "thread"}))
        assert remaining(client, "/v1/chat/completions", CHAT) == (200, "1")
        assert remaining(client, "/v1/threads", {}) == (200, "0")
        for path, body in (("/v1/chat/completions", CHAT), ("/v1/threads", {})):
            head, answer = ask(client, "POST", path, body)
            assert (head.status, head.header("x-ratelimit-remaining-requests")) == (429, "0")
            assert head.header("retry-after") is not None
            assert b'"code":"rate_limit_exceeded"' in answer.payload
        assert len(upstream.requests) == 2
        assert [row.error_code for row in gateway.rows()] == [None, None, *["rate_limit_exceeded"] * 2]
        upstream.script(json_answer(JSON_ANSWER))
        assert remaining(client, "/v1/chat/completions", CHAT, OTHER) == (200, "1")


def test_what_failed_is_given_back(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, limited(tmp_path, upstream) as gateway, gateway.client() as client:
        upstream.script(json_answer({"error": {"message": "no"}}, 500), times=9)
        for _ in range(LIMIT + 1):
            assert ask(client, "POST", "/v1/chat/completions", CHAT)[0].status == 500


def test_the_count_outlives_a_reload(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, limited(tmp_path, upstream) as gateway, gateway.client() as client:
        upstream.script(json_answer(JSON_ANSWER), times=LIMIT)
        assert remaining(client, "/v1/chat/completions", CHAT) == (200, "1")
        gateway.reload(gateway.config)
        assert remaining(client, "/v1/chat/completions", CHAT) == (200, "0")


def test_a_request_that_waits_for_an_owner_counts_once(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, limited(tmp_path, upstream) as gateway, gateway.client() as client:
        record_owner(gateway, "resp_1", "response")
        upstream.script(json_answer({"id": "resp_2", "object": "response", "model": "m", "output": []}), times=LIMIT)
        body = {"model": ALIAS, "input": "go on", "previous_response_id": "resp_1"}
        assert [remaining(client, "/v1/responses", body) for _ in range(LIMIT)] == [(200, "1"), (200, "0")]
