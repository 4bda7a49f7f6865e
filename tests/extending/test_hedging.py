"""A hedged pair is one file (`hedged_origin`) and one line, and uses the interfaces alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.ledger.record import UsageRecord
from tests.exchange.samples import (
    JSON_ANSWER,
    REWRITTEN_STREAM,
    STREAM,
    ask,
    question,
    wait_for_settled,
    wait_until,
)
from tests.exchange.test_upstream_origin import error
from tests.extending.hedged_origin import HedgingPolicy
from tests.fakes import Body, Hang, Head, ScriptedUpstream, Step, json_answer, sse_answer
from tests.serving import ALIAS, RunningGateway, simple_config


def busy(gateway: RunningGateway) -> bool:
    """Whether any upstream still works for a request."""
    return gateway.call(lambda running: any(pool.size > pool.idle for pool in running.pools.values()))


def race(
    folder: Path, first: Sequence[Step], second: Sequence[Step], *, stream: bool = False
) -> tuple[Head, Body, list[UsageRecord]]:
    """One request to two upstreams at once; what came of it."""
    with ScriptedUpstream() as a, ScriptedUpstream() as b:
        a.script(first)
        b.script(second)
        # The one line: a policy more.
        with RunningGateway(simple_config(folder, a.base_url, b.base_url), HedgingPolicy) as gateway:
            head, body = ask(gateway, question(stream=stream))
            wait_until(lambda: not busy(gateway), "the end of the other request")
            return head, body, wait_for_settled(gateway)


@pytest.mark.parametrize("first_wins", [True, False])
def test_the_first_response_wins_and_the_other_request_is_cancelled(tmp_path: Path, first_wins: bool) -> None:
    steps: list[list[Step]] = [json_answer(JSON_ANSWER), [Hang()]]
    head, body, rows = race(tmp_path, *(steps if first_wins else steps[::-1]))
    assert (head.status, body.complete) == (200, True)
    assert json.loads(body.payload)["model"] == ALIAS
    (row,) = rows
    upstream = "vendor1" if first_wins else "vendor2"
    assert (row.outcome, row.upstream, row.input_tokens, row.usage_source) == ("complete", upstream, 9, "reported")


def test_a_stream_comes_from_one_of_the_two_alone(tmp_path: Path) -> None:
    _, body, rows = race(tmp_path, sse_answer(STREAM, 40), [Hang()], stream=True)
    assert body.payload == REWRITTEN_STREAM
    assert [row.outcome for row in rows] == ["complete"]


def test_a_failure_of_one_leaves_the_other(tmp_path: Path) -> None:
    head, _, rows = race(tmp_path, error(400), json_answer(JSON_ANSWER))
    assert head.status == 200
    assert [(row.outcome, row.upstream) for row in rows] == [("complete", "vendor2")]


def test_where_both_fail_the_client_gets_the_last_failure(tmp_path: Path) -> None:
    head, _, rows = race(tmp_path, error(400), error(400))
    assert head.status == 400
    assert [row.outcome for row in rows] == ["upstream_error"]
