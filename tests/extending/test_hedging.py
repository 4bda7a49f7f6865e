"""A hedged pair is one file (`hedged_origin`) and one line, and uses the interfaces alone."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.config.tree import Model, Server, Upstream
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.routing.models import compile_alias
from proxy.upstream.pool import Pool
from tests.exchange.doubles import Bench, MemoryDownstream, bench, context_of
from tests.exchange.samples import JSON_ANSWER, STREAM
from tests.exchange.test_upstream_origin import error
from tests.extending.hedged_origin import HedgedOrigin
from tests.fakes import Hang, ScriptedUpstream, Step, WaitFor, json_answer, sse_answer


def race(
    folder: Path, first: Sequence[Step], second: Sequence[Step], *, stream: bool = False
) -> tuple[MemoryDownstream, Bench, list[bool]]:
    """One request to two upstreams at once; what came of it, and whether the upstreams' connections are still open."""

    async def scene(made: Bench, urls: list[str]) -> tuple[MemoryDownstream, list[bool]]:
        pools = {name: Pool(name, Upstream(base_url=url)) for name, url in zip(("a", "b"), urls, strict=True)}
        alias = compile_alias("core", Model(capability="chat", targets=["a/x", "b/y"]), pools, Server())
        context = context_of(stream, alias=alias)
        # The one line.
        one, two = (UpstreamOrigin(made.services, context, (target,)) for target in alias.targets)
        settled = asyncio.Event()
        made.on_settled = settled.set
        run = made.run(context, HedgedOrigin(one, two))
        async with asyncio.timeout(5):
            await settled.wait()
        assert len(made.services.deadlines) == 0
        open_ = [pool.size > pool.idle for pool in pools.values()]
        for pool in pools.values():
            await pool.close()
        return run.downstream, open_

    with ScriptedUpstream() as a, ScriptedUpstream() as b, bench(folder) as made:
        a.script(first)
        b.script(second)
        down, open_ = asyncio.run(scene(made, [a.base_url, b.base_url]))
        return down, made, open_


@pytest.mark.parametrize("first_wins", [True, False])
def test_the_first_response_wins_and_the_other_request_is_cancelled(tmp_path: Path, first_wins: bool) -> None:
    steps: list[list[Step]] = [json_answer(JSON_ANSWER), [Hang()]]
    down, made, open_ = race(tmp_path, *(steps if first_wins else steps[::-1]))
    assert (down.status, down.ended, open_) == (200, "whole", [False, False])
    assert json.loads(down.body)["model"] == "core"
    (final,) = made.settled
    assert (final.outcome, final.upstream, final.input_tokens) == ("complete", "a" if first_wins else "b", 9)


def test_a_stream_comes_from_one_of_the_two_alone(tmp_path: Path) -> None:
    down, made, _ = race(tmp_path, sse_answer(STREAM, 40), [Hang()], stream=True)
    assert down.body.endswith(b"data: [DONE]\n\n")
    assert [final.outcome for final in made.settled] == ["complete"]


def test_a_failure_of_one_leaves_the_other(tmp_path: Path) -> None:
    gate = threading.Event()
    gate.set()
    down, made, _ = race(tmp_path, error(400), [WaitFor(gate), *json_answer(JSON_ANSWER)])
    assert down.status == 200
    assert [(final.outcome, final.upstream) for final in made.settled] == [("complete", "b")]


def test_where_both_fail_the_client_gets_the_last_failure(tmp_path: Path) -> None:
    down, made, _ = race(tmp_path, error(400), error(400))
    assert down.status == 400
    assert [final.outcome for final in made.settled] == ["upstream_error"]
