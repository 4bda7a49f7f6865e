"""Every byte of recorded streams as the point at which the upstream is cut: no clean end without a finish, and no
ending that the upstream did not send.

A few thousand points in the ordinary run; `make cuts` takes every byte of a hundred streams, prints its figures, and
goes through real sockets too.
"""

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.corpus import Exchange, exchanges
from tests.corpus.test_dialects import MODEL_PATHS
from tests.cuts.judge import DONE, Event, Outcome, events_in, finished, flaw, told_events
from tests.cuts.rig import (
    BROKEN,
    KEPT,
    CutRig,
    Ending,
    body_of,
    config_of,
    head_of,
    request_bytes,
    running,
)
from tests.exchange.samples import wait_until
from tests.fakes import LAST_CHUNK, Close, Reset, ScriptedUpstream, Send, Step, chunk
from tests.serving import RunningGateway

#: A point, its ending, and what was wrong with what came of it.
Found = tuple[str, int, Ending, str]
SEED = 7
#: Bytes from which on a stream is cut at every byte only where its provider has no shorter one.
LONG = 6_000


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each cut is told to the operator; hundreds of thousands of them are no news."""
    caplog.set_level(logging.ERROR)


def whole_streams() -> list[Exchange]:
    """The recorded streams that have a finish, the shortest first."""
    found = [one for one in exchanges(stream=True, status=200) if one.dialect != "openai-other"]
    whole = [one for one in found if finished(told_events(one, MODEL_PATHS), one.dialect)]
    return sorted(whole, key=lambda one: len(one.response))


def spread(count: int) -> list[Exchange]:
    """Streams of every dialect and provider in turn, the shortest of each first."""
    kinds: dict[tuple[str, str], list[Exchange]] = {}
    for one in whole_streams():
        of_kind = kinds.setdefault((one.dialect, one.host), [])
        if not of_kind or len(one.response) <= LONG:
            of_kind.append(one)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*kinds.values()))
    return [one for one in in_turn if one is not None][:count]


def points(streams: Iterable[Exchange], step: int) -> Iterator[tuple[Exchange, int, Ending]]:
    """Every `step`th byte of these streams, with an ending that HTTP calls whole and one that it does not."""
    for number, recording in enumerate(streams):
        for at in range(number % step, len(recording.response) + 1, step):
            yield recording, at, KEPT[at // step % 2]
            # One reset and one short body among seven: the rest are closed.
            yield recording, at, BROKEN[max(0, at // step % 7 - 4)]


async def judged(
    cut: Callable[[Exchange, bytes, int, Ending], Awaitable[Outcome]],
    where: Iterable[tuple[Exchange, int, Ending]],
    counts: Counter[str],
) -> list[Found]:
    """Cut at these points; the flaws that came of it."""
    flaws: list[Found] = []
    told: dict[str, tuple[bytes, list[Event]]] = {}
    for recording, at, ending in where:
        if recording.id not in told:
            told[recording.id] = request_bytes(recording), told_events(recording, MODEL_PATHS)
            counts["streams"] += 1
        request, events = told[recording.id]
        seen = await cut(recording, request, at, ending)
        counts["cuts"] += 1
        counts[f"{'clean' if seen.clean else 'cut'} ends, status {seen.status}"] += 1
        if what := flaw(recording, events, at, ending in KEPT, seen):
            flaws.append((recording.id, at, ending, what))
    return flaws


def without_sockets(folder: Path, where: Iterable[tuple[Exchange, int, Ending]]) -> tuple[list[Found], Counter[str]]:
    """Cut a gateway's upstream without sockets."""
    counts: Counter[str] = Counter()

    async def main() -> list[Found]:
        async with running(folder) as rig:
            return await judged(_cutting(rig), where, counts)

    return asyncio.run(main()), counts


def _cutting(rig: CutRig) -> Callable[[Exchange, bytes, int, Ending], Awaitable[Outcome]]:
    async def cut(recording: Exchange, request: bytes, at: int, ending: Ending) -> Outcome:
        return rig.cut(recording, request, at, ending)

    return cut


