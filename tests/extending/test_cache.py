"""A cache that replays a stream is one file (`toy_cache`): a policy, an observer that fills it, and a replay."""

from pathlib import Path

import pytest

from proxy.errors import UpstreamFailed
from proxy.exchange.exchange import Exchange
from tests.exchange.doubles import Bench, MemoryDownstream, ScriptedOrigin, bench, context_of
from tests.exchange.samples import MESSAGES, REWRITTEN_STREAM, STREAM
from tests.extending.toy_cache import ToyCache
from tests.fakes import ScriptedUpstream, sse_answer
from tests.serving import ALIAS, RunningGateway, idle_state, simple_config

#: The cache needs nothing of it.
STATE = idle_state()
SSE = b"content-type: text/event-stream\r\n"
PARTS = [b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n"]


def streamed(exchange: Exchange) -> None:
    exchange.begin(200, SSE, True)
    exchange.write(PARTS[0])
    exchange.write(PARTS[1])
    exchange.finish(200, b"", True, PARTS[2])


def broken(exchange: Exchange) -> None:
    exchange.begin(200, SSE, True)
    exchange.write(PARTS[0])
    exchange.fail(UpstreamFailed("gone"))


def served(made: Bench, cache: ToyCache, script: object = streamed, *, stream: bool = True) -> MemoryDownstream:
    """One request: by the cache, else by an origin that does this."""
    context = context_of(stream)
    origin = cache.admit(context)
    return made.run(context, origin or ScriptedOrigin(context, script)).downstream  # type: ignore[arg-type]


def test_a_stream_is_replayed_to_the_next_client(tmp_path: Path) -> None:
    cache = ToyCache(STATE)
    with bench(tmp_path) as made:
        first = served(made, cache)
        again = served(made, cache, script=None)
        assert (first.writes, again.writes) == (PARTS, PARTS)
        assert (again.status, again.ended) == (200, "whole")
        assert again.lines.startswith(SSE)
        assert [(final.outcome, final.cost) for final in made.settled] == [("complete", 0), ("complete", 0)]


@pytest.mark.parametrize("leaves", [True, False])
def test_what_was_not_whole_is_not_kept(tmp_path: Path, leaves: bool) -> None:
    cache = ToyCache(STATE)
    with bench(tmp_path) as made:
        if leaves:
            context = context_of()
            cache.admit(context)
            made.run(context, ScriptedOrigin(context, lambda exchange: None)).exchange.client_disconnected()
        else:
            served(made, cache, broken)
        assert cache.stored == {}


def test_another_request_is_not_served_by_it(tmp_path: Path) -> None:
    cache = ToyCache(STATE)
    with bench(tmp_path) as made:
        served(made, cache)
        assert cache.admit(context_of(stream=False)) is None


def test_in_a_gateway_it_is_one_line(tmp_path: Path) -> None:
    body = {"model": ALIAS, "messages": MESSAGES, "stream": True}
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), ToyCache) as gateway,
        gateway.client() as client,
    ):
        upstream.script(sse_answer(STREAM))
        for cache in ("miss", "hit"):
            gateway.chat(client, body)
            head, answer = client.read_answer()
            assert (head.status, head.header("x-prism-cache")) == (200, cache)
            assert answer.payload == REWRITTEN_STREAM
            assert answer.complete
        assert len(upstream.requests) == 1
        first, second = gateway.rows()
        assert (first.outcome, first.attempts, second.outcome, second.attempts) == ("complete", 1, "complete", 0)
        assert second.cost == 0
