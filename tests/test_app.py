"""The composed gateway on real sockets: the main job, seen from both ends."""

import asyncio
import io
import json
from pathlib import Path

from proxy.app import Gateway
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, TeamFields
from proxy.config.tree import Limits
from proxy.policies.base import Policy
from tests.fakes import ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway, simple_config

MESSAGES = [{"role": "user", "content": "hello"}]


def chunk(**fields: object) -> bytes:
    event = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "vendor-model-dated", **fields}
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


STREAM = (
    chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    + chunk(choices=[{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}])
    + chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + chunk(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    + b"data: [DONE]\n\n"
)


def test_a_stream_shows_the_alias_and_is_billed(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(sse_answer(STREAM))
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": MESSAGES, "stream": True})
            head, body = client.read_answer()
        assert head.status == 200
        expected = STREAM.replace(b"vendor-model-dated", ALIAS.encode())
        usage_event = expected[
            expected.index(
                b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"prometheus-core","choices":[]'
            ) :
        ]
        usage_event = usage_event[: usage_event.index(b"\n\n") + 2]
        assert body.payload == expected.replace(usage_event, b"")
        (row,) = gateway.rows()
        assert (row.input_tokens, row.output_tokens, row.usage_source, row.outcome) == (9, 2, "reported", "complete")
        (request,) = upstream.requests
        sent = json.loads(request.body)
        assert sent["model"] == UPSTREAM_MODEL
        assert sent["stream_options"] == {"include_usage": True}


def test_a_json_answer_shows_the_alias_and_is_billed(tmp_path: Path) -> None:
    answer = {
        "id": "c1",
        "model": "vendor-model-dated",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(answer))
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": MESSAGES})
            head, body = client.read_answer()
        assert head.status == 200
        assert json.loads(body.payload) == {**answer, "model": ALIAS}
        (row,) = gateway.rows()
        assert (row.input_tokens, row.output_tokens, row.cost) == (9, 2, 9 * 1100 + 2 * 4400)


def test_policies_are_chosen_again_when_a_key_gets_its_first_limits(tmp_path: Path) -> None:
    chosen: list[bool] = []

    class Probe(Policy):
        def is_enabled(self) -> bool:
            chosen.append(self.state.has_accounts)
            return self.state.has_accounts

    async def test() -> None:
        gateway = Gateway(simple_config(tmp_path, "http://127.0.0.1:9"), io.StringIO(), [Probe])
        await gateway.start()
        try:
            async with Store(tmp_path) as store:
                await store.keys.add(KeyFields(name="app", limits=Limits(concurrent=1)), actor="test")
            await gateway.keys.refresh()
            assert (gateway.admission.state.has_accounts, chosen[-1]) == (True, True)
        finally:
            await gateway.stop()

    asyncio.run(test())
    assert chosen[0] is False


def test_a_limit_that_a_team_gets_while_the_gateway_runs_binds_its_keys(tmp_path: Path) -> None:
    body = {"model": ALIAS, "messages": MESSAGES}

    async def make() -> str:
        async with Store(tmp_path) as store:
            await store.teams.create(TeamFields(name="web"), actor="test")
            return (await store.keys.add(KeyFields(name="app", team="web"), actor="test"))[1]

    async def limit() -> None:
        async with Store(tmp_path) as store:
            await store.teams.update("web", TeamFields(limits=Limits(requests="1/d")), actor="test")

    def status(gateway: RunningGateway, secret: str) -> int:
        with gateway.client() as client:
            gateway.chat(client, body, secret)
            return client.read_answer()[0].status

    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer({"id": "c1", "model": "x", "choices": []}), times=4)
        secret = asyncio.run(make())
        before = [status(gateway, secret) for _ in range(2)]
        asyncio.run(limit())
        gateway.wait_for(gateway.gateway.keys.refresh())
        assert (before, [status(gateway, secret) for _ in range(2)]) == ([200, 200], [200, 429])
