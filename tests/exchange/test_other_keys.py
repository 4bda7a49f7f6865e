"""What an upstream says too late for one key reaches no other, whatever that asks for over the same upstream."""

import json
import time
from pathlib import Path

import pytest

from tests.endpoints import forms
from tests.fakes import Pause, RecordedRequest, ScriptedUpstream, Send, Step, json_answer, sse_answer
from tests.resources.samples import ALIAS, KEY, OTHER, ask, gateway_over, record_owner

CHAT = {"model": ALIAS, "messages": [{"role": "user", "content": "Hi"}]}


def answer_of(whose: str, *, stream: bool) -> list[Step]:
    """A whole answer that names its key."""
    choice = {"index": 0, "message": {"role": "assistant", "content": f"of {whose}"}, "finish_reason": "stop"}
    if not stream:
        return json_answer({"id": "c", "model": "m", "choices": [choice]})
    chunk = {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": f"of {whose}"}, "finish_reason": "stop"}],
    }
    return sse_answer(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("then", ["chat", "object"])
def test_an_answer_that_comes_again_reaches_no_other_key(tmp_path: Path, stream: bool, then: str) -> None:
    again = b"".join(step.data for step in answer_of("alice", stream=stream) if isinstance(step, Send))
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "thread_bobs", "thread", name="other")
        upstream.script([*answer_of("alice", stream=stream), Pause(0.06), Send(again)])
        upstream.script([Pause(0.1), *answer_of("bob", stream=stream)])
        with gateway.client() as alice, gateway.client() as bob:
            _, theirs = ask(alice, "POST", "/v1/chat/completions", {**CHAT, "stream": stream}, key=KEY)
            assert b"of alice" in theirs.payload
            time.sleep(0.01)
            if then == "chat":
                _, own_answer = ask(bob, "POST", "/v1/chat/completions", {**CHAT, "stream": stream}, key=OTHER)
                assert b"of bob" in own_answer.payload
            else:
                _, own_answer = ask(bob, "GET", "/v1/threads/thread_bobs", key=OTHER)
            assert b"of alice" not in own_answer.payload
        assert [request.connection for request in upstream.requests] == [1, 2]


def test_large_forms_find_a_connection_whatever_idles(tmp_path: Path) -> None:
    """They cannot be sent twice, so each takes one that has not served, and room is made for it."""

    def transcribed(_: RecordedRequest) -> list[Step]:
        return json_answer({"text": "Hello"})

    with forms.serving(tmp_path, upstream={"max_connections": 4}) as (gateway, (upstream,)):
        upstream.handler = transcribed
        large, small = forms.form(content=forms.wav(200.0)), forms.form()
        assert len(large) > 1_048_576
        for _ in range(6):
            assert forms.ask(gateway, large)[0].status == 200
        assert len({request.connection for request in upstream.requests}) == 6
        for _ in range(3):
            assert forms.ask(gateway, small)[0].status == 200
        assert len({request.connection for request in upstream.requests}) == 6
