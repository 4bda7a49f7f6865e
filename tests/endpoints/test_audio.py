"""The audio endpoints on real sockets: forms that pass, answers that are no JSON, and bills by the minute."""

import asyncio
import json
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config.tree import Price, Server
from proxy.endpoints.table import MAX_AROUND_AUDIO
from proxy.exchange import audio_length
from tests.endpoints.forms import (
    COST,
    END,
    FORM,
    TRANSCRIPTIONS,
    ask,
    ask_json,
    begin_form,
    error_of,
    field,
    file,
    flac,
    form,
    only_row,
    plain,
    send_form,
    serving,
    wav,
)
from tests.exchange.samples import refusing_url
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    Pause,
    ReadNothing,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

SPEECH = "/v1/audio/speech"
#: 2.5 s.
FLAC = flac(20_000, 8_000)
TOKENS = Price(input=Decimal("2.50"), output=Decimal("10.00"))
#: The largest form with audio.
MAX_FORM = Server().max_audio_bytes + MAX_AROUND_AUDIO
SOUND = bytes(range(256)) * 40
DONE = (
    b'data: {"type":"transcript.text.done","text":"hi","usage":{"type":"tokens","input_tokens":17,"output_tokens":10,'
)
TRANSCRIPT = (
    b'data: {"type":"transcript.text.delta","delta":"hi"}\r\n\r\n'
    + DONE
    + b'"total_tokens":27}}\r\n\r\ndata: [DONE]\r\n\r\n'
)


def wait_until_measured(gateway: RunningGateway) -> None:
    """Wait for all measurements that have begun."""

    async def wait() -> None:
        await asyncio.gather(*gateway.gateway.audio._running)

    gateway.wait_for(wait())


# the way up


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations"])
@pytest.mark.parametrize("first", ["file", "model"])
def test_a_form_arrives_with_its_model_replaced_and_nothing_else(tmp_path: Path, path: str, first: str) -> None:
    parts = [file(wav()), field("model", ALIAS)]
    body = b"".join(parts if first == "file" else parts[::-1]) + field("language", "en") + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        answer, _ = ask(gateway, body, path)
        assert answer.status == 200
        (request,) = upstream.requests
        assert request.target == path.removeprefix("/v1")
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert request.header("content-length") == str(len(request.body))
        assert request.header("content-type") == FORM
        assert request.header("authorization") == "Bearer sk-upstream-secret"


def test_a_form_without_a_length_goes_on_in_chunks(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(json_answer({"text": "hi"}))
        begin_form(client, "transfer-encoding: chunked")
        client.send(chunk(body[:300]).data)
        (request,) = upstream.wait_for_requests(1)
        client.send(chunk(body[300:]).data + LAST_CHUNK)
        assert client.read_answer()[0].status == 200
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert request.header("transfer-encoding") == "chunked"
        assert request.header("content-length") is None


def test_a_form_goes_on_while_it_arrives(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(json_answer({"text": "hi"}))
        begin_form(client, f"content-length: {len(body)}")
        client.send(body[:-5])
        (request,) = upstream.wait_for_requests(1)
        assert not request.received.is_set()
        client.send(body[-5:])
        assert client.read_answer()[0].status == 200


def test_a_form_that_comes_byte_by_byte_is_the_same(tmp_path: Path) -> None:
    body = form(content=b"\r\n--short")
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 1}}))
        begin_form(client, f"content-length: {len(body)}")
        for byte in body:
            client.send(bytes([byte]))
        assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())


def test_a_client_that_waits_to_be_told_is_told_to_go_on(tmp_path: Path) -> None:
    body = form()
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(json_answer({"text": "hi"}))
        begin_form(client, f"content-length: {len(body)}\r\nexpect: 100-continue")
        assert client.read_head().status == 100
        client.send(body)
        assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.header("expect") is None


