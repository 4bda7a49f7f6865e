"""Recorded answers of the Responses API, Anthropic and Gemini through the whole gateway: same bytes, right bill.

Each recording is replayed through its row in one piece and cut at random places, and a few of them byte by byte. What
must come out is worked out here over whole bodies, without help from `proxy`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from proxy.config.tree import Config, Model, Server, Upstream
from tests.corpus import Dialect, Exchange, ExpectedUsage, cuts, exchanges, read_usage
from tests.fakes import Body, Head, RawClient, ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import ALIAS, KEY, PRICE, UPSTREAM_MODEL, RunningGateway, finals_of

DIALECTS: tuple[Dialect, ...] = ("openai-responses", "anthropic", "gemini")
RECORDINGS = [one for dialect in DIALECTS for one in exchanges(dialect=dialect, status=200)]
SEEDS = 25
#: Byte by byte is slow, and says little that the cuts do not say: one stream of each dialect and host, the shortest.
FINE = [
    min(
        (one for one in RECORDINGS if one.is_stream and (one.dialect, one.host) == kind),
        key=lambda one: len(one.response),
    )
    for kind in sorted({(one.dialect, one.host) for one in RECORDINGS})
]
#: Where the model stands in the events of each dialect; the last of them in a whole answer.
MODEL_PATHS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "openai-responses": (("response", "model"), ("model",)),
    "anthropic": (("message", "model"), ("model",)),
    "gemini": (("modelVersion",),),
}
_DATA = re.compile(rb"(?m)^data:[ ]?(\{[^\r\n]*)")


class Replay:
    """A gateway whose upstream speaks all dialects, and one client connection through both."""

    def __init__(self, gateway: RunningGateway, upstream: ScriptedUpstream, client: RawClient) -> None:
        self.finals = finals_of(gateway.gateway.ledger.journal)
        self._upstream = upstream
        self._client = client

    def ask(self, recording: Exchange, pieces: Sequence[int] | int | None) -> tuple[Head, Body]:
        """Send the recorded request, which is answered by the recording in pieces."""
        fields = {"content-type": recording.headers["content-type"]}
        steps: list[Step] = json_answer(recording.response, 200, fields)
        if recording.is_stream or pieces is not None:
            steps = sse_answer(recording.response, pieces, headers=fields)
        self._upstream.script(steps)
        path, request = request_of(recording)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        self._client.request("POST", path, json.dumps(request).encode(), headers)
        return self._client.read_answer()

    def check(self, recording: Exchange, pieces: Sequence[int] | int | None) -> None:
        """Replay an answer, and compare what came out and what was billed."""
        answer, body = self.ask(recording, pieces)
        assert answer.status == 200
        assert answer.header("content-type") == recording.headers["content-type"]
        assert body.complete
        assert body.payload == shown(recording)
        final = self.finals[answer.header("x-request-id") or ""]
        assert (final.outcome, final.usage_source, final.attempts) == ("complete", "reported", 1)
        expected = vars(usage_of(recording))
        assert {name: getattr(final, name) for name in expected} == expected


def request_of(recording: Exchange) -> tuple[str, dict[str, Any]]:
    """The path and the body by which the recorded request is made of the gateway."""
    request = recording.request_json
    if recording.dialect == "gemini":
        verb = recording.path.rpartition(":")[2]
        return f"/v1beta/models/{ALIAS}:{verb}" + ("?alt=sse" if recording.is_stream else ""), request
    if recording.dialect == "anthropic":
        return "/v1/messages", {**request, "model": ALIAS, "stream": recording.is_stream}
    # The recorded ones name files, containers and earlier responses, which no key of this gateway has made.
    return "/v1/responses", {"model": ALIAS, "input": "hello", "stream": recording.is_stream}


def shown(recording: Exchange) -> bytes:
    """The answer as the client must get it: the model at its path is the alias, every other byte as it was."""
    paths = MODEL_PATHS[recording.dialect]
    if not recording.is_stream:
        return renamed(recording.response, json.loads(recording.response), paths[-1])
    return _DATA.sub(lambda match: renamed(match[0], json.loads(match[1]), paths[0]), recording.response)


def renamed(text: bytes, value: Any, path: tuple[str, ...]) -> bytes:
    """The text of a value with the model at this path replaced, the one place where it stands."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return text
    key = rb'"%b"(\s*:\s*)%b' % (path[-1].encode(), re.escape(json.dumps(value).encode()))
    # A tool of the same model may stand elsewhere; in the recordings none does.
    text, count = re.subn(key, lambda match: b'"%b"%b"%b"' % (path[-1].encode(), match[1], ALIAS.encode()), text)
    assert count == 1, (path, count)
    return text


