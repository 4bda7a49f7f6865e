"""Recorded answers of real providers through the whole gateway: the client gets the recorded bytes, the bill is right.

Each recording is replayed in one piece, in pieces of one byte, and cut at random places.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.corpus import Exchange, cuts, exchanges
from tests.fakes import Body, Head, RawClient, ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import ALIAS, RunningGateway, finals_of, simple_config

RECORDINGS = [one for one in exchanges(dialect="openai-chat") if one.path.endswith("/chat/completions")]
ANSWERS = [one for one in RECORDINGS if one.status == 200]
STREAMS = [one for one in ANSWERS if one.is_stream]
ERRORS = [one for one in RECORDINGS if one.status != 200]
SEEDS = 50


class Replay:
    """A gateway, the upstream that plays recordings, and one client connection through both."""

    def __init__(self, gateway: RunningGateway, upstream: ScriptedUpstream, client: RawClient) -> None:
        self.finals = finals_of(gateway.gateway.ledger.journal)
        self._gateway = gateway
        self._upstream = upstream
        self._client = client

    def ask(
        self, recording: Exchange, request: dict[str, Any], pieces: Sequence[int] | int | None
    ) -> tuple[Head, Body]:
        """Send a request, which is answered by a recording in pieces."""
        self._upstream.script(steps_of(recording, pieces))
        self._gateway.chat(self._client, {**request, "model": ALIAS})
        return self._client.read_answer()

    def check(self, recording: Exchange, pieces: Sequence[int] | int | None) -> None:
        """Replay an answer, and compare what came out and what was billed."""
        answer, body = self.ask(recording, recording.request_json, pieces)
        assert answer.status == 200
        assert answer.header("content-type") == recording.headers["content-type"]
        assert body.complete
        assert body.payload == recording.expected_client_bytes(ALIAS)
        self.check_bill(recording, answer)

    def check_bill(self, recording: Exchange, answer: Head) -> None:
        """Compare the bill of an answer with what the recording reports."""
        final = self.finals[answer.header("x-request-id") or ""]
        expected = recording.expected_usage()
        assert expected is not None
        assert (final.outcome, final.usage_source, final.attempts) == ("complete", "reported", 1)
        assert {name: getattr(final, name) for name in vars(expected)} == vars(expected)


def steps_of(recording: Exchange, pieces: Sequence[int] | int | None) -> list[Step]:
    """The recorded answer as an upstream's script."""
    fields = {"content-type": recording.headers["content-type"]}
    if recording.is_stream or pieces is not None:
        return sse_answer(recording.response, pieces, status=recording.status, headers=fields)
    return json_answer(recording.response, recording.status, fields)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(folder, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        one = Replay(gateway, upstream, client)
        yield one
        stored = {row.id: row for row in gateway.rows()}
    assert stored == one.finals


def names(recordings: Sequence[Exchange]) -> list[str]:
    return [recording.id for recording in recordings]


every_answer = pytest.mark.parametrize("recording", ANSWERS, ids=names(ANSWERS))


@every_answer
def test_a_recorded_answer_in_one_piece(replay: Replay, recording: Exchange) -> None:
    replay.check(recording, None)


@every_answer
def test_a_recorded_answer_byte_by_byte(replay: Replay, recording: Exchange) -> None:
    replay.check(recording, 1)


@every_answer
def test_a_recorded_answer_cut_at_random_places(replay: Replay, recording: Exchange) -> None:
    for seed in range(SEEDS):
        replay.check(recording, cuts(len(recording.response), seed))


@pytest.mark.parametrize("recording", STREAMS, ids=names(STREAMS))
def test_a_client_that_did_not_ask_for_usage_gets_none_and_is_billed_all_the_same(
    replay: Replay, recording: Exchange
) -> None:
    request = {name: value for name, value in recording.request_json.items() if name != "stream_options"}
    answer, body = replay.ask(recording, {**request, "stream": True}, None)
    assert body.payload == without_usage_event(recording.expected_client_bytes(ALIAS))
    replay.check_bill(recording, answer)


@pytest.mark.parametrize("recording", ERRORS, ids=names(ERRORS))
def test_a_recorded_error_passes_but_for_one_about_the_gateway_s_own_credential(
    replay: Replay, recording: Exchange
) -> None:
    answer, body = replay.ask(recording, recording.request_json, None)
    if recording.status == 401:
        assert answer.status == 502
        assert b"api-keys" not in body.payload
    else:
        assert (answer.status, body.payload) == (recording.status, recording.response)
    final = replay.finals[answer.header("x-request-id") or ""]
    assert (final.outcome, final.usage_source, final.cost) == ("upstream_error", "none", 0)


def without_usage_event(stream: bytes) -> bytes:
    """A stream without the first event that holds nothing but usage."""
    for match in re.finditer(rb"(?s).*?(?:\r\n\r\n|\n\n)", stream):
        data = match[0].strip().removeprefix(b"data:").strip()
        if not data.startswith(b"{"):
            continue
        event = msgspec.json.decode(data)
        only_usage = event.get("choices") == [] and event.get("usage")
        if only_usage and not {"moderation", "prompt_filter_results", "error"} & set(event):
            return stream[: match.start()] + stream[match.end() :]
    return stream
