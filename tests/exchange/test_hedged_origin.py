"""A second attempt beside a late one, on real sockets: who responds, what is cancelled and when, and both rows."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.app import Gateway
from proxy.config.tree import Budget, Fallbacks, Hedge, Model, Routing
from proxy.exchange.context import RequestContext
from proxy.exchange.hedged_origin import second_id
from proxy.ledger.record import AttemptRecord, Record, UsageRecord
from proxy.observability.metrics import Counter
from proxy.policies.base import Policy
from proxy.policies.hedge import HedgePolicy
from proxy.routing.hedging import MIN_TIMES
from tests.exchange.routed import LARGE, LARGE_PRICE, upstreams
from tests.exchange.samples import (
    DONE,
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    ask,
    begun,
    question,
    rewritten,
    wait_for_settled,
    wait_until,
    word,
)
from tests.fakes import Close, Hang, ScriptedUpstream, Send, Step, WaitFor, chunk, json_answer, sse_answer
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway, on_each_record, simple_config

SOON = 0.02
HANG: list[Step] = [Hang()]
WHOLE: list[Step] = sse_answer(STREAM)
#: What the client sees of a stream whose one word is another one, so that it is known which upstream it is of.
OTHER: list[Step] = sse_answer(ROLE + word("Other") + STOP + USAGE + DONE)
REWRITTEN_OTHER = rewritten(ROLE + word("Other") + STOP + DONE)


def failing(status: int) -> list[Step]:
    return json_answer({"error": {"message": "no", "type": "x"}}, status)


def hedges(gateway: RunningGateway) -> dict[str, int]:
    """The second attempts by result."""
    family = gateway.gateway.admission.state.metrics.families["prometheus_gateway_hedges_total"]
    assert isinstance(family, Counter)
    return {labels[1]: value for labels, value in family.values.items()}


class Scene:
    """A gateway that hedges, and its upstreams."""

    def __init__(self, gateway: RunningGateway, upstreams: Sequence[ScriptedUpstream]) -> None:
        self.gateway = gateway
        self.first, self.second = upstreams[:2]
        self.upstreams = upstreams

    def results(self) -> dict[str, int]:
        """The second attempts by result."""
        return hedges(self.gateway)

    def rows(self, count: int) -> tuple[UsageRecord, list[UsageRecord]]:
        """The row of the request, and those of attempts that lost."""
        rows = wait_for_settled(self.gateway, count)
        assert len(rows) == count
        lost = [row for row in rows if row.outcome == "hedge_lost"]
        (own,) = [row for row in rows if row.outcome != "hedge_lost"]
        return own, lost

    def wait_until_quiet(self) -> None:
        """Wait until no upstream works for the gateway any more, and nothing is in the sweeper."""

        def quiet() -> bool:
            return self.gateway.call(
                lambda running: (
                    all(pool.size == pool.idle for pool in running.pools.values()) and not len(running.deadlines)
                )
            )

        wait_until(quiet, "the end of all attempts")


@contextmanager
def hedging(
    folder: Path,
    *scripts: Sequence[Step],
    hedge: Mapping[str, Any] | None = None,
    policies: Sequence[Callable[..., Policy]] = (),
    **settings: Mapping[str, Any],
) -> Iterator[Scene]:
    """A gateway over as many upstreams as scripts, which hedges each request that has no content soon."""
    upstreams = [ScriptedUpstream() for _ in scripts]
    try:
        for upstream, script in zip(upstreams, scripts, strict=True):
            upstream.__enter__()
            if script:
                upstream.script(script)
        routing = Routing(hedge=Hedge(**{"max_percent": 100, "floor": SOON, **(hedge or {})}))
        model = {"routing": routing, **settings.pop("model", {})}
        root = settings.pop("root", {})
        config = simple_config(folder, *[one.base_url for one in upstreams], model=model, **settings)
        with RunningGateway(msgspec.structs.replace(config, **root), *policies) as gateway:
            yield Scene(gateway, upstreams)
    finally:
        for upstream in upstreams:
            upstream.__exit__(None)


# who responds


def test_a_response_in_time_has_no_second_attempt(tmp_path: Path) -> None:
    with hedging(tmp_path, WHOLE, [], hedge={"floor": 30.0}) as scene:
        _, body = ask(scene.gateway)
        assert body.payload == REWRITTEN_STREAM
        own, lost = scene.rows(1)
        assert (own.outcome, own.upstream, lost) == ("complete", "vendor1", [])
        assert (scene.second.requests, scene.results()) == ([], {})


def test_where_the_first_is_late_the_second_responds(tmp_path: Path) -> None:
    asked = threading.Event()
    with hedging(tmp_path, HANG, [WaitFor(asked), *WHOLE]) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.first.wait_for_requests(1)
        asked.set()
        head, body = client.read_answer()
        assert (head.status, body.payload) == (200, REWRITTEN_STREAM)
        assert scene.first.requests[0].closed.wait(5)
        own, (lost,) = scene.rows(2)
        assert (own.outcome, own.upstream, own.attempts, own.input_tokens) == ("complete", "vendor2", 1, 9)
        assert (lost.upstream, lost.attempts, lost.usage_source, lost.status) == ("vendor1", 1, "estimated", 200)
        assert lost.cost
        assert scene.results() == {"won": 1}
        scene.wait_until_quiet()


def test_the_first_may_still_respond_and_the_second_is_cancelled(tmp_path: Path) -> None:
    both_asked = threading.Event()
    with hedging(tmp_path, [WaitFor(both_asked), *WHOLE], HANG) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.second.wait_for_requests(1)
        both_asked.set()
        assert client.read_answer()[1].payload == REWRITTEN_STREAM
        assert scene.second.requests[0].closed.wait(5)
        own, (lost,) = scene.rows(2)
        assert (own.upstream, lost.upstream) == ("vendor1", "vendor2")
        assert scene.results() == {"lost": 1}
        scene.wait_until_quiet()


@pytest.mark.parametrize("prelude", [[], [ROLE]], ids=["head", "role"])
def test_neither_a_head_nor_a_role_wins(tmp_path: Path, prelude: list[bytes]) -> None:
    first_begun = threading.Event()
    second = [WaitFor(first_begun), *OTHER]
    with hedging(tmp_path, [*begun(*prelude), Hang()], second) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.first.wait_for_requests(1)
        wait_until(lambda: scene.first.requests[0].bytes_sent > 0, "the beginning of the first response")
        first_begun.set()
        assert client.read_answer()[1].payload == REWRITTEN_OTHER
        assert scene.first.requests[0].closed.wait(5)
        assert scene.results() == {"won": 1}


def test_the_loser_is_cancelled_within_its_response(tmp_path: Path) -> None:
    both_begun = threading.Event()
    first = [*begun(ROLE), WaitFor(both_begun), *[chunk(one) for one in (HELLO, STOP, USAGE, DONE)], Send(b"0\r\n\r\n")]
    with hedging(tmp_path, first, [*begun(ROLE), Hang()]) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.second.wait_for_requests(1)
        wait_until(lambda: scene.second.requests[0].bytes_sent > 0, "the beginning of the second response")
        both_begun.set()
        assert client.read_answer()[1].payload == REWRITTEN_STREAM
        assert scene.second.requests[0].closed.wait(5)
        scene.wait_until_quiet()


def test_a_response_that_is_no_stream_is_hedged_too(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, json_answer(JSON_ANSWER)) as scene:
        head, body = ask(scene.gateway, question(stream=False))
        assert json.loads(body.payload)["model"] == ALIAS
        assert head.header("content-length") == str(len(body.payload))
        own, (lost,) = scene.rows(2)
        assert (own.upstream, own.outcome, lost.upstream) == ("vendor2", "complete", "vendor1")


# failures


def test_a_first_attempt_that_fails_after_all_leaves_the_second(tmp_path: Path) -> None:
    asked, failed = threading.Event(), threading.Event()
    with hedging(tmp_path, [WaitFor(asked), *failing(503)], [WaitFor(failed), *WHOLE]) as scene:
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
            asked.set()
            wait_until(lambda: bool(scene.gateway.rows()), "the row of the failure")
            failed.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        own, (lost,) = scene.rows(2)
        assert (own.upstream, own.outcome) == ("vendor2", "complete")
        assert (lost.upstream, lost.status, lost.cost, lost.usage_source) == ("vendor1", 503, 0, "none")
        assert scene.results() == {"won": 1}


def test_an_attempt_is_made_again_at_its_target_beside_the_other(tmp_path: Path) -> None:
    asked, failed = threading.Event(), threading.Event()
    with hedging(tmp_path, [WaitFor(asked), *failing(500)], [WaitFor(failed), *OTHER]) as scene:
        scene.first.script(WHOLE)
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
            asked.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        failed.set()
        own, (lost,) = scene.rows(2)
        assert (own.upstream, own.attempts, lost.upstream) == ("vendor1", 2, "vendor2")


def test_a_second_attempt_that_fails_leaves_the_first(tmp_path: Path) -> None:
    failed = threading.Event()
    with hedging(tmp_path, [WaitFor(failed), *WHOLE], failing(400)) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        wait_until(lambda: bool(scene.gateway.rows()), "the row of the failure")
        failed.set()
        assert client.read_answer()[1].payload == REWRITTEN_STREAM
        own, (lost,) = scene.rows(2)
        assert (own.upstream, lost.upstream, lost.status, lost.cost) == ("vendor1", "vendor2", 400, 0)
        assert scene.results() == {"lost": 1}


def test_where_both_fail_the_client_gets_the_last_failure_once(tmp_path: Path) -> None:
    failed = threading.Event()
    with hedging(tmp_path, [WaitFor(failed), *failing(400)], failing(422)) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        wait_until(lambda: bool(scene.gateway.rows()), "the row of the failure")
        failed.set()
        assert client.read_answer()[0].status == 400
        own, (lost,) = scene.rows(2)
        assert (own.outcome, own.status, lost.status) == ("upstream_error", 400, 422)
        assert scene.results() == {"lost": 1}
        scene.wait_until_quiet()


def test_a_target_that_failed_before_is_not_asked_again(tmp_path: Path) -> None:
    late = threading.Event()
    with hedging(tmp_path, failing(503), [WaitFor(late), *WHOLE]) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        wait_until(lambda: scene.results() == {"suppressed": 1}, "the decision against a second attempt")
        late.set()
        assert client.read_answer()[1].payload == REWRITTEN_STREAM
        own, lost = scene.rows(1)
        assert (own.upstream, own.attempts, lost) == ("vendor2", 2, [])


def test_the_second_attempt_has_the_rest_of_the_targets_to_fall_back_to(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, failing(503), WHOLE) as scene:
        assert ask(scene.gateway)[1].payload == REWRITTEN_STREAM
        own, (lost,) = scene.rows(2)
        assert (own.upstream, own.attempts, lost.upstream) == ("vendor3", 2, "vendor1")
        assert [len(one.requests) for one in scene.upstreams] == [1, 1, 1]


def test_a_content_that_breaks_off_is_no_reason_to_lose_the_other(tmp_path: Path) -> None:
    both_asked = threading.Event()
    first = [WaitFor(both_asked), *begun(ROLE), Close()]
    with hedging(tmp_path, first, [WaitFor(both_asked), *OTHER]) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.second.wait_for_requests(1)
        both_asked.set()
        assert client.read_answer()[1].payload == REWRITTEN_OTHER


# when there is none


@pytest.mark.parametrize("reason", ["budget", "overload", "ejected", "tools"])
def test_a_second_attempt_is_suppressed(tmp_path: Path, reason: str) -> None:
    late = threading.Event()
    hedge = {"max_percent": 1} if reason == "budget" else {}
    fields: dict[str, Any] = {"tools": [{"type": "web_search"}]} if reason == "tools" else {}
    with hedging(tmp_path, [WaitFor(late), *WHOLE], HANG, hedge=hedge) as scene:
        with scene.gateway.client() as client:
            if reason == "overload":
                scene.gateway.call(overload)
            if reason == "ejected":
                scene.gateway.call(lambda running: setattr(running.pools["vendor2"].health, "ejected", True))
            scene.gateway.chat(client, question(**fields))
            wait_until(lambda: scene.results() == {"suppressed": 1}, "the decision against a second attempt")
            late.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        assert scene.second.requests == []


def overload(gateway: Gateway) -> None:
    """Have the gateway in the first grade of an overload."""
    gateway.overload.memory.grade = 1
    gateway.overload.memory.update = lambda *_: None  # type: ignore[method-assign]
    gateway.overload.grade = 1


# the client's side


def test_a_client_that_leaves_ends_both(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, HANG) as scene:
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
        for upstream in scene.upstreams:
            assert upstream.requests[0].closed.wait(5)
        own, (lost,) = scene.rows(2)
        assert (own.outcome, own.upstream, lost.upstream) == ("client_closed", "vendor1", "vendor2")
        assert (own.usage_source, lost.usage_source) == ("estimated", "estimated")
        assert scene.results() == {"lost": 1}
        scene.wait_until_quiet()


def test_a_client_that_leaves_before_has_no_second_attempt(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, [], hedge={"floor": 0.3}) as scene:
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.first.wait_for_requests(1)
        own, lost = scene.rows(1)
        assert (own.outcome, lost) == ("client_closed", [])
        scene.wait_until_quiet()
        assert scene.second.requests == []


def test_a_client_that_leaves_behind_the_first_content_ends_the_winner(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, [*begun(ROLE, HELLO), Hang()]) as scene:
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            client.read_head()
        assert scene.second.requests[0].closed.wait(5)
        own, (lost,) = scene.rows(2)
        assert (own.outcome, own.upstream, lost.upstream) == ("client_closed", "vendor2", "vendor1")
        scene.wait_until_quiet()


def test_what_is_read_on_for_a_client_that_left_is_the_first_attempt(tmp_path: Path) -> None:
    gone = threading.Event()
    model = {"on_disconnect": "drain"}
    with hedging(tmp_path, [*begun(ROLE), WaitFor(gone), *WHOLE[2:]], HANG, model=model) as scene:
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
        assert scene.second.requests[0].closed.wait(5)
        gone.set()
        own, (lost,) = scene.rows(2)
        assert (own.outcome, own.upstream, lost.upstream) == ("client_closed", "vendor1", "vendor2")
        scene.wait_until_quiet()


def test_a_slow_reader_gets_all_of_the_winner(tmp_path: Path) -> None:
    words = [word("x" * 10_000) for _ in range(300)]
    script = [*begun(ROLE, *words, STOP, USAGE, DONE), Send(b"0\r\n\r\n")]
    with hedging(tmp_path, HANG, script) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        wait_until(lambda: bool(scene.second.requests) and scene.second.requests[0].bytes_sent > 500_000, "a part")
        assert client.read_answer()[1].payload == rewritten(b"".join((ROLE, *words, STOP, DONE)))
        own, _ = scene.rows(2)
        assert (own.outcome, own.upstream) == ("complete", "vendor2")


# times and endings from outside


def test_heartbeats_go_on_while_both_are_awaited(tmp_path: Path) -> None:
    late = threading.Event()
    model = {"heartbeat_interval": 0.1}
    with hedging(tmp_path, HANG, [WaitFor(late), *WHOLE], model=model) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        head = client.read_head()
        assert head.status == 200
        scene.second.wait_for_requests(1)
        late.set()
        payload = client.read_chunked().payload
        assert payload.replace(b": ping\n", b"") == REWRITTEN_STREAM
        assert payload.startswith(b": ping\n")
        assert scene.rows(2)[0].upstream == "vendor2"


def test_the_total_time_ends_both(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, HANG, model={"total_timeout": 0.3}) as scene:
        assert ask(scene.gateway)[0].status == 504
        own, (lost,) = scene.rows(2)
        assert (own.outcome, lost.outcome) == ("timeout", "hedge_lost")
        for upstream in scene.upstreams:
            assert upstream.requests[0].closed.wait(5)
        scene.wait_until_quiet()


def test_a_shutdown_ends_both(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, HANG) as scene, scene.gateway.client() as client:
        scene.gateway.chat(client, question())
        scene.second.wait_for_requests(1)
        scene.gateway.call(lambda running: running.interrupt())
        assert client.read_answer()[0].status == 503
        own, (lost,) = scene.rows(2)
        assert (own.outcome, lost.outcome) == ("gateway_shutdown", "hedge_lost")
        scene.wait_until_quiet()


# rows and times


class Seen(Policy):
    """Keeps what policies are given of a request's rows."""

    rows: list[tuple[str, UsageRecord]]

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        self.rows.append(("settled", final))

    def attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        self.rows.append(("lost", row))