def test_a_client_that_leaves_in_the_middle_of_its_upload_cancels_upstream(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script([Hang()])
        with gateway.client() as client:
            begin_form(client, f"content-length: {len(body)}")
            client.send(body[:-5])
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        row = only_row(gateway)
        assert (row.outcome, row.cost, row.usage_source) == ("client_closed", None, "none")


def test_a_client_that_leaves_while_the_upstream_works_pays_what_was_measured(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script([Hang()])
        with gateway.client() as client:
            send_form(client, form())
            (request,) = upstream.wait_for_requests(1)
            assert request.received.wait(5)
            wait_until_measured(gateway)
        assert request.closed.wait(5)
        row = only_row(gateway)
        assert (row.outcome, row.audio_milliseconds, row.usage_source) == ("client_closed", 2500, "estimated")
        assert row.cost == COST


def test_a_client_that_stops_sending_is_told_so_and_upstream_is_let_go(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with (
        serving(tmp_path, server={"body_idle_timeout": 0.2}) as (gateway, (upstream,)),
        gateway.client() as client,
    ):
        upstream.script([Hang()])
        begin_form(client, f"content-length: {len(body)}")
        client.send(body[:-5])
        (request,) = upstream.wait_for_requests(1)
        assert client.read_answer()[0].status == 408
        assert request.closed.wait(5)


def test_a_slow_upstream_slows_the_client_and_gets_everything(tmp_path: Path) -> None:
    # More than the kernel keeps for four sockets.
    body = field("model", ALIAS) + file(bytes(24_000_000)) + END
    go_on = threading.Event()
    with (
        serving(tmp_path, socket_buffer=16_384, server={"body_idle_timeout": 0.3}) as (gateway, (upstream,)),
        gateway.client() as client,
    ):
        upstream.script([ReadNothing(until=go_on), *json_answer({"text": "hi", "usage": {"seconds": 1}})])
        begin_form(client, f"content-length: {len(body)}")
        sender = threading.Thread(target=client.send, args=(body,))
        sender.start()
        upstream.wait_for_requests(1)
        # Longer than a client of its own accord may pause: it must not be blamed.
        sender.join(1.0)
        assert sender.is_alive(), "the gateway took the whole upload though the upstream took none of it"
        go_on.set()
        assert client.read_answer()[0].status == 200
        sender.join(10)
        (request,) = upstream.requests
        assert request.body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())


def test_an_upload_that_was_cut_off_is_not_drained(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path, server={"on_disconnect": "drain"}) as (gateway, (upstream,)):
        upstream.script([Hang()])
        with gateway.client() as client:
            begin_form(client, f"content-length: {len(body)}")
            client.send(body[:-5])
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        assert only_row(gateway).outcome == "client_closed"


def test_the_wait_for_an_answer_begins_with_the_last_byte_sent(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with (
        serving(tmp_path, upstream={"first_byte_timeout": 0.4}) as (gateway, (upstream,)),
        gateway.client() as client,
    ):
        upstream.script(json_answer({"text": "hi"}))
        begin_form(client, f"content-length: {len(body)}")
        client.send(body[:-10])
        for begin in range(len(body) - 10, len(body)):
            # What is tested is that time passes: more than the deadline in all, and never at once.
            time.sleep(0.1)
            client.send(body[begin : begin + 1])
        assert client.read_answer()[0].status == 200


def test_a_client_s_own_limit_begins_with_the_last_byte_of_its_upload(tmp_path: Path) -> None:
    body = form()
    with serving(tmp_path, upstreams=2) as (gateway, (one, two)), gateway.client() as client:
        one.script(json_answer({"error": {"message": "busy"}}, 503))
        two.script(json_answer({"text": "hi", "usage": {"seconds": 1}}))
        begin_form(client, f"content-length: {len(body)}\r\nx-stainless-read-timeout: 0.8")
        client.send(body[:-10])
        for begin in range(len(body) - 10, len(body)):
            # What is tested is that time passes: more than the limit in all, and never at once.
            time.sleep(0.1)
            client.send(body[begin : begin + 1])
        assert client.read_answer()[0].status == 200


def test_an_upstream_that_does_not_answer_an_upload_times_out(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"first_byte_timeout": 0.2}) as (gateway, (upstream,)):
        upstream.script([Hang()])
        assert ask(gateway, form())[0].status == 504
        assert only_row(gateway).outcome == "timeout"


# other attempts


def test_a_small_upload_is_sent_again_to_the_next_target(tmp_path: Path) -> None:
    body = form()
    with serving(tmp_path, upstreams=2) as (gateway, (one, two)):
        one.script(json_answer({"error": {"message": "busy"}}, 503))
        two.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        assert ask(gateway, body)[0].status == 200
        assert [upstream.requests[0].body for upstream in (one, two)] == [
            body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        ] * 2
        assert only_row(gateway).attempts == 2


def test_an_upload_that_is_not_held_any_more_is_not_sent_again(tmp_path: Path) -> None:
    with serving(tmp_path, upstreams=2) as (gateway, (one, two)):
        one.script(json_answer({"error": {"message": "busy", "type": "server_error"}}, 503))
        answer, body = ask(gateway, form(content=bytes(2_000_000)))
        assert answer.status == 503
        assert error_of(body)["message"] == "busy"
        assert not two.requests
        assert only_row(gateway).attempts == 1


def test_an_upload_for_an_upstream_that_is_not_there_goes_to_the_next(tmp_path: Path) -> None:
    body = form(content=bytes(2_000_000))
    with refusing_url() as gone, ScriptedUpstream() as two:
        config = simple_config(tmp_path, gone, two.base_url, model={"capability": "audio"})
        two.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        with RunningGateway(config) as gateway:
            assert ask(gateway, body)[0].status == 200
        assert two.requests[0].body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())


def test_an_answer_before_the_end_of_the_upload_is_relayed_and_the_connection_is_not_used_again(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    refusal = {"error": {"message": "no such language", "type": "invalid_request_error"}}
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script([ReadNothing(), *json_answer(refusal, 400)])
        upstream.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        begin_form(client, f"content-length: {len(body)}")
        client.send(body[:-5])
        answer, got = client.read_answer()
        assert (answer.status, json.loads(got.payload)) == (400, refusal)
        assert answer.header("connection") == "close"
        assert ask(gateway, form())[0].status == 200
        assert [request.connection for request in upstream.requests] == [1, 2]


# refusals


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (file(wav()) + END, "must provide a model"),
        (form()[:-30], "ends before"),
        (field("model", ALIAS) + form(), "two 'model' parts"),
        (b'{"model": "prometheus-core"}', "does not begin with the boundary"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(tmp_path: Path, body: bytes, message: str) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script([Hang()])
        answer, got = ask(gateway, body)
        assert answer.status == 400
        assert message in error_of(got)["message"]
        row = only_row(gateway)
        assert (row.status, row.outcome, row.cost) == (400, "refused", 0)
        assert not any(request.received.is_set() for request in upstream.requests)


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        ("application/json", "must be multipart/form-data."),
        ("multipart/form-data", "must name one boundary"),
        ("multipart/form-data; boundary=a; boundary=b", "must name one boundary"),
    ],
)
def test_a_wrong_content_type_is_refused_and_the_right_one_named(
    tmp_path: Path, content_type: str, message: str
) -> None:
    with serving(tmp_path) as (gateway, _):
        answer, got = ask(gateway, form(), **{"content-type": content_type})
        assert answer.status == 400
        assert message in error_of(got)["message"]


def test_a_form_is_refused_where_json_is_wanted(tmp_path: Path) -> None:
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, _):
        answer, got = ask(gateway, form(), SPEECH)
        assert answer.status == 400
        assert "must be application/json." in error_of(got)["message"]


