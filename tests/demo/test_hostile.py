"""Requests of a wrong shape: whatever stands where, the demo provider answers, and never with a fault of its own."""

import random
import wave
from io import BytesIO
from typing import Any

import pytest

from proxy.demo.media import audio_seconds, wav_header
from tests.demo.conftest import Provider

MESSAGE = {
    "role": "user",
    "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}],
}
BLOCKS = [{"type": "tool_result", "content": [{"text": "x"}]}, {"type": "tool_use", "name": "f", "input": {}}]
TOOL = {
    "type": "function",
    "name": "f",
    "parameters": {"type": "object"},
    "function": {"name": "f"},
    "input_schema": {},
}
PARTS = [{"text": "hi"}, {"functionCall": {"name": "f", "args": {}}}, {"inlineData": {"mimeType": "a", "data": "b"}}]

#: A body of each endpoint with everything in it that is looked at.
BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {"messages": [MESSAGE], "tools": [TOOL], "tool_choice": {"function": {"name": "f"}}}),
    ("/v1/responses", {"input": [MESSAGE], "tools": [TOOL], "text": {"format": {"type": "json_schema", "schema": {}}}}),
    (
        "/v1/messages",
        {
            "messages": [{"role": "user", "content": BLOCKS}],
            "max_tokens": 9,
            "tools": [TOOL],
            "tool_choice": {"type": "tool", "name": "f"},
        },
    ),
    (
        "/v1beta/models/demo-core:generateContent",
        {
            "contents": [{"role": "user", "parts": PARTS}],
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "generationConfig": {"stopSequences": ["x"]},
        },
    ),
    ("/v1/moderations", {"model": "demo-guard", "input": [{"type": "text", "text": "x"}]}),
    ("/v1/rerank", {"model": "demo-rank", "query": "x", "documents": [{"text": "x"}], "top_n": 1}),
    ("/v1/search", {"query": ["x"], "max_results": 1}),
    ("/v1/ocr", {"document": {"image_url": {"url": "x"}, "document_name": "x"}}),
    ("/v1/images/edits", {"model": "demo-canvas", "prompt": "x", "images": [{"image_url": "x"}], "n": 1}),
    ("/v1/audio/speech", {"model": "demo-voice", "input": "x", "voice": {"id": "x"}}),
    ("/v1/threads", {"messages": [{"role": "user", "content": [{"text": "x"}]}], "metadata": {}}),
    ("/v1/assistants", {"tools": [TOOL], "metadata": {}}),
    ("/v1/conversations", {"items": [{**MESSAGE, "id": "x"}], "metadata": {}}),
    ("/v1/uploads", {"filename": "a", "purpose": "x", "bytes": 1, "mime_type": "x"}),
    ("/v1/vector_stores", {"file_ids": ["x"], "name": "x"}),
)
WRONG: tuple[Any, ...] = (None, 5, -1, "x", "", [], [5], [[]], {}, {"x": 5}, True, 10**30)


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to each value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inner for path in ((*before, key), *places(item, (*before, key)))]


def replaced(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], wrong)
    return copy


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
def test_a_wrong_value_anywhere_is_answered(provider: Provider, path: str, body: dict[str, Any]) -> None:
    body = {"model": "demo-core", **body}
    url = provider.base_url.removesuffix("/v1") + path
    for place in places(body):
        for wrong in WRONG:
            answer = provider.http.post(url, json=replaced(body, place, wrong))
            assert answer.status_code < 500, (place, wrong)


def test_any_head_of_a_recording_gives_a_length() -> None:
    chance = random.Random(7)
    head = wav_header(1_000)
    for _ in range(2_000):
        changed = bytearray(head)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(head))] = chance.choice((0, 1, 255, chance.randrange(256)))
        assert audio_seconds(bytes(changed) + bytes(100)) >= 0


def test_a_recording_that_the_standard_library_wrote_has_its_length() -> None:
    written = BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(8_000 * 4))
    assert audio_seconds(written.getvalue()) == 1.0