def through_sockets(folder: Path, where: Iterable[tuple[Exchange, int, Ending]]) -> tuple[list[Found], Counter[str]]:
    """The same with real sockets on both sides."""
    counts: Counter[str] = Counter()
    with ScriptedUpstream() as upstream, RunningGateway(config_of(folder, upstream.base_url)) as gateway:
        known = 0

        async def cut(recording: Exchange, request: bytes, at: int, ending: Ending) -> Outcome:
            nonlocal known
            upstream.script(steps(recording, at, ending))
            with gateway.client() as client:
                client.send(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                status, payload, clean = body_of(client.read_all())
            wait_until(lambda: len(gateway.rows()) > known, "the bill")
            rows = gateway.rows()[known:]
            known += len(rows)
            return Outcome(status, payload, clean, tuple(row.outcome for row in rows))

        return asyncio.run(judged(cut, where, counts)), counts


def steps(recording: Exchange, at: int, ending: Ending) -> list[Step]:
    """The answer as an upstream's script."""
    part = recording.response[:at]
    framed = part if ending in ("end", "short") or not part else chunk(part).data
    last: dict[Ending, Step] = {"last chunk": Send(LAST_CHUNK), "reset": Reset()}
    return [Send(head_of(recording, ending)), Send(framed), last.get(ending, Close())]


def sample(streams: Sequence[Exchange], count: int) -> list[tuple[Exchange, int, Ending]]:
    """Points and endings by chance, the same ones every time."""
    chance = random.Random(SEED)
    chosen = [chance.choice(streams) for _ in range(count)]
    return [(one, chance.randint(0, len(one.response)), chance.choice(KEPT + BROKEN)) for one in chosen]


def test_no_cut_of_a_short_stream_ends_without_the_truth(tmp_path: Path) -> None:
    # The events of the Responses API are long, and cost accordingly.
    dialects = {one.dialect: one for one in reversed(whole_streams())}
    responses = dialects.pop("openai-responses")
    where = itertools.chain(points(dialects.values(), 1), points([responses], 8))
    flaws, counts = without_sockets(tmp_path, where)
    assert flaws == []
    assert counts["streams"] == 4
    assert counts["cuts"] > 5_000


def test_no_cut_of_a_real_connection_ends_without_the_truth(tmp_path: Path) -> None:
    flaws, _ = through_sockets(tmp_path, sample(spread(40), 60))
    assert flaws == []


@pytest.mark.slow
def test_no_cut_at_any_byte_of_a_hundred_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flaws, counts = without_sockets(tmp_path, points(spread(100), 1))
    with capsys.disabled():
        print(f"\nwithout sockets: {dict(counts)}, flaws: {len(flaws)}")
    assert flaws[:20] == []
    assert counts["streams"] == 100


@pytest.mark.slow
def test_no_cut_of_two_thousand_real_connections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flaws, counts = through_sockets(tmp_path, sample(whole_streams(), 2_000))
    with capsys.disabled():
        print(f"\nthrough sockets: {dict(counts)}, flaws: {len(flaws)}")
    assert flaws[:20] == []


# That the judge sees what it is there for: each of these is a lie about a stream that was cut before its finish.


def lies() -> dict[str, tuple[str, Callable[[list[bytes]], Outcome]]]:
    def told(blocks: list[bytes], clean: bool) -> Outcome:
        return Outcome(200, b"".join(blocks), clean, ("complete" if clean else "upstream_cut",))

    error, done = b'data: {"error":{"message":"cut"}}\n\n', f"data: {DONE}\n\n".encode()
    made_up = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    return {
        "a clean end": ("a clean end without a finish", lambda blocks: told(blocks, True)),
        "no error": ("a cut end without an error event", lambda blocks: told(blocks, False)),
        "a made-up finish": (
            "an event that the upstream did not send",
            lambda blocks: told([*blocks, made_up, error], False),
        ),
        "a made-up mark": (
            "an event that the upstream did not send",
            lambda blocks: told([*blocks, done, error], False),
        ),
        "a lost event": ("an event less than the upstream sent", lambda blocks: told([*blocks[:-1], error], False)),
        "half a line": ("a cut end without an error event", lambda blocks: told([*blocks, b"da", error], False)),
        "broken data": ("an event that is not JSON", lambda blocks: told([*blocks, b"data:", error], False)),
        "a piece": ("a piece of an event at the end", lambda blocks: told([*blocks, error, b"data: {"], False)),
        "no bill": ("0 bills: ()", lambda blocks: Outcome(200, b"", False, ())),
        "a wrong bill": (
            "a bill that says complete of an end that was cut",
            lambda blocks: Outcome(200, b"".join([*blocks, error]), False, ("complete",)),
        ),
        "the truth": ("", lambda blocks: told([*blocks, error], False)),
    }


@pytest.mark.parametrize(("verdict", "lie"), lies().values(), ids=lies().keys())
def test_the_judge_sees_a_lie(verdict: str, lie: Callable[[list[bytes]], Outcome]) -> None:
    events = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number for number in range(3)]
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    response = b"".join([*events, finish, b"data: [DONE]\n\n"])
    recording = Exchange("made", "", "POST", "https://a/v1/chat/completions", b"{}", 200, {}, response)
    told = events_in(response)
    assert flaw(recording, told, len(b"".join(events)), True, lie(events)) == verdict
