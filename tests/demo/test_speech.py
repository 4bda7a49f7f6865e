"""Speech of the demo provider, over a real socket."""

import base64
import io
import json
import wave

import openai
import pytest

from proxy.demo.media import SAMPLE_RATE
from tests.demo.conftest import Provider


def test_a_wav_file_has_a_fifth_of_a_second_for_each_word(sdk: openai.OpenAI) -> None:
    answer = sdk.audio.speech.create(model="demo-voice", voice="alloy", input="one two three", response_format="wav")
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        assert sound.getnframes() == len(sound.readframes(10**9)) // 2 == 3 * SAMPLE_RATE // 5


def test_pcm_is_the_same_without_a_head(provider: Provider) -> None:
    bodies = [
        provider.post("/audio/speech", model="demo-voice", input="one two", response_format=form).content
        for form in ("wav", "pcm")
    ]
    assert bodies[0][44:] == bodies[1]


def test_mp3_is_what_comes_unasked_in_whole_frames(provider: Provider) -> None:
    answer = provider.post("/audio/speech", model="demo-voice", input="one")
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content == (b"\xff\xfb\x90\xc4" + bytes(413)) * 8


def test_sound_comes_in_pieces_without_a_length(provider: Provider) -> None:
    answer = provider.post("/audio/speech/stream", model="demo-voice", input="one two")
    assert "content-length" not in answer.headers


def test_events_have_the_sound_usage_and_the_end_mark(provider: Provider) -> None:
    asked = {"model": "demo-voice", "input": "one two", "response_format": "pcm"}
    text = provider.post("/audio/speech", stream_format="sse", **asked).text
    *deltas, done, mark = (block.removeprefix("data: ") for block in text.removesuffix("\r\n\r\n").split("\r\n\r\n"))
    sound = b"".join(base64.b64decode(json.loads(delta)["audio"]) for delta in deltas)
    assert sound == provider.post("/audio/speech", **asked).content
    assert json.loads(done)["usage"] == {"input_tokens": 2, "output_tokens": 8, "total_tokens": 10}
    assert mark == "[DONE]"


@pytest.mark.parametrize(
    "body",
    [{"input": ""}, {"input": "x" * 4097}, {"input": "x", "response_format": "opus"}, {"input": "demo:error=400"}],
)
def test_what_cannot_be_spoken_is_a_400(provider: Provider, body: dict[str, str]) -> None:
    assert provider.post("/audio/speech", model="demo-voice", **body).status_code == 400
