"""Recorded JSON answers, and errors, cut in two: the client and the bill are told the same as of one piece.

What is right is for the other tests of the recordings to say; here only the cut may differ. A few places of each are
tried, all of them in the slow form.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from proxy.config.tree import Config, Model, Server, Upstream
from tests.corpus import Exchange, cuts, exchanges
from tests.fakes import LAST_CHUNK, Pause, RawClient, ScriptedUpstream, Send, Step, chunk, head, json_answer
from tests.serving import ALIAS, KEY, PRICE, UPSTREAM_MODEL, RunningGateway, finals_of

#: Places of each recording, without the ends, where it is cut in the quick form.
PLACES = 6
#: Answers to requests that the gateway relays, by their dialect.
RECORDINGS = [
    one
    for dialect in ("openai-chat", "openai-responses", "openai-embeddings", "anthropic", "gemini")
    for one in exchanges(dialect=dialect)
    if "json" in one.headers.get("content-type", "") and one.status != 204
]
KINDS: dict[str, Literal["compatible", "anthropic", "gemini"]] = {
    "openai": "compatible",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
EMBEDDINGS = "prometheus-embeddings"
#: What differs from one request to the next by its nature.
_OWN = ("id", "started", "ttft", "total", "overhead", "bytes_out", "tries")


class Replay:
    """A gateway whose upstream speaks all dialects, and one client connection through both."""

    def __init__(self, gateway: RunningGateway, upstream: ScriptedUpstream, client: RawClient) -> None:
        self._finals = finals_of(gateway.gateway.ledger.journal)
        self._upstream = upstream
        self._client = client

    def told(self, recording: Exchange, pieces: Sequence[bytes]) -> tuple[int, bytes, dict[str, Any]]:
        """The status, body and bill of the recording: in these pieces and with its end apart, or all at once."""
        fields = {"content-type": recording.headers["content-type"]}
        steps: list[Step] = json_answer(recording.response, recording.status, fields)
        if pieces:
            steps = [head(recording.status, {**fields, "transfer-encoding": "chunked"})]
            for piece in pieces:
                # Time for the gateway to read what is there.
                steps += [chunk(piece), Pause(0.001)]
            steps.append(Send(LAST_CHUNK))
        self._upstream.script(steps)
        path, request = request_of(recording)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        self._client.request("POST", path, json.dumps(request).encode(), headers)
        answer, body = self._client.read_answer()
        assert body.complete
        own = answer.header("x-request-id") or ""
        bill = msgspec.structs.asdict(self._finals[own])
        return answer.status, without(body.payload, own), {name: bill[name] for name in bill if name not in _OWN}


def without(body: bytes, request_id: str) -> bytes:
    """A body without what names its own request and time."""
    body = body.replace(request_id.encode(), b"")
    at = body.find(b'"timestamp":"')
    return body if at < 0 else body[:at] + body[body.index(b'"', at + 13) :]


def request_of(recording: Exchange) -> tuple[str, dict[str, Any]]:
    """A request of the gateway that such an answer may come to."""
    if recording.dialect == "gemini":
        return f"/v1beta/models/{ALIAS}:generateContent", {"contents": []}
    if recording.dialect == "anthropic":
        return "/v1/messages", {"model": ALIAS, "messages": [], "max_tokens": 9}
    if recording.dialect == "openai-responses":
        return "/v1/responses", {"model": ALIAS, "input": "hello"}
    if recording.dialect == "openai-embeddings":
        return "/v1/embeddings", {"model": EMBEDDINGS, "input": "hello"}
    return "/v1/chat/completions", {"model": ALIAS, "messages": []}


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    with ScriptedUpstream() as upstream:
        targets = [f"{name}/{UPSTREAM_MODEL}" for name in KINDS]
        config = Config(
            server=Server(data_dir=str(folder), port=0, log_format="json"),
            upstreams={
                name: Upstream(
                    kind=kind,
                    base_url=upstream.base_url,
                    api_key="sk-upstream-secret",
                    warm_connections=0,
                    consecutive_5xx=0,
                    consecutive_gateway_failures=0,
                )
                for name, kind in KINDS.items()
            },
            models={
                ALIAS: Model(capability="chat", targets=targets, price=PRICE, translate="off"),
                EMBEDDINGS: Model(capability="embeddings", targets=targets[:1], price=PRICE),
            },
        )
        with RunningGateway(config) as gateway, gateway.client() as client:
            yield Replay(gateway, upstream, client)


def check(replay: Replay, recording: Exchange, places: Sequence[int]) -> None:
    body = recording.response
    whole = replay.told(recording, [])
    assert replay.told(recording, [body]) == whole
    for at in places:
        assert replay.told(recording, [body[:at], body[at:]]) == whole, f"cut at {at}"


EACH = pytest.mark.parametrize("recording", RECORDINGS, ids=[one.id for one in RECORDINGS])


@EACH
def test_a_recorded_answer_is_told_and_billed_alike_in_two_pieces(replay: Replay, recording: Exchange) -> None:
    check(replay, recording, cuts(len(recording.response), seed=0, most=PLACES))


@EACH
@pytest.mark.slow
def test_a_recorded_answer_is_told_and_billed_alike_cut_at_every_byte(replay: Replay, recording: Exchange) -> None:
    check(replay, recording, range(1, len(recording.response)))