def test_an_alias_that_is_for_something_else_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, capability="chat", price=TOKENS) as (gateway, (upstream,)):
        answer, got = ask(gateway, form())
        assert answer.status == 400
        assert error_of(got)["code"] == "model_not_supported"
        assert "Use it with /v1/chat/completions" in error_of(got)["message"]
        assert not upstream.requests


def test_a_file_that_is_announced_too_large_is_refused_unread(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _), gateway.client() as client:
        begin_form(client, f"content-length: {MAX_FORM + 1}\r\nexpect: 100-continue")
        answer, got = client.read_answer()
        assert answer.status == 413
        assert str(MAX_FORM) in error_of(got)["message"]


def test_a_file_that_becomes_too_large_is_refused_and_upstream_is_let_go(tmp_path: Path) -> None:
    with (
        serving(tmp_path, server={"max_body_bytes": 100_000}) as (gateway, (upstream,)),
        gateway.client() as client,
    ):
        upstream.script([Hang()])
        begin_form(client, "transfer-encoding: chunked")
        client.send(chunk(field("model", ALIAS)).data)
        client.send(chunk(file(bytes(1000))[:-2]).data)
        (request,) = upstream.wait_for_requests(1)
        client.send(chunk(bytes(100_000)).data)
        answer, got = client.read_answer()
        assert (answer.status, error_of(got)["code"]) == (413, "request_too_large")
        assert request.closed.wait(5)
        assert not request.received.is_set()
        assert only_row(gateway).outcome == "refused"


