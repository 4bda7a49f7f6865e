"""Transcriptions and translations of the demo provider, over a real socket."""

import json
from typing import Any

import httpx
import openai
import pytest

from proxy.demo.media import SAMPLE_RATE, wav_header
from tests.demo.conftest import Provider

#: Two and a half seconds of silence.
WAV = wav_header(SAMPLE_RATE * 5) + bytes(SAMPLE_RATE * 5)


def send(provider: Provider, task: str = "transcriptions", *, data: bytes = WAV, **fields: Any) -> httpx.Response:
    files = {"file": ("talk.wav", data, "audio/wav")}
    return provider.http.post(f"/audio/{task}", data={"model": "demo-echo", **fields}, files=files)


def test_the_answer_tells_of_the_file_and_bills_begun_seconds(sdk: openai.OpenAI) -> None:
    answer = sdk.audio.transcriptions.create(model="demo-echo", file=("talk.wav", WAV))
    assert "talk.wav" in answer.text
    assert "2.5 seconds" in answer.text
    assert answer.to_dict()["usage"] == {"type": "duration", "seconds": 3}


def test_the_length_of_another_file_is_guessed_from_its_size(provider: Provider) -> None:
    assert send(provider, data=bytes(32_000)).json()["usage"]["seconds"] == 2


def test_a_translation_is_answered_alike(provider: Provider) -> None:
    assert "talk.wav" in send(provider, "translations").json()["text"]


@pytest.mark.parametrize(
    ("wanted", "start"),
    [
        ("text", "The demo"),
        ("srt", "1\n00:00:00,000 --> 00:00:02,500\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\n"),
    ],
)
def test_plain_formats_are_plain_text(provider: Provider, wanted: str, start: str) -> None:
    answer = send(provider, response_format=wanted)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith(start)


def test_the_verbose_format_has_the_length_and_segments(provider: Provider) -> None:
    transcript = send(provider, response_format="verbose_json").json()
    assert transcript["duration"] == transcript["segments"][0]["end"] == 2.5


def stream(provider: Provider, **fields: Any) -> list[Any]:
    answer = send(provider, stream="true", **fields)
    assert answer.text.endswith("\r\n\r\n")
    blocks = [block.removeprefix("data: ") for block in answer.text.split("\r\n\r\n")[:-1]]
    return [block if block == "[DONE]" else json.loads(block) for block in blocks]


def test_a_stream_has_deltas_the_whole_text_usage_and_the_end_mark(provider: Provider) -> None:
    *deltas, done, mark = stream(provider)
    assert "".join(delta["delta"] for delta in deltas) == done["text"]
    assert (done["type"], done["usage"]["seconds"], mark) == ("transcript.text.done", 3, "[DONE]")


def test_phrases_stand_in_the_prompt(provider: Provider) -> None:
    assert send(provider, prompt="demo:error=429").status_code == 429
    assert "usage" not in send(provider, prompt="demo:no-usage").json()
    assert len(stream(provider, prompt="demo:tokens=4 demo:no-done")) == 5


@pytest.mark.parametrize("fields", [{"response_format": "mp4"}, {"model": "demo-core"}, {"model": ""}])
def test_wrong_fields_are_refused(provider: Provider, fields: dict[str, Any]) -> None:
    assert send(provider, **fields).status_code in (400, 404)


def test_a_missing_file_is_a_400(provider: Provider) -> None:
    answer = provider.http.post("/audio/transcriptions", files={"model": (None, "demo-echo")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"
