"""Requests that wait for room at a target, on real sockets: who waits, in which order, how long, and what ends it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from proxy.app import Gateway
from proxy.config.tree import Config, Queue, Routing
from proxy.observability.metrics import Counter, Gauge, Histogram
from proxy.policies.base import Policy
from proxy.policies.queue import QueuePolicy, Room
from proxy.routing.queue import DEFAULT_PRIORITY, Waiter, never
from proxy.upstream.target import Target
from tests.exchange.samples import (
    REWRITTEN_STREAM,
    STREAM,
    ask,
    question,
    wait_for_settled,
    wait_until,
)
from tests.fakes import RawClient, ScriptedUpstream, WaitFor, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

WHOLE = sse_answer(STREAM)
HIGH, LOW = KEY.replace("test", "high"), KEY.replace("test", "low")


class Scene:
    """A gateway with one upstream, or two, that takes one request at a time."""

    def __init__(self, gateway: RunningGateway, upstreams: list[ScriptedUpstream], clients: ExitStack) -> None:
        self.gateway = gateway
        self.upstream = upstreams[0]
        self.upstreams = upstreams
        self.clients = clients
        self.release = threading.Event()

    def occupy(self) -> RawClient:
        """Have a request under way that ends once `release` is set."""
        self.upstream.script([WaitFor(self.release), *WHOLE])
        client = self.clients.enter_context(self.gateway.client())
        self.gateway.chat(client, question())
        self.upstream.wait_for_requests(1)
        return client

    def ask_later(self, key: str = KEY) -> RawClient:
        """Send a request that has to wait, and see it in the queue."""
        before = self.length()
        client = self.clients.enter_context(self.gateway.client())
        self.gateway.chat(client, question(), key)
        wait_until(lambda: self.length() == before + 1, "a place in the queue")
        return client

    def length(self) -> int:
        family = self.gateway.gateway.admission.state.metrics.families["prometheus_gateway_queue_length"]
        assert isinstance(family, Gauge)
        return self.gateway.call(lambda _: int(family.read().get(("vendor1",), 0)))

    def refusals(self) -> dict[str, int]:
        family = self.gateway.gateway.admission.state.metrics.families["prometheus_gateway_queue_refusals_total"]
        assert isinstance(family, Counter)
        return {labels[1]: value for labels, value in family.values.items()}

    def waits(self) -> int:
        family = self.gateway.gateway.admission.state.metrics.families["prometheus_gateway_queue_wait_seconds"]
        assert isinstance(family, Histogram)
        return sum(sum(counts) for counts in family.counts.values())


def config_of(folder: Path, urls: list[str], queue: Mapping[str, Any] | None, **settings: Any) -> Config:
    routing = Routing(queue=Queue(**{"max_wait": 30.0, **queue})) if queue is not None else None
    model = {"routing": routing, **settings.pop("model", {})}
    upstream = {"max_requests": 1, **settings.pop("upstream", {})}
    config = simple_config(folder, *urls, model=model, upstream=upstream)
    return msgspec.structs.replace(config, **settings)


@contextmanager
def queueing(folder: Path, queue: Mapping[str, Any] | None, *, upstreams: int = 1, **settings: Any) -> Iterator[Scene]:
    with ExitStack() as stack:
        fakes = [stack.enter_context(ScriptedUpstream(lambda _: WHOLE)) for _ in range(upstreams)]
        config = config_of(folder, [one.base_url for one in fakes], queue, **settings)
        gateway = stack.enter_context(RunningGateway(config))
        gateway.add_key("high", HIGH)
        gateway.add_key("low", LOW)
        scene = Scene(gateway, fakes, stack)
        try:
            yield scene
        finally:
            scene.release.set()


def most_at_once(upstream: ScriptedUpstream) -> int:
    return max(one.connection for one in upstream.requests)


def test_a_request_waits_until_the_one_before_has_ended(tmp_path: Path) -> None:
    with queueing(tmp_path, {}) as scene:
        first = scene.occupy()
        second = scene.ask_later()
        assert len(scene.upstream.requests) == 1
        scene.release.set()
        for client in (first, second):
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        assert [row.outcome for row in wait_for_settled(scene.gateway, 2)] == ["complete"] * 2
        assert (scene.length(), scene.waits(), scene.refusals()) == (0, 1, {})
        # Had they run at once, the second would have had a connection of its own.
        assert most_at_once(scene.upstream) == 1


def test_the_wait_is_no_time_of_the_upstream(tmp_path: Path) -> None:
    with queueing(tmp_path, {}) as scene:
        scene.occupy()
        client = scene.ask_later()
        scene.release.set()
        client.read_answer()
        row = wait_for_settled(scene.gateway, 2)[1]
        assert row.attempts == 1


def test_without_a_queue_what_is_full_refuses(tmp_path: Path) -> None:
    with queueing(tmp_path, None) as scene:
        scene.occupy()
        head, body = ask(scene.gateway)
        assert (head.status, head.header("retry-after")) == (503, "1")
        assert b"server_is_overloaded" in body.payload
        assert [row.outcome for row in wait_for_settled(scene.gateway)] == ["refused"]
        assert scene.refusals() == {"full": 1}


@pytest.mark.parametrize("queue", [None, {}])
def test_another_target_with_room_serves_at_once(tmp_path: Path, queue: dict[str, Any] | None) -> None:
    with queueing(tmp_path, queue, upstreams=2) as scene:
        scene.occupy()
        assert ask(scene.gateway)[1].payload == REWRITTEN_STREAM
        (row,) = wait_for_settled(scene.gateway)
        assert (row.upstream, row.attempts) == ("vendor2", 1)


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_waiting": 1}) as scene:
        scene.occupy()
        scene.ask_later()
        assert ask(scene.gateway)[0].status == 503
        assert scene.refusals() == {"full": 1}
        assert scene.length() == 1


def test_the_wait_is_bounded(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 0.15}) as scene:
        scene.occupy()
        head, _ = ask(scene.gateway)
        assert (head.status, head.header("retry-after")) == (503, "1")
        (row,) = wait_for_settled(scene.gateway)
        assert (row.outcome, row.upstream, row.attempts, row.cost) == ("refused", "", 0, 0)
        assert (scene.length(), scene.refusals()) == (0, {"timeout": 1})


def test_one_that_leaves_is_out_at_once_and_not_sent(tmp_path: Path) -> None:
    with queueing(tmp_path, {}) as scene:
        scene.occupy()
        scene.ask_later().close()
        wait_until(lambda: scene.length() == 0, "the end of the wait")
        (row,) = wait_for_settled(scene.gateway)
        assert (row.outcome, row.attempts, row.cost) == ("client_closed", 0, 0)
        scene.release.set()
        wait_for_settled(scene.gateway, 2)
        assert len(scene.upstream.requests) == 1
        wait_until(lambda: scene.gateway.call(lambda running: len(running.deadlines)) == 0, "an empty sweeper")


def test_the_priority_of_a_key_decides(tmp_path: Path) -> None:
    with queueing(tmp_path, {"priorities": {"high": 9, "low": 1}}) as scene:
        scene.occupy()
        low = scene.ask_later(LOW)
        high = scene.ask_later(HIGH)
        scene.release.set()
        for client in (low, high):
            client.read_answer()
        names = {row.id: row.key for row in wait_for_settled(scene.gateway, 3)}
        order = sorted(wait_for_settled(scene.gateway, 3), key=lambda row: row.started + row.total)
        keys = {row.key for row in order}
        assert len(keys) == len(names) == 3
        # The rows are by their start; what counts is who ended first.
        by_start = sorted(order, key=lambda row: row.started)
        assert [row.id for row in order] == [by_start[0].id, by_start[2].id, by_start[1].id]


def test_who_waits_gets_heartbeats_where_the_alias_has_them(tmp_path: Path) -> None:
    with queueing(tmp_path, {}, model={"heartbeat_interval": 0.1}) as scene:
        scene.occupy()
        client = scene.ask_later()
        assert client.read_head().status == 200
        assert client.read_chunk() == b": ping\n"
        scene.release.set()
        assert client.read_chunked().payload.replace(b": ping\n", b"") == REWRITTEN_STREAM


def test_a_shutdown_ends_the_wait(tmp_path: Path) -> None:
    with queueing(tmp_path, {}) as scene:
        scene.occupy()
        client = scene.ask_later()
        scene.gateway.call(lambda running: running.interrupt())
        head, body = client.read_answer()
        assert (head.status, b"gateway_shutdown" in body.payload) == (503, True)
        rows = wait_for_settled(scene.gateway, 2)
        assert [row.outcome for row in rows] == ["gateway_shutdown"] * 2
        assert scene.length() == 0


# the limits of a provider


def limit(scene: Scene, seconds: int) -> None:
    """Have the upstream say once that it takes no more for so long."""
    scene.upstream.script(json_answer({"error": {"message": "slow down"}}, 429, {"retry-after": str(seconds)}))


def test_a_limit_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    with queueing(tmp_path, {}, upstream={"max_requests": 0, "retry_after_max": 0.0}) as scene:
        limit(scene, 1)
        first = scene.clients.enter_context(scene.gateway.client())
        scene.gateway.chat(first, question())
        scene.upstream.wait_for_requests(1)
        wait_until(lambda: scene.gateway.call(is_limited), "the limit")
        second = scene.ask_later()
        for client in (first, second):
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        one, *others = sorted(one.arrived for one in scene.upstream.requests)
        assert all(other - one >= 0.95 for other in others)
        assert scene.waits() == 1


def is_limited(gateway: Gateway) -> bool:
    aliases = gateway.admission.state.aliases
    return all(target.state.condition.limited_until > 0 for target in aliases[ALIAS].targets)


def test_a_limit_that_ends_too_late_is_a_429_at_once(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 2.0}, upstream={"max_requests": 0}) as scene:
        limit(scene, 30)
        assert ask(scene.gateway)[0].status == 429
        head, body = ask(scene.gateway)
        assert head.status == 429
        assert head.header("retry-after") in ("29", "30")
        assert b"takes no more requests for the moment" in body.payload
        assert len(scene.upstream.requests) == 1
        assert scene.refusals() == {"reset": 1}


# what is off costs nothing


def checks(gateway: Gateway) -> list[type[Policy]]:
    return [type(policy) for policy in gateway.admission._inference.checks]


def test_without_queue_and_bound_the_policy_is_not_there(tmp_path: Path) -> None:
    with queueing(tmp_path, None, upstream={"max_requests": 0}) as scene:
        assert QueuePolicy not in scene.gateway.call(checks)
        scene.gateway.reload(config_of(tmp_path, [scene.upstream.base_url], {}))
        assert QueuePolicy in scene.gateway.call(checks)


def test_who_waits_outlives_a_reload(tmp_path: Path) -> None:
    with queueing(tmp_path, {}) as scene:
        scene.occupy()
        client = scene.ask_later()
        scene.gateway.reload(config_of(tmp_path, [scene.upstream.base_url], {"max_waiting": 7}))
        assert scene.length() == 1
        scene.release.set()
        assert client.read_answer()[1].payload == REWRITTEN_STREAM


def test_a_429_that_says_nothing_is_waited_for_as_the_target_rests(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 30.0}) as scene:
        scene.upstream.script(json_answer({"error": {"message": "slow down"}}, 429))
        assert ask(scene.gateway)[1].payload == REWRITTEN_STREAM
        (row,) = wait_for_settled(scene.gateway, 1)
        assert (row.outcome, row.attempts) == ("complete", 2)


def test_a_429_is_no_longer_waited_for_than_the_queue_has_it_wait(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 0.5}) as scene:
        scene.upstream.script(json_answer({"error": {"message": "slow down"}}, 429))
        assert ask(scene.gateway)[0].status == 429


# who comes while others wait


def reach_limit(gateway: Gateway, place: int) -> None:
    """Have a target of `ALIAS` at the rate limit of its provider for a minute."""
    gateway.admission.state.aliases[ALIAS].targets[place].state.condition.cool("rate_limit", 60.0, monotonic())


def test_a_limit_elsewhere_refuses_none_for_whom_there_is_room(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 5.0}, upstreams=2, upstream={"max_requests": 2}) as scene:
        scene.gateway.call(lambda running: reach_limit(running, 1))
        first = scene.occupy()
        # One that came before, and has not been served yet.
        stuck = Waiter(ALIAS, "another", 0, monotonic(), targets_of(scene), never)
        scene.gateway.call(lambda running: room_of(running).enter(stuck))
        with scene.gateway.client() as client:
            scene.gateway.chat(client, question())
            assert client.read_answer()[0].status == 200
        scene.gateway.call(lambda running: room_of(running).leave(stuck))
        scene.release.set()
        assert first.read_answer()[0].status == 200
        assert scene.refusals() == {}


def targets_of(scene: Scene) -> tuple[Target, ...]:
    return scene.gateway.call(lambda running: running.admission.state.aliases[ALIAS].targets[:1])


def room_of(gateway: Gateway) -> Room:
    (policy,) = [one for one in gateway.admission._policies if isinstance(one, QueuePolicy)]
    return policy._room


def test_one_that_comes_does_not_pass_one_that_waits_for_the_same_upstream(tmp_path: Path) -> None:
    served: list[int] = []

    def take_turn(_: float) -> bool:
        served.append(len(scene.upstream.requests))
        return True

    with queueing(tmp_path, {}) as scene:
        # There is room, which has not been given away yet.
        before = Waiter(ALIAS, "another", DEFAULT_PRIORITY, monotonic(), targets_of(scene), take_turn)
        scene.gateway.call(lambda running: room_of(running).queue.push(before))
        assert ask(scene.gateway)[0].status == 200
        assert served == [0]
        assert scene.waits() == 1


def test_it_waits_no_longer_than_its_client(tmp_path: Path) -> None:
    with queueing(tmp_path, {"max_wait": 30.0}) as scene:
        scene.occupy()
        with scene.gateway.client() as client:
            client.request(
                "POST",
                "/v1/chat/completions",
                msgspec.json.encode(question()),
                {"authorization": f"Bearer {KEY}", "x-stainless-read-timeout": "1"},
            )
            head, _ = client.read_answer()
        # Were its client not looked at, the time of reading would have passed.
        assert head.status == 503
        assert scene.refusals() == {"timeout": 1}
        assert scene.length() == 0


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_who_waits_is_served_where_a_reload_takes_its_upstream_away(tmp_path: Path, change: str) -> None:
    with queueing(tmp_path, {}) as scene, ScriptedUpstream(lambda _: WHOLE) as other:
        first = scene.occupy()
        client = scene.ask_later()
        url = other.base_url if change == "removed" else scene.upstream.base_url
        scene.gateway.reload(config_of(tmp_path, [url], {}, upstream={"max_requests": 3}))
        scene.release.set()
        assert first.read_answer()[0].status == 200
        assert client.read_answer()[1].payload == REWRITTEN_STREAM