@pytest.mark.parametrize("bill", [True, False])
def test_the_loser_is_on_the_bill_of_the_key_only_if_that_is_configured(tmp_path: Path, bill: bool) -> None:
    seen: list[tuple[str, UsageRecord]] = []

    def make(state: Any) -> Policy:
        policy = Seen(state)
        policy.rows = seen
        return policy

    with hedging(tmp_path, HANG, WHOLE, hedge={"bill": bill}, policies=[make]) as scene:
        ask(scene.gateway)
        own, (lost,) = scene.rows(2)
        assert own.key
        assert lost.key == (own.key if bill else "")
        assert (lost.id[:4], lost.id[4:]) == ("hdg_", own.id[4:])
        # Each policy sees both rows, and settles once.
        assert [(kind, row.id) for kind, row in seen] == [("lost", lost.id), ("settled", own.id)]


def test_the_wait_for_the_first_attempt_is_not_the_gateways_own_time(tmp_path: Path) -> None:
    with hedging(tmp_path, HANG, WHOLE, hedge={"floor": 0.5}) as scene:
        ask(scene.gateway)
        own, _ = scene.rows(2)
        assert own.ttft is not None
        assert own.ttft >= 500_000
        assert own.overhead < 400_000


@pytest.mark.parametrize("hedged", [False, True])
def test_only_requests_without_a_second_attempt_count_for_the_delay(tmp_path: Path, hedged: bool) -> None:
    floor = 0.000_001
    percent = 100 if hedged else 1
    with hedging(tmp_path, [], [], hedge={"max_percent": percent, "floor": floor}) as scene:
        scene.first.script(WHOLE, times=MIN_TIMES)
        scene.second.script(OTHER, times=MIN_TIMES)
        with scene.gateway.client() as client:
            for _ in range(MIN_TIMES):
                scene.gateway.chat(client, question())
                client.read_answer()
        (policy,) = [one for one in scene.gateway.gateway.admission._policies if isinstance(one, HedgePolicy)]
        delay = policy.hedging_of(ALIAS).delay(stream=True)
        assert (delay == floor) if hedged else (delay > floor)