# answers and bills


def test_reported_seconds_are_billed_by_the_minute(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        answer = b'{"text": "hi", "usage": {"type": "duration", "seconds": 3}}'
        upstream.script(json_answer(answer))
        assert ask(gateway, form())[1].payload == answer
        row = only_row(gateway)
        assert (row.audio_milliseconds, row.usage_source, row.cost) == (3000, "reported", 300_000)
        assert row.endpoint == TRANSCRIPTIONS


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_duration_of_a_verbose_answer_is_billed(tmp_path: Path, pieces: int) -> None:
    answer = b'{"task":"transcribe","segments":[{"duration":99}],"duration":2.4567,"text":"' + b"hi " * 100 + b'"}'
    with serving(tmp_path) as (gateway, (upstream,)):
        steps = json_answer(answer)
        if pieces > 1:
            steps = [steps[0], Send(answer[:60]), Pause(0.05), Send(answer[60:])]
        upstream.script(steps)
        with gateway.client() as client:
            send_form(client, form(field("response_format", "verbose_json")))
            got = client.read_head()
            payload = client.read_until(b'"}')
        assert (got.status, payload) == (200, answer)
        row = only_row(gateway)
        assert (row.audio_milliseconds, row.usage_source) == (2457, "reported")


def test_mistrals_answer_shows_the_alias_and_its_seconds_are_billed(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        usage = {"prompt_audio_seconds": 4, "prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
        upstream.script(json_answer({"model": "voxtral-mini-2602", "text": "hi", "usage": usage}))
        _, body = ask(gateway, form())
        assert json.loads(body.payload)["model"] == ALIAS
        row = only_row(gateway)
        assert (row.audio_milliseconds, row.input_tokens, row.cost) == (4000, 5, 400_000)


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "text/vtt", "application/x-subrip"])
def test_an_answer_that_tells_no_length_is_billed_by_the_files_own(tmp_path: Path, content_type: str) -> None:
    subtitles = b"1\n00:00:00,000 --> 00:00:01,000\nHi.\n\n"
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(plain(subtitles, content_type))
        answer, body = ask(gateway, form(field("response_format", "srt")))
        assert (body.payload, answer.header("content-type")) == (subtitles, content_type)
        assert answer.header("x-prism-cost") == "0.000250000"
        row = only_row(gateway)
        assert (row.audio_milliseconds, row.usage_source, row.cost) == (2500, "estimated", COST)


def test_an_answer_that_comes_before_the_length_waits_for_it(tmp_path: Path) -> None:
    measured = threading.Event()
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        gateway.call(lambda inner: inner.audio._threads[0][0].submit(measured.wait, 5))
        upstream.script(plain(b"hi"))
        send_form(client, form(content=FLAC))
        (request,) = upstream.wait_for_requests(1)
        assert request.answered.wait(5)
        assert gateway.call(lambda inner: len(inner.deadlines)) == 1
        measured.set()
        assert client.read_answer()[1].payload == b"hi"
        row = only_row(gateway)
        assert (row.audio_milliseconds, row.cost) == (2500, COST)


def test_an_answer_does_not_wait_long_for_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_length, "MAX_SECONDS", 0.05)
    never = threading.Event()
    with serving(tmp_path) as (gateway, (upstream,)):
        gateway.call(lambda inner: inner.audio._threads[0][0].submit(never.wait, 5))
        upstream.script(plain(b"hi"))
        assert ask(gateway, form(content=FLAC))[1].payload == b"hi"
        never.set()
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("complete", "none", None)


