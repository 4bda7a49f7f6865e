"""A translating dialect is one file (`toy_translation`) and one line: callers of OpenAI's chat, a toy behind them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.dialects import translate
from tests.exchange.samples import ask, only_row, question, serving
from tests.extending.toy_translation import ToyConversation
from tests.fakes import ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway


@contextmanager
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    # The one line.
    monkeypatch.setattr(translate, "CONVERSATIONS", (ToyConversation(),))
    with serving(tmp_path, upstream={"kind": "anthropic"}) as served:
        yield served


def events(*values: Any) -> list[Step]:
    return sse_answer(b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values), 7)


def test_without_the_line_the_request_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"kind": "gemini"}, model={"translate": "off"}) as (gateway, _):
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (400, "model_not_supported")


def test_a_request_goes_up_translated_and_its_response_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(tmp_path, monkeypatch) as (gateway, upstream):
        upstream.script(json_answer({"said": "Hi", "used": [9, 2]}))
        answer, body = ask(gateway, question(stream=False))
        (request,) = upstream.requests
        assert request.target.endswith("/toy")
        assert json.loads(request.body) == {"ask": "hello", "who": UPSTREAM_MODEL, "pieces": False}
        value = json.loads(body.payload)
        assert (answer.status, value["model"], value["choices"][0]["message"]["content"]) == (200, ALIAS, "Hi")
        row = only_row(gateway)
        assert (row.outcome, row.input_tokens, row.output_tokens, row.usage_source) == ("complete", 9, 2, "reported")


def test_a_stream_is_translated_event_by_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(tmp_path, monkeypatch) as (gateway, upstream):
        upstream.script(events({"piece": "He"}, {"piece": "llo"}, {"used": [9, 2]}))
        answer, body = ask(gateway, question())
        assert answer.status == 200
        *chunks, last = [line[6:] for line in body.payload.split(b"\n\n") if line]
        assert last == b"[DONE]"
        values = [json.loads(chunk) for chunk in chunks]
        assert [one["choices"][0]["delta"].get("content") for one in values] == ["He", "llo", None]
        assert {one["model"] for one in values} == {ALIAS}
        row = only_row(gateway)
        assert (row.outcome, row.input_tokens, row.output_tokens) == ("complete", 9, 2)


def test_a_stream_that_breaks_off_is_no_whole_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(tmp_path, monkeypatch) as (gateway, upstream):
        upstream.script(events({"piece": "He"}))
        _, body = ask(gateway, question())
        assert not body.complete
        assert only_row(gateway).outcome == "upstream_cut"


def test_an_error_of_the_toy_s_has_the_caller_s_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(tmp_path, monkeypatch) as (gateway, upstream):
        upstream.script(json_answer({"message": "too long for a toy"}, 422))
        answer, body = ask(gateway, question(stream=False))
        error = json.loads(body.payload)["error"]
        assert (answer.status, error["message"]) == (422, "too long for a toy")
