"""A wrong label: what an answer is, its first bytes say, and the client is told the content type that fits."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.exchange.samples import JSON_ANSWER, REWRITTEN_STREAM, STREAM, rewritten, serving
from tests.fakes import LAST_CHUNK, Body, Head, Send, chunk, head
from tests.load import asking
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL

CHAT, MESSAGES, SPEECH = "/v1/chat/completions", "/v1/messages", "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
STREAM_GENERATE = f"/v1beta/models/{ALIAS}:streamGenerateContent"
KINDS = {MESSAGES: "anthropic", STREAM_GENERATE: "gemini"}
CAPABILITIES = {SPEECH: "speech", TRANSCRIPTIONS: "audio"}
EVENTS, JSON, TEXT = "text/event-stream; charset=utf-8", "application/json", "text/plain; charset=utf-8"
WHOLE = json.dumps(JSON_ANSWER).encode()
PAGE = b"<!DOCTYPE html>\n<html><title>vendor-edge</title></html>"


def answers(
    folder: Path,
    path: str,
    label: str | None,
    ways: Iterable[Sequence[bytes]],
    *,
    stream: bool = False,
    status: int = 200,
) -> Iterator[tuple[Head, Body]]:
    """The answers of an upstream that labels so what it sends, for each way to cut it in pieces."""
    fields: Mapping[str, str] = {"transfer-encoding": "chunked", **({"content-type": label} if label else {})}
    settings = {"kind": KINDS.get(path, "compatible"), "consecutive_gateway_failures": 0}
    model = {"capability": CAPABILITIES.get(path, "chat")}
    with serving(folder, upstream=settings, model=model) as (gateway, upstream):
        for count, pieces in enumerate(ways, 1):
            upstream.script([head(status, fields), *map(chunk, pieces), Send(LAST_CHUNK)])
            with gateway.client() as client:
                if path == TRANSCRIPTIONS:
                    client.send(asking.transcribe(ALIAS, 1, KEY, 100))
                else:
                    body = {"model": ALIAS, "messages": [], "input": "x", "contents": [], "max_tokens": 5}
                    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
                    client.request("POST", path, json.dumps({**body, "stream": stream}).encode(), headers)
                yield client.read_answer()
            assert len(gateway.rows()) == count


def split(data: bytes) -> list[list[bytes]]:
    """The data in one piece, and in two, cut in its first bytes."""
    return [[data], *[[data[:at], data[at:]] for at in (1, 3, 5, 7)]]


@pytest.mark.parametrize("begin", [b"", b"\n\n", b"\xef\xbb\xbf", b": ping\n\n", b"id: 1\n", b"retry: 5\n"])
@pytest.mark.parametrize("label", ["text/plain", JSON, "application/octet-stream", "text/html", None])
def test_events_are_events_whatever_their_label_is(tmp_path: Path, label: str | None, begin: bytes) -> None:
    for answer, body in answers(tmp_path, CHAT, label, split(begin + STREAM), stream=True):
        assert (answer.status, answer.header("content-type")) == (200, EVENTS)
        assert body.payload == begin + REWRITTEN_STREAM


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("label", [EVENTS, "text/plain", "application/octet-stream", "text/html", None])
def test_json_is_json_whatever_its_label_is(tmp_path: Path, label: str | None, stream: bool) -> None:
    for answer, body in answers(
        tmp_path, CHAT, label, [*split(WHOLE), [b"\n\n", WHOLE], [b"\xef\xbb\xbf" + WHOLE]], stream=stream
    ):
        assert (answer.status, answer.header("content-type")) == (200, JSON)
        assert body.payload.strip(b"\xef\xbb\xbf\n") == rewritten(WHOLE)


@pytest.mark.parametrize("label", ["application/problem+json", "application/json; charset=utf-8", "text/json"])
def test_a_label_that_fits_is_passed_on(tmp_path: Path, label: str) -> None:
    ((answer, _),) = answers(tmp_path, CHAT, label, [[WHOLE]])
    assert answer.header("content-type") == label


def test_an_array_that_grows_is_read_element_by_element_under_any_label(tmp_path: Path) -> None:
    element = json.dumps(
        {
            "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
            "modelVersion": UPSTREAM_MODEL,
        }
    ).encode()
    array = b"[" + element + b",\r\n" + element + b"]"
    for number, label in enumerate([JSON, "text/plain", EVENTS, None]):
        for answer, body in answers(tmp_path / str(number), STREAM_GENERATE, label, split(array), stream=True):
            assert (answer.status, answer.header("content-type")) == (200, JSON)
            assert body.payload == array.replace(UPSTREAM_MODEL.encode(), ALIAS.encode())


@pytest.mark.parametrize("text", [b" One small step.", b"id: the first word", b"dates", b"[Music] One", b'{"not so'])
@pytest.mark.parametrize("label", ["text/html; charset=utf-8", None, JSON, "text/plain", "application/x-subrip"])
def test_a_transcript_passes_as_it_came(tmp_path: Path, label: str | None, text: bytes) -> None:
    if label == JSON and text[:1] in (b"{", b"["):
        pytest.skip("that is taken for JSON")
    for answer, body in answers(tmp_path, TRANSCRIPTIONS, label, split(text)):
        assert (answer.status, body.payload) == (200, text)
        assert answer.header("content-type") == (label if label in ("text/plain", "application/x-subrip") else TEXT)


@pytest.mark.parametrize("label", [JSON, "text/plain", "text/html", None])
def test_a_transcript_that_is_json_is_billed_as_such(tmp_path: Path, label: str | None) -> None:
    data = json.dumps({"text": "hi", "model": UPSTREAM_MODEL, "usage": {"type": "duration", "seconds": 3}}).encode()
    for answer, body in answers(tmp_path, TRANSCRIPTIONS, label, split(data)):
        assert (answer.status, answer.header("content-type")) == (200, JSON)
        assert json.loads(body.payload)["model"] == ALIAS


@pytest.mark.parametrize(
    "label", ["audio/mpeg", "application/octet-stream", "video/mp4", JSON, "text/html", EVENTS, None]
)
def test_sound_passes_as_it_came(tmp_path: Path, label: str | None) -> None:
    sound = b"\xff\xfb\x90\x00" + bytes(range(256))
    if label == EVENTS:
        pytest.skip("an upstream that says events means them")
    for answer, body in answers(tmp_path, SPEECH, label, split(sound)):
        assert (answer.status, body.payload) == (200, sound)
        told = label if label in ("audio/mpeg", "video/mp4") else "application/octet-stream"
        assert answer.header("content-type") == told


def test_an_error_in_place_of_sound_is_one_under_any_label(tmp_path: Path) -> None:
    for number, label in enumerate(["audio/mpeg", "application/octet-stream", JSON, None]):
        error = b'{"error":{"message":"no sk-abcd1234"}}'
        ((answer, body),) = answers(tmp_path / str(number), SPEECH, label, [[error]])
        assert answer.status == 502
        assert json.loads(body.payload)["error"]["message"] == "The model's provider reported an error: no ***"


@pytest.mark.parametrize("status", [200, 201, 206])
@pytest.mark.parametrize("label", ["text/html", "text/plain", "audio/mpeg", JSON, EVENTS, None])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, SPEECH, TRANSCRIPTIONS])
def test_a_web_page_passes_for_nothing(tmp_path: Path, path: str, label: str | None, status: int) -> None:
    for answer, body in answers(
        tmp_path, path, label, [[PAGE], [b"\n<HT", b"ML>vendor-edge"], [b"<!-- a -->", PAGE]], status=status
    ):
        assert answer.status == 502
        assert b"vendor-edge" not in body.payload


def test_who_asked_for_no_events_gets_none(tmp_path: Path) -> None:
    ((answer, body),) = answers(tmp_path, CHAT, JSON, [[STREAM]])
    assert answer.status == 502
    assert json.loads(body.payload)["error"]["code"] == "upstream_protocol_error"