# the rows that are opened, and other aliases


@pytest.mark.parametrize("bill", [True, False])
def test_a_kill_in_the_race_puts_the_second_attempt_on_no_bill_but_a_configured_one(tmp_path: Path, bill: bool) -> None:
    opened: list[AttemptRecord] = []

    def remember(record: object) -> None:
        if isinstance(record, AttemptRecord):
            opened.append(record)

    budgets = {"all": Budget(limit=Decimal(100))}
    with hedging(tmp_path, HANG, HANG, hedge={"bill": bill}, root={"budgets": budgets}) as scene:
        on_each_record(scene.gateway.gateway.ledger.journal, remember)
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
    own, second = opened
    # What is left of the two is their rows, should the process die now.
    assert (second.id, bool(own.key), bool(own.reserved)) == (second_id(own.id), True, True)
    assert (second.key, second.reserved) == (own.key if bill else "", None)


@contextmanager
def hedging_with_fallback(folder: Path, fakes: Sequence[ScriptedUpstream], large: int) -> Iterator[RunningGateway]:
    """A gateway that hedges, and falls back from a prompt that is too long to `LARGE`, which has so many of the
    upstreams: the last ones."""
    routing = Routing(
        hedge=Hedge(max_percent=100, floor=SOON, across_prices=True), fallbacks=Fallbacks(context_window=[LARGE])
    )
    config = simple_config(folder, *[one.base_url for one in fakes], model={"routing": routing})
    names = list(config.upstreams)
    own, others = names[:-large], names[-large:]
    models = {
        ALIAS: msgspec.structs.replace(config.models[ALIAS], targets=[f"{one}/{UPSTREAM_MODEL}" for one in own]),
        LARGE: Model(
            capability="chat",
            targets=[f"{one}/large-model" for one in others],
            price=LARGE_PRICE,
            routing=Routing(strategy="order", hedge=None),
        ),
    }
    with RunningGateway(msgspec.structs.replace(config, models=models)) as gateway:
        yield gateway


