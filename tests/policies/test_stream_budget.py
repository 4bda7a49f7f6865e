"""A stream ends when the money of its budget is spent, and its bill is what was sent until then."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.exchange.samples import DONE, EVENTS, ROLE, STOP, USAGE, word
from tests.fakes import LAST_CHUNK, RecordedRequest, Send, Step, chunk, head
from tests.policies.budgeting import ask, budget, budgeted, counts, requests
from tests.serving import ALIAS, KEY

WORDS = 400


def long_stream(_: RecordedRequest) -> list[Step]:
    events = [chunk(word("token ")) for _ in range(WORDS)]
    return [head(200, EVENTS), chunk(ROLE), *events, chunk(STOP), chunk(USAGE), chunk(DONE), Send(LAST_CHUNK)]


def messages_stream(_: RecordedRequest) -> list[Step]:
    def event(kind: str, **fields: object) -> Send:
        return chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "usage": usage}
    delta = {"type": "text_delta", "text": "token " * 6}
    return [
        head(200, EVENTS),
        event("message_start", message=message),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[event("content_block_delta", index=0, delta=delta) for _ in range(WORDS)],
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": WORDS}),
        event("message_stop"),
        Send(LAST_CHUNK),
    ]


def test_a_stream_is_stopped_with_an_error_event_and_billed(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(5), on_exceed="stop_stream", window="total")}
    with budgeted(tmp_path, budgets, long_stream) as (gateway, _):
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True, "max_tokens": 1_000})
            assert client.read_head().status == 200
            body = client.read_all()
        assert b"budget_exceeded" in body
        assert b"[DONE]" not in body
        assert 20 < body.count(b"token ") < 200
        row = gateway.rows()[0]
        assert (row.outcome, row.status, row.error_code) == ("refused", 200, "rate_limit_exceeded")
        assert row.cost is not None
        assert row.cost > 0
        assert counts(gateway, "all") == (row.cost, 0)


def test_anthropics_clients_get_the_error_in_their_own_events(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(5), on_exceed="stop_stream")}
    with budgeted(tmp_path, budgets, messages_stream) as (gateway, _):
        config = gateway.config
        vendor = msgspec.structs.replace(config.upstreams["vendor1"], formats=["anthropic"])
        gateway.reload(msgspec.structs.replace(config, upstreams={"vendor1": vendor}))
        with gateway.client() as client:
            fields = {"model": ALIAS, "messages": [], "stream": True, "max_tokens": 1_000}
            client.request("POST", "/v1/messages", json.dumps(fields).encode(), {"authorization": f"Bearer {KEY}"})
            client.read_head()
            body = client.read_all()
        assert b"event: error\n" in body
        assert b"message_stop" not in body


@pytest.mark.parametrize("on_exceed", ["stop_stream", "refuse"])
def test_a_stream_that_its_budget_pays_for_goes_on(tmp_path: Path, on_exceed: str) -> None:
    with budgeted(tmp_path, {"all": budget("1", on_exceed=on_exceed)}, long_stream) as (gateway, _):
        status, _, body = ask(gateway, stream=True, max_tokens=1_000)
        assert status == 200
        assert body.count(b"token ") == WORDS
        assert counts(gateway, "all")[1] == 0
