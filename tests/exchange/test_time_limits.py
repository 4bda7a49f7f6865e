"""How long a request may take, whoever sets the limit: the upstream's settings, the alias, the server, the client."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from tests.exchange.samples import (
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STREAM,
    ask,
    begun,
    only_row,
    question,
    rewritten,
    serving,
    serving_two,
    wait_until,
    word,
)
from tests.fakes import (
    LAST_CHUNK,
    Body,
    Close,
    Hang,
    Head,
    Pause,
    Reset,
    Send,
    Step,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.serving import ALIAS, KEY, RunningGateway

#: A stream that goes on for as long as anybody listens, or nearly.
ROUND: list[Step] = [Pause(0.05), chunk(word("more "))]
ENDLESS: list[Step] = [*begun(ROLE), *ROUND * 200]


def ask_with(
    gateway: RunningGateway, headers: Mapping[str, str], path: str = "/v1/chat/completions", stream: bool = True
) -> tuple[Head, Body]:
    """Ask with further headers, and read the answer to its end."""
    with gateway.client() as client:
        body = json.dumps({**question(stream), "max_tokens": 9}).encode()
        fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **headers}
        client.request("POST", path, body, fields)
        return client.read_answer()


def told(body: Body) -> str:
    """The code of the error that a stream ends with."""
    return str(json.loads(body.payload.rpartition(b"data: ")[2])["error"]["code"])


def test_an_alias_may_wait_less_for_the_first_byte_than_its_upstream_says(tmp_path: Path) -> None:
    with serving(tmp_path, model={"first_byte_timeout": 0.1}) as (gateway, upstream):
        upstream.script([Hang()])
        answer, _ = ask(gateway)
        assert (answer.status, answer.header("x-prism-timeout-ms")) == (504, "100")
        assert only_row(gateway).outcome == "timeout"


def test_an_alias_may_wait_less_between_two_pieces_than_its_upstream_says(tmp_path: Path) -> None:
    with serving(tmp_path, model={"idle_timeout": 0.1}) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), Hang()])
        answer, body = ask(gateway)
        assert (answer.status, body.complete, told(body)) == (200, False, "upstream_timeout")
        assert body.payload.startswith(rewritten(ROLE + HELLO))
        assert only_row(gateway).outcome == "timeout"
        assert upstream.requests[0].closed.wait(5)


@pytest.mark.parametrize("where", ["server", "model"])
def test_a_stream_that_never_stalls_ends_when_its_time_in_all_is_over(tmp_path: Path, where: str) -> None:
    settings = {"server": {"total_timeout": 3600.0}, "model": {}} | {where: {"total_timeout": 0.4}}
    with serving(tmp_path, **settings) as (gateway, upstream):
        upstream.script(ENDLESS)
        answer, body = ask(gateway)
        assert (answer.status, body.complete, told(body)) == (200, False, "upstream_timeout")
        row = only_row(gateway)
        assert (row.outcome, row.usage_source) == ("timeout", "estimated")
        assert 400_000 <= row.total < 2_000_000
        assert upstream.requests[0].closed.wait(5)


def test_the_time_in_all_covers_every_attempt(tmp_path: Path) -> None:
    settings = {"server": {"total_timeout": 0.5}, "upstream": {"first_byte_timeout": 0.3}}
    with serving_two(tmp_path, **settings) as (gateway, first, second):
        first.script([Hang()])
        second.script([Hang()])
        assert ask(gateway)[0].status == 504
        row = only_row(gateway)
        assert (row.attempts, row.outcome, row.error_code) == (2, "timeout", "upstream_timeout")
        assert 500_000 <= row.total < 2_000_000


def test_a_client_that_says_how_long_it_waits_is_answered_before_it_leaves(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script([Hang()])
        asked = time.monotonic()
        answer, body = ask_with(gateway, {"x-stainless-read-timeout": "0.8"})
        assert time.monotonic() - asked < 0.8
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (504, "upstream_timeout")
        assert first.requests[0].closed.wait(5)
        # There is no time for another one.
        assert not second.requests
        assert only_row(gateway).outcome == "timeout"


def test_a_client_s_own_limit_is_billed_like_its_leaving(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Hang()])
        answer, _ = ask_with(gateway, {"x-stainless-read-timeout": "0.3"}, stream=False)
        assert answer.status == 504
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.output_tokens) == ("timeout", "estimated", 0)
        assert row.cost == row.input_tokens * 1100 > 0


def test_a_limit_of_the_operator_s_bills_nothing_that_did_not_come(tmp_path: Path) -> None:
    with serving(tmp_path, model={"first_byte_timeout": 0.2}) as (gateway, upstream):
        upstream.script([Hang()])
        ask_with(gateway, {"x-stainless-read-timeout": "60"}, stream=False)
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("timeout", "none", 0)


def test_it_is_told_in_the_caller_s_format(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"kind": "anthropic"}) as (gateway, upstream):
        upstream.script([Hang()])
        answer, body = ask_with(gateway, {"x-stainless-read-timeout": "0.2"}, "/v1/messages")
    assert answer.status == 504
    assert json.loads(body.payload)["type"] == "error"


def test_a_client_s_own_limit_holds_between_two_pieces_too(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), Hang()])
        _, body = ask_with(gateway, {"x-stainless-read-timeout": "0.4"})
        assert (body.complete, told(body)) == (False, "upstream_timeout")
        assert only_row(gateway).outcome == "timeout"


def test_a_stream_that_goes_on_is_not_ended_by_the_client_s_own_limit(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        steps = sse_answer(STREAM, 60)
        slow = [one for step in steps for one in (step, Pause(0.05))]
        upstream.script(slow)
        _, body = ask_with(gateway, {"x-stainless-read-timeout": "0.5"})
        assert (body.complete, body.payload) == (True, REWRITTEN_STREAM)
        assert only_row(gateway).total > 500_000


@pytest.mark.parametrize(
    ("value", "limit"), [("7", "7000"), ("2.5", "2500"), ("900", "300000"), ("soon", "300000"), ("0", "300000")]
)
def test_the_limit_of_the_first_byte_is_told(tmp_path: Path, value: str, limit: str) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        answer, _ = ask_with(gateway, {"x-stainless-read-timeout": value}, stream=False)
    assert (answer.status, answer.header("x-prism-timeout-ms")) == (200, limit)


def test_the_official_client_gets_an_answer_and_not_a_dead_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Hang()])
        with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0, timeout=1.0) as client:
            with pytest.raises(openai.InternalServerError) as error:
                client.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "hello"}])
            assert (error.value.status_code, error.value.code) == (504, "upstream_timeout")
        assert only_row(gateway).outcome == "timeout"


def test_clients_that_wait_for_nothing_make_no_upstream_look_broken(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.handler = lambda _: [Hang()]
        for _ in range(6):
            assert ask_with(gateway, {"x-stainless-read-timeout": "0.01"})[0].status == 504
        assert not second.requests
        assert not gateway.call(lambda running: running.pools["vendor1"].health.ejected)
        wait_until(lambda: first.open_connections == 0, "the end of all requests")


#: An upstream that says by blank lines that it is at work, for some seconds.
BLANK: list[Step] = [Pause(0.05), chunk(b"\n")]
WORKING: list[Step] = [
    head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}),
    *BLANK * 40,
]


def test_an_upstream_that_sends_blank_lines_is_alive(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"idle_timeout": 0.5, "first_byte_timeout": 0.5}) as (gateway, upstream):
        upstream.script([*WORKING, chunk(json.dumps(JSON_ANSWER).encode()), Send(LAST_CHUNK)])
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, body.payload.strip()) == (200, rewritten(json.dumps(JSON_ANSWER).encode()))
        row = only_row(gateway)
        assert (row.outcome, row.attempts, row.usage_source) == ("complete", 1, "reported")


@pytest.mark.parametrize("end", [[Reset()], [Close()], [chunk(b"busy"), Send(LAST_CHUNK)], [Send(LAST_CHUNK)]])
def test_another_target_answers_where_blank_lines_are_all_that_came(tmp_path: Path, end: list[Step]) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script([*WORKING[:6], *end])
        second.script(json_answer(JSON_ANSWER))
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, body.payload) == (200, rewritten(json.dumps(JSON_ANSWER).encode()))
        assert only_row(gateway).attempts == 2


@pytest.mark.parametrize("begin", [b"", b'{"id":"c1"'], ids=["blanks", "a beginning"])
def test_a_client_s_own_limit_does_not_wait_for_what_it_does_not_get(tmp_path: Path, begin: bytes) -> None:
    with serving(tmp_path) as (gateway, upstream):
        steps = [WORKING[0], *([chunk(begin)] if begin else []), *WORKING[1:]]
        upstream.script([*steps, Hang()])
        began = time.monotonic()
        answer, _ = ask_with(gateway, {"x-stainless-read-timeout": "1.0"}, stream=False)
        assert answer.status == 504
        assert time.monotonic() - began < 1.9
        assert only_row(gateway).outcome == "timeout"


def test_more_blanks_than_any_answer_begins_with_are_none(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([WORKING[0], *[chunk(b"\n" * 8_192)] * 10, Hang()])
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (502, "upstream_protocol_error")
        assert upstream.requests[0].closed.wait(5)