TOO_LONG = json_answer({"error": {"message": "no", "type": "x", "code": "context_length_exceeded"}}, 400)


def test_after_a_fallback_to_another_alias_nothing_is_billed_as_the_first(tmp_path: Path) -> None:
    late = threading.Event()
    with upstreams(4) as fakes, hedging_with_fallback(tmp_path, fakes, 2) as gateway:
        fakes[0].script(TOO_LONG)
        fakes[2].script([WaitFor(late), *WHOLE])
        fakes[3].script(WHOLE)
        with gateway.client() as client:
            gateway.chat(client, question())
            fakes[2].wait_for_requests(1)
            # Past the floor: whether there is a second attempt is decided.
            wait_until(lambda: hedges(gateway) != {}, "the decision about a second attempt")
            late.set()
            client.read_answer()
        rows = wait_for_settled(gateway, 1)
        assert {row.alias for row in rows} == {LARGE}
        assert [row.upstream_model for row in rows] == ["large-model"]


def test_two_attempts_do_not_both_fall_back_to_the_same_alias(tmp_path: Path) -> None:
    asked = threading.Event()
    with upstreams(3) as fakes, hedging_with_fallback(tmp_path, fakes, 1) as gateway:
        fakes[0].script([WaitFor(asked), *TOO_LONG])
        fakes[1].script([WaitFor(asked), *TOO_LONG])
        fakes[2].script(WHOLE, times=2)
        with gateway.client() as client:
            gateway.chat(client, question())
            fakes[1].wait_for_requests(1)
            asked.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        own = [row for row in wait_for_settled(gateway, 2) if row.outcome != "hedge_lost"]
        assert [(row.alias, row.outcome) for row in own] == [(LARGE, "complete")]
        assert len(fakes[2].requests) == 1


