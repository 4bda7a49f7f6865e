"""OpenAI's audio, images and transcripts: what is read of their events and of their JSON, and what is billed."""

from typing import Any

import pytest

from proxy.dialects.openai_media import MEDIA
from proxy.wire.json_rewrite import JsonRewriter
from proxy.wire.schemas import Usage
from tests.dialects.answers import (
    ALIAS,
    COUNTED,
    SNAPSHOT,
    USAGE,
    compact,
    counters,
    json_meter,
    read_events,
    read_json,
    relay_events,
    relay_pieces,
    relay_whole,
)
from tests.wire.cuts import chunkings


@pytest.mark.parametrize(
    ("events", "text", "finished", "failed", "usage"),
    [
        ([{"type": "transcript.text.delta", "delta": "four"}], 4, False, False, None),
        ([{"type": "transcript.text.done", "text": "four", "usage": USAGE}], 0, True, False, COUNTED),
        ([{"type": "transcript.text.segment", "text": "four"}], 0, False, False, None),
        (
            [{"type": "transcript.text.done", "usage": {"type": "duration", "seconds": 3}}],
            0,
            True,
            False,
            Usage(audio_milliseconds=3000),
        ),
        ([{"type": "speech.audio.delta", "audio": "AAAA"}], 0, False, False, None),
        ([{"type": "speech.audio.done", "usage": USAGE}], 0, True, False, COUNTED),
        ([{"type": "transcription.language", "audio_language": "en"}], 0, False, False, None),
        ([{"type": "transcription.done", "model": "a", "usage": USAGE}], 0, True, False, COUNTED),
        ([{"type": "image_generation.partial_image", "b64_json": "A"}], 0, False, False, None),
        ([{"type": "image_generation.completed", "b64_json": "A"}], 0, True, False, Usage(images=1)),
        ([{"type": "image_edit.completed", "usage": USAGE}] * 2, 0, True, False, Usage(9, 4, 2, 5, 3, images=2)),
        ([{"type": "error", "error": {"message": "x"}}], 0, False, True, None),
        ([{"type": "error", "message": "x"}], 0, False, True, None),
        ([{"error": {"message": "x"}}, {"type": "transcript.text.done"}], 0, True, True, None),
    ],
)
def test_events_of_audio_and_images_are_read(
    events: list[dict[str, Any]], text: int, finished: bool, failed: bool, usage: Usage | None
) -> None:
    assert counters(read_events(MEDIA, *events)) == (text, finished, failed, False, usage)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"text": "x"}, None),
        ({"text": "x", "usage": USAGE}, COUNTED),
        ({"text": "x", "usage": None, "duration": 2.5}, Usage(audio_milliseconds=2500)),
        ({"text": "x", "duration": "2.5"}, Usage(audio_milliseconds=2500)),
        ({"text": "x", "duration": 0.0001}, Usage(audio_milliseconds=1)),
        ({"text": "x", "duration": -1}, None),
        ({"text": "x", "duration": 1e12}, None),
        ({"text": "x", "duration": "long"}, None),
        ({"text": "x", "duration": None}, None),
        ({"text": "x", "duration": 9, "usage": {"type": "duration", "seconds": 3}}, Usage(audio_milliseconds=3000)),
        ({"data": [{"b64_json": "A"}, {"b64_json": "B"}]}, Usage(images=2)),
        ({"data": [{"b64_json": "A"}], "usage": USAGE}, Usage(9, 4, 2, 5, 3, images=1)),
        ({"data": []}, None),
        ({"data": {}}, None),
    ],
)
def test_an_answer_of_audio_or_images_is_billed_by_its_usage_its_length_or_its_images(
    answer: dict[str, Any], usage: Usage | None
) -> None:
    data = compact(answer)
    assert read_json(MEDIA, answer).usage() == usage
    assert relay_whole(MEDIA, data)[0] == data


def test_the_model_of_a_media_answer_is_the_alias_and_nested_ones_stay() -> None:
    answer = {"text": 'say "model":"a"', "segments": [{"model": "b"}], "model": SNAPSHOT, "usage": USAGE}
    data, wanted = compact(answer), compact({**answer, "model": ALIAS})
    assert relay_whole(MEDIA, data)[0] == wanted
    for pieces in chunkings(data):
        out, meter = relay_pieces(MEDIA, pieces)
        assert (out, meter.usage()) == (wanted, COUNTED)


def test_a_media_stream_with_crlf_is_rewritten_in_any_pieces() -> None:
    events: list[dict[str, Any]] = [
        {"type": "transcript.text.delta", "delta": "four", "logprobs": [{"model": "kept"}]},
        {"type": "transcription.done", "model": SNAPSHOT, "usage": USAGE},
    ]

    def written(model: str) -> bytes:
        shown = [events[0], {**events[1], "model": model}]
        return b"".join(b"data: %b\r\n\r\n" % compact(one) for one in shown)

    for pieces in chunkings(written(SNAPSHOT)):
        out, meter = relay_events(MEDIA, pieces)
        assert out == written(ALIAS)
        assert counters(meter) == (4, True, False, False, COUNTED)


# errors


def seconds_and_images(*pieces: bytes) -> tuple[int, int] | None:
    """What is billed of a response that is too large to be decoded, as far as it came."""
    meter = json_meter(MEDIA)
    rewriter = JsonRewriter(meter, ALIAS)
    for piece in pieces:
        rewriter.feed(piece)
    usage = meter.usage()
    return (usage.audio_milliseconds, usage.images) if usage is not None else None


@pytest.mark.parametrize(
    ("body", "billed"),
    [
        (b'{"created":1,"data":[{"b64_json":"AAAA"},{"b64_json":"AAAA"}]}', (0, 2)),
        (b'{"created":1,"data":[{"b64_json":"AAAA"},{"b64_json":"AA', (0, 2)),
        (b'{"duration":2.5,"text":"wor', (2500, 0)),
        (b'{"duration":"2.5","text":"word"}', (2500, 0)),
        (b'{"duration":1e400,"text":"word"}', None),
        (b'{"duration":-1,"text":"word"}', None),
        (b'{"duration":"long","data":"none"}', None),
        (b'{"segments":[{"duration":3}],"data":{"data":[1]}}', None),
    ],
)
def test_what_is_billed_of_a_large_response_is_counted_while_it_passes(
    body: bytes, billed: tuple[int, int] | None
) -> None:
    for pieces in chunkings(body):
        assert seconds_and_images(*pieces) == billed