def test_an_answer_that_reports_its_seconds_waits_for_no_length(tmp_path: Path) -> None:
    never = threading.Event()
    with serving(tmp_path) as (gateway, (upstream,)):
        gateway.call(lambda inner: inner.audio._threads[0][0].submit(never.wait, 5))
        upstream.script(json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}))
        assert ask(gateway, form(content=FLAC))[0].status == 200
        never.set()
        assert only_row(gateway).audio_milliseconds == 3000


@pytest.mark.parametrize(
    ("answer", "warned"),
    [
        (json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 3}}), 0),
        (plain(b"hi"), 1),
    ],
    ids=["the answer tells the length", "nothing does"],
)
def test_a_length_that_is_not_known_is_told_where_the_bill_lacks_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: list[Step], warned: int
) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(answer)
        assert ask(gateway, form(content=b"no sound at all"))[0].status == 200
        assert (only_row(gateway).cost is None) == bool(warned)
    assert caplog.text.count("the length of an audio file") == warned


def test_a_file_whose_length_cannot_be_told_is_unpriced_and_never_free(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(plain(b"hi"))
        answer, _ = ask(gateway, form(content=b"no sound at all"))
        assert answer.header("x-prism-cost") is None
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("complete", "none", None)


def test_reported_tokens_are_billed_where_the_alias_is_priced_by_the_token(tmp_path: Path) -> None:
    with serving(tmp_path, price=TOKENS) as (gateway, (upstream,)):
        upstream.script(sse_answer(TRANSCRIPT, 7))
        _, body = ask(gateway, form(field("stream", "true")))
        assert body.payload == TRANSCRIPT
        row = only_row(gateway)
        assert (row.input_tokens, row.output_tokens, row.cost) == (17, 10, 17 * 2500 + 10 * 10_000)
        assert (row.stream, row.usage_source) == (True, "reported")


def test_the_minute_is_billed_also_where_the_upstream_counts_tokens(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(sse_answer(TRANSCRIPT))
        ask(gateway, form(field("stream", "true")))
        row = only_row(gateway)
        assert (row.input_tokens, row.audio_milliseconds, row.cost) == (17, 2500, COST)


def test_a_cut_transcript_does_not_end_cleanly(tmp_path: Path) -> None:
    measured = threading.Event()
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        headers = {"content-type": "text/plain", "content-length": "10"}
        upstream.script([head(200, headers), Send(b"half"), WaitFor(measured), Close()])
        send_form(client, form())
        got = client.read_head()
        wait_until_measured(gateway)
        measured.set()
        assert got.header("transfer-encoding") == "chunked"
        body = client.read_chunked()
        assert (body.payload, body.complete) == (b"half", False)
        row = only_row(gateway)
        assert (row.outcome, row.audio_milliseconds) == ("upstream_cut", 2500)


def test_a_web_page_is_never_a_transcript(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(plain(b"<html>log in</html>", "text/html"))
        answer, body = ask(gateway, form())
        assert answer.status == 502
        assert b"html" not in body.payload


def test_an_upstreams_error_is_passed_on_with_what_stands_beside_it(tmp_path: Path) -> None:
    error = {"error": {"message": f"{UPSTREAM_MODEL} cannot", "type": "x"}, "usage": {"seconds": 0}}
    with serving(tmp_path) as (gateway, (upstream,)):
        upstream.script(json_answer(error, 400))
        answer, body = ask(gateway, form())
        assert answer.status == 400
        assert json.loads(body.payload) == {**error, "error": {"message": f"{ALIAS} cannot", "type": "x"}}
        row = only_row(gateway)
        assert (row.outcome, row.cost) == ("upstream_error", 0)


def test_a_reset_in_the_middle_of_an_upload_is_told(tmp_path: Path) -> None:
    body = field("model", ALIAS) + file(wav()) + END
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script([ReadNothing(), Reset()])
        begin_form(client, f"content-length: {len(body)}")
        client.send(body[:-5])
        answer, _ = client.read_answer()
        assert answer.status == 502


# speech


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@pytest.mark.parametrize("content_type", ["audio/mpeg", "application/octet-stream"])
def test_speech_passes_byte_for_byte_in_any_framing(tmp_path: Path, framing: str, content_type: str) -> None:
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, (upstream,)):
        if framing == "length":
            upstream.script(plain(SOUND, content_type))
        else:
            headers = {"content-type": content_type}
            upstream.script(sse_answer(SOUND, 1000, chunked=framing == "chunked", headers=headers))
        answer, body = ask_json(gateway, SPEECH, input="Hello", voice="alloy")
        assert (body.payload, body.complete) == (SOUND, True)
        assert answer.header("content-type") == content_type
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.output_tokens) == ("complete", "estimated", 0)
        # How much sound that was is not known.
        assert (row.cost, row.unpriced_parts) == (None, "audio_output")
        assert row.input_tokens > 0
        sent = json.loads(upstream.requests[0].body)
        assert sent["model"] == UPSTREAM_MODEL


def test_the_first_sound_leaves_before_the_last_is_made(tmp_path: Path) -> None:
    heard = threading.Event()
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, (upstream,)), gateway.client() as client:
        headers = {"content-type": "audio/mpeg", "transfer-encoding": "chunked"}
        upstream.script([head(200, headers), chunk(b"first"), WaitFor(heard), chunk(b"last"), Send(LAST_CHUNK)])
        lines = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", SPEECH, json.dumps({"model": ALIAS, "input": "a"}).encode(), lines)
        client.read_head()
        assert client.read_chunk() == b"first"
        heard.set()
        assert client.read_chunked().payload == b"last"