def test_where_the_second_attempt_has_failed_the_first_may_still_fall_back(tmp_path: Path) -> None:
    failed = threading.Event()
    with upstreams(3) as fakes, hedging_with_fallback(tmp_path, fakes, 1) as gateway:
        fakes[0].script([WaitFor(failed), *TOO_LONG])
        fakes[1].script(failing(503))
        fakes[2].script(WHOLE)
        with gateway.client() as client:
            gateway.chat(client, question())
            wait_until(lambda: bool(gateway.rows()), "the row of the failure")
            failed.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        (own,) = [row for row in wait_for_settled(gateway, 2) if row.outcome != "hedge_lost"]
        assert (own.alias, own.upstream_model, own.outcome) == (LARGE, "large-model", "complete")


def test_no_row_is_opened_again_once_it_is_settled(tmp_path: Path) -> None:
    records: list[Record] = []
    asked, failed = threading.Event(), threading.Event()
    with hedging(tmp_path, [WaitFor(asked), *failing(503)], [WaitFor(failed), *failing(503)], WHOLE) as scene:
        on_each_record(scene.gateway.gateway.ledger.journal, records.append)
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            scene.second.wait_for_requests(1)
            asked.set()
            wait_until(lambda: bool(scene.gateway.rows()), "the row of the failure")
            failed.set()
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        settled = [one.id for one in records if isinstance(one, UsageRecord)]
        own, second = settled[-1], settled[0]
        assert second == second_id(own)
        assert [one.id for one in records if isinstance(one, AttemptRecord | UsageRecord)] == [
            *(own, second),
            # The first one has failed, and the other one is the request now.
            *(second, own, own),
        ]
