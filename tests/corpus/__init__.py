"""Recorded exchanges with real providers: found, read, and told what they mean, without help from `proxy`.

The recordings stay where they are, outside the project; GATEWAY_CORPUS names their folder. What is expected of an
exchange is worked out the plain and slow way, over whole bodies, so that it can judge the code that does it in pieces.
"""

import base64
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

FOLDER_VARIABLE = "GATEWAY_CORPUS"

Dialect = Literal["openai-chat", "openai-responses", "openai-embeddings", "openai-other", "anthropic", "gemini"]

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
_BLANKS = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class ExpectedUsage:
    """What a bill must say, as the ledger counts: input with its cached part, output with its reasoning."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer, as bytes."""

    #: File and line of the recording: the name of the exchange in test output.
    id: str
    #: Repository, licence and file that the recording is from.
    source: str
    method: str
    url: str
    request: bytes
    status: int
    #: Headers of the answer, with lower-case names.
    headers: dict[str, str]
    response: bytes
    #: Not recorded everywhere.
    request_headers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_stream(self) -> bool:
        """The answer is a stream of server-sent events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @cached_property
    def dialect(self) -> Dialect:
        """Which API this is a call of; only calls that make a completion count as chat or responses."""
        made = self.method == "POST"
        if self.host == "api.anthropic.com" or self.path.endswith(("rawPredict", "streamRawPredict")):
            return "anthropic"
        if re.search(r"/models/[^/]+:\w+$", self.path):
            return "gemini"
        if made and self.path.endswith("/chat/completions"):
            return "openai-chat"
        if made and self.path.endswith("/responses"):
            return "openai-responses"
        return "openai-embeddings" if self.path.endswith("/embeddings") else "openai-other"

    @cached_property
    def request_json(self) -> dict[str, Any]:
        """The request, where it is a JSON object; empty for any other."""
        try:
            value = json.loads(self.request)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def asks_for_usage(self) -> bool:
        """The client asked for the usage of a stream; where it did not, the gateway asks in its place."""
        options = self.request_json.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def events(self) -> list[Any]:
        """The JSON values of a stream's events, or the one of a JSON answer. Only for streams of one data line each."""
        if not self.is_stream:
            return [json.loads(self.response)]
        return [json.loads(payload) for _, payload in self._data_lines()]

    def expected_usage(self) -> ExpectedUsage | None:
        """The usage of a chat completion, None when it reports none: the last object that is not null counts."""
        reported = [usage for event in self.events() for usage in _usage_objects(event)]
        return read_usage(reported[-1]) if reported else None

    def expected_client_bytes(self, alias: str) -> bytes:
        """A chat completion as a client that asked for usage must get it: `$.model` is the alias, the rest as it was.

        An empty model and a missing one stay as they are. Raises ValueError for an answer that is an error, whose text
        may be changed.
        """
        if self.status != 200 or any(event.get("error") for event in self.events()):
            raise ValueError(f"{self.id} is an error")
        if not self.is_stream:
            return with_model(self.response, alias)
        out = bytearray()
        position = 0
        for begin, payload in self._data_lines():
            out += self.response[position:begin] + with_model(payload, alias)
            position = begin + len(payload)
        return bytes(out + self.response[position:])

    def _data_lines(self) -> Iterator[tuple[int, bytes]]:
        """Where each JSON payload begins in the answer, and its bytes."""
        for match in _LINE.finditer(self.response):
            if match[0].startswith(b"data:"):
                payload = match[0][5:].strip()
                if payload and payload != b"[DONE]":
                    yield match.start() + match[0].index(payload, 5), payload


def exchanges(
    *,
    dialect: Dialect | None = None,
    stream: bool | None = None,
    status: int | None = None,
    host: str | None = None,
) -> list[Exchange]:
    """The recordings that fit; skips the test, or the module at whose top it is called, where there are none.

    Raises AssertionError when the recordings are there and none fits: a test over nothing proves nothing.
    """
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not folder:
        pytest.skip(f"{FOLDER_VARIABLE} names no folder of recorded exchanges", allow_module_level=True)
    found = [
        exchange
        for exchange in load(Path(folder))
        if (dialect is None or exchange.dialect == dialect)
        and (stream is None or exchange.is_stream == stream)
        and (status is None or exchange.status == status)
        and (host is None or exchange.host == host)
    ]
    assert found, f"no recording in {folder} fits"
    return found


@lru_cache(maxsize=2)
def load(folder: Path) -> tuple[Exchange, ...]:
    """All exchanges of a folder's *.jsonl files; read once a session, and never changed."""
    return tuple(
        _exchange(f"{path.stem}:{number}", json.loads(line))
        for path in sorted(folder.glob("*.jsonl"))
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
    )


def cuts(n_bytes: int, seed: int, most: int = 40) -> list[int]:
    """Up to `most` points at which to cut that many bytes, in order, without the ends; the same for one seed."""
    chance = random.Random(seed)
    places = range(1, n_bytes)
    return sorted(chance.sample(places, min(len(places), chance.randint(1, most))))


def with_model(document: bytes, alias: str) -> bytes:
    """A JSON object with the value of its top-level `model`, where that is a text and not empty, replaced."""
    # Latin-1 keeps one character for each byte; no byte of a longer UTF-8 sequence looks like JSON's own signs.
    text = document.decode("latin-1")
    decoder = json.JSONDecoder()
    out, position = "", 0
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        begin = _skip(text, _skip(text, at) + 1)
        value, end = decoder.raw_decode(text, begin)
        if key == "model" and isinstance(value, str) and value:
            out += text[position:begin] + json.dumps(alias)
            position = end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return (out + text[position:]).encode("latin-1")


def _skip(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def read_usage(usage: dict[str, Any]) -> ExpectedUsage:
    """Read one usage object of an OpenAI-like server, in any of its spellings."""
    asked = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    made = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    given = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
    produced = usage.get("completion_tokens", usage.get("output_tokens")) or 0
    reasoning = made.get("reasoning_tokens") or usage.get("reasoning_tokens") or 0
    # xAI counts reasoning beside the completion and only in the total; all others count it inside.
    if reasoning and usage.get("total_tokens") == given + produced + reasoning:
        produced += reasoning
    return ExpectedUsage(
        input_tokens=given,
        cached_input_tokens=_first(
            asked.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")
        ),
        cache_write_tokens=_first(
            asked.get("cache_write_tokens"),
            asked.get("created_cache_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        output_tokens=produced,
        reasoning_tokens=reasoning,
    )


def _first(*counts: int | None) -> int:
    return next((count for count in counts if count), 0)


def _usage_objects(event: dict[str, Any]) -> list[dict[str, Any]]:
    """What an event reports, the least trusted first: nested in the choice (Moonshot), Groq's own, the standard one."""
    choices = event.get("choices") or [{}]
    groq = event.get("x_groq") or {}
    return [usage for usage in (choices[0].get("usage"), groq.get("usage"), event.get("usage")) if usage]


def _exchange(name: str, record: dict[str, Any]) -> Exchange:
    return Exchange(
        id=name,
        source=record["source"],
        method=record["method"],
        url=record["url"],
        request=_bytes(record["request"]),
        status=record["status"],
        headers=record["headers"],
        response=_bytes(record["response"]),
        request_headers=record.get("request_headers", {}),
    )


def _bytes(value: str | dict[str, str] | None) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return (value or "").encode()