def usage_of(recording: Exchange) -> ExpectedUsage:
    """What the bill must say."""
    events = recording.events()
    if recording.dialect == "gemini":
        return gemini_usage([event["usageMetadata"] for event in events if "usageMetadata" in event][-1])
    if recording.dialect == "anthropic":
        first = [event["message"]["usage"] for event in events if "message" in event]
        last = [event["usage"] for event in events if event.get("usage")]
        return anthropic_usage({**(first[0] if first else {}), **last[-1]})
    found = [event.get("response", event).get("usage") for event in events]
    return read_usage([usage for usage in found if usage][-1])


def anthropic_usage(usage: Mapping[str, Any]) -> ExpectedUsage:
    """Input that was read from or written to the cache is counted beside the rest there, and with it in a bill."""
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return ExpectedUsage(usage["input_tokens"] + read + written, read, written, usage["output_tokens"], thought)


def gemini_usage(usage: Mapping[str, int]) -> ExpectedUsage:
    """Thoughts and the prompts of tools are counted beside the rest there, and with it in a bill."""
    thoughts = usage.get("thoughtsTokenCount", 0)
    return ExpectedUsage(
        input_tokens=usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0),
        cached_input_tokens=usage.get("cachedContentTokenCount", 0),
        cache_write_tokens=0,
        output_tokens=usage.get("candidatesTokenCount", 0) + thoughts,
        reasoning_tokens=thoughts,
    )


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    with ScriptedUpstream() as upstream:
        kinds = {"openai": "compatible", "anthropic": "anthropic", "gemini": "gemini"}
        config = Config(
            server=Server(data_dir=str(tmp_path_factory.mktemp("gateway")), port=0, log_format="json"),
            upstreams={
                name: Upstream(kind=kind, base_url=upstream.base_url, api_key="sk-upstream-secret", warm_connections=0)  # type: ignore[arg-type]
                for name, kind in kinds.items()
            },
            models={
                ALIAS: Model(
                    capability="chat",
                    targets=[f"{name}/{UPSTREAM_MODEL}" for name in kinds],
                    price=PRICE,
                    translate="off",
                )
            },
        )
        with RunningGateway(config) as gateway, gateway.client() as client:
            one = Replay(gateway, upstream, client)
            yield one
            stored = {row.id: row for row in gateway.rows()}
    assert stored == one.finals


def recordings(which: Sequence[Exchange]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", which, ids=[one.id for one in which])


def test_every_recording_has_a_model_for_which_the_alias_is_shown() -> None:
    for recording in RECORDINGS:
        assert ALIAS.encode() in shown(recording), recording.id


@recordings(RECORDINGS)
def test_a_recorded_answer_in_one_piece(replay: Replay, recording: Exchange) -> None:
    replay.check(recording, None)


@recordings(RECORDINGS)
def test_a_recorded_answer_cut_at_random_places(replay: Replay, recording: Exchange) -> None:
    for seed in range(SEEDS):
        replay.check(recording, cuts(len(recording.response), seed))


@recordings(FINE)
def test_a_recorded_answer_byte_by_byte(replay: Replay, recording: Exchange) -> None:
    replay.check(recording, 1)
