"""The `agentcc` SDK as a client: it reads the gateway's headers by their `x-agentcc-` names, refusals too."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import agentcc
import pytest
from agentcc import AgentCC
from agentcc.types.agentcc_metadata import AgentCCMetadata

from tests.exchange.samples import JSON_ANSWER, MESSAGES, STREAM
from tests.fakes import ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway


@contextmanager
def client(gateway: RunningGateway, key: str = KEY, *, versioned: bool = False) -> Iterator[AgentCC]:
    with AgentCC(base_url=gateway.base_url if versioned else gateway.url, api_key=key, max_retries=0) as one:
        yield one


def check(found: AgentCCMetadata, request_id: str, model: str) -> None:
    """The facts are there, and none of them is the SDK's own default."""
    assert found.request_id == request_id
    assert found.request_id.startswith("req_")
    assert found.trace_id != "unknown"
    assert found.http_response is None or found.http_response.headers["x-agentcc-latency-ms"].isdigit()
    assert found.latency_ms >= 0
    assert (found.model_used, found.provider) == (model, "prometheus")
    assert found.timeout_ms is not None


@pytest.mark.parametrize("versioned", [False, True])
def test_a_success(gateway: RunningGateway, upstream: ScriptedUpstream, versioned: bool) -> None:
    """A base URL that ends in /v1, as the SDK's own does, makes it ask for /v1/v1/chat/completions."""
    upstream.script(json_answer({**JSON_ANSWER, "created": 1}))
    with client(gateway, versioned=versioned) as one:
        answer = one.chat.completions.create(model=ALIAS, messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello"
    check(answer.agentcc, gateway.rows()[-1].id, ALIAS)
    assert answer.agentcc.timeout_ms > 0


def test_a_stream(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(sse_answer(STREAM))
    with (
        client(gateway) as one,
        closing(one.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True)) as stream,
    ):
        assert [piece.choices[0].delta.content for piece in stream if piece.choices]
        check(stream.agentcc, gateway.rows()[-1].id, ALIAS)


def test_a_wrong_key(gateway: RunningGateway) -> None:
    with client(gateway, "prom_sk_wrong") as one, pytest.raises(agentcc.AuthenticationError) as caught:
        one.chat.completions.create(model=ALIAS, messages=MESSAGES)
    assert caught.value.request_id is not None
    assert caught.value.code == "invalid_api_key"
    check(AgentCCMetadata.from_headers(caught.value.response.headers), caught.value.request_id, "none")


def test_an_unknown_model(gateway: RunningGateway) -> None:
    with client(gateway) as one, pytest.raises(agentcc.NotFoundError) as caught:
        one.chat.completions.create(model="unknown", messages=MESSAGES)
    row = gateway.rows()[-1]
    assert caught.value.request_id == row.id
    check(AgentCCMetadata.from_headers(caught.value.response.headers), row.id, "none")


def test_what_the_sdk_sends_is_taken(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer({**JSON_ANSWER, "created": 1}))
    with client(gateway) as one, one.session(name="research", metadata={"team": "web"}) as session:
        session.step("search")
        answer = one.chat.completions.create(
            model=ALIAS,
            messages=MESSAGES,
            trace_id="trace-1",
            request_metadata={"n": 1},
            request_timeout=30_000,
            cache_ttl=300,
            user_id="me",
            properties={"colour": "blue"},
        )
    assert answer.agentcc.trace_id == "trace-1"
    assert answer.agentcc.timeout_ms == 30_000
    assert "x-agentcc-warning" not in answer.agentcc.http_response.headers
    assert not [name for name in upstream.requests[-1].headers if "agentcc" in str(name)]