def test_cut_speech_does_not_end_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, (upstream,)):
        upstream.script([*sse_answer(SOUND, 1000, headers={"content-type": "audio/mpeg"})[:-1], Close()])
        _, body = ask_json(gateway, SPEECH, input="Hello")
        assert (body.payload, body.complete) == (SOUND, False)
        assert only_row(gateway).outcome == "upstream_cut"


@pytest.mark.parametrize("path", [SPEECH, f"{SPEECH}/stream"])
def test_speech_as_events_is_billed_as_reported(tmp_path: Path, path: str) -> None:
    events = (
        b'data: {"type":"speech.audio.delta","audio":"AAAA"}\r\n\r\ndata: {"type":"speech.audio.done",'
        b'"usage":{"input_tokens":10,"output_tokens":93,"total_tokens":103}}\r\n\r\ndata: [DONE]\r\n\r\n'
    )
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, (upstream,)):
        upstream.script(sse_answer(events))
        _, body = ask_json(gateway, path, input="Hello", stream_format="sse")
        assert body.payload == events
        row = only_row(gateway)
        assert (row.input_tokens, row.output_tokens, row.usage_source) == (10, 93, "reported")
        assert upstream.requests[0].target == path.removeprefix("/v1")


def test_speech_that_is_a_web_page_or_text_is_an_error(tmp_path: Path) -> None:
    with serving(tmp_path, capability="speech", price=TOKENS) as (gateway, (upstream,)):
        for content_type in ("text/html; charset=utf-8", "text/plain"):
            upstream.script(plain(b"<html>log in</html>", content_type))
            assert ask_json(gateway, SPEECH, input="Hello")[0].status == 502
