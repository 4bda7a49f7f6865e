"""Admission: every policy runs once per request, at every kind of endpoint, and learns of its end exactly once."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.errors import GatewayError, InvalidRequest, Overloaded
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin, ResponseObserver
from proxy.exchange.replay import ReplayOrigin, StoredResponse
from proxy.ledger.record import UsageRecord
from proxy.policies.base import WAIT, GatewayState, Policy
from tests.exchange.samples import JSON_ANSWER, MESSAGES, wait_until
from tests.fakes import ScriptedUpstream, WaitFor, json_answer
from tests.resources.samples import KEY, ask_json, record_owner
from tests.serving import ALIAS, RunningGateway, simple_config

CHAT = {"model": ALIAS, "messages": MESSAGES}
RESPONSE = {"id": "resp_2", "object": "response", "status": "completed", "model": "m", "output": []}


class Counting(Policy):
    """Counts what it is asked and told."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        self.admitted: list[str] = []
        self.finals: list[UsageRecord] = []
        self.ended = threading.Event()
        self.refusal: GatewayError | None = None

    def admit(self, context: RequestContext) -> Origin | None:
        self.admitted.append(context.id)
        if self.refusal is not None:
            raise self.refusal
        return None

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        assert final.id == context.id
        self.finals.append(final)
        self.ended.set()


class Made:
    """Makes one policy for a gateway, and knows it afterwards."""

    def __init__(self, make: Callable[[GatewayState], Counting] = Counting) -> None:
        self._make = make
        self.made: list[Counting] = []

    def __call__(self, state: GatewayState) -> Counting:
        self.made.append(self._make(state))
        return self.made[-1]

    @property
    def policy(self) -> Counting:
        (policy,) = self.made
        return policy


def chat(gateway: RunningGateway, body: Any = CHAT) -> tuple[int, Any]:
    return ask_json(gateway, "POST", "/v1/chat/completions", body)


def test_a_policy_runs_once_and_is_told_of_the_end_once(tmp_path: Path) -> None:
    made = Made()
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        upstream.script(json_answer(JSON_ANSWER))
        assert chat(gateway)[0] == 200
        (row,) = gateway.rows()
        assert made.policy.admitted == [row.id]
        assert made.policy.finals == [row]


def test_a_request_that_names_an_object_is_admitted_once_under_one_id(tmp_path: Path) -> None:
    made = Made()
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        record_owner(gateway, "resp_1", "response")
        upstream.script(json_answer(RESPONSE))
        body = {"model": ALIAS, "input": "go on", "previous_response_id": "resp_1"}
        assert ask_json(gateway, "POST", "/v1/responses", body)[0] == 200
        (row,) = gateway.rows()
        assert made.policy.admitted == [row.id]
        assert [final.id for final in made.policy.finals] == [row.id]


def test_policies_run_at_resource_endpoints_too(tmp_path: Path) -> None:
    made = Made()
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        upstream.script(json_answer({"id": "thread_1", "object": "thread"}))
        assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 200
        (row,) = gateway.rows()
        assert made.policy.admitted == [row.id]
        assert [final.id for final in made.policy.finals] == [row.id]
        made.policy.refusal = Overloaded("Not now.")
        assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 503
        assert len(upstream.requests) == 1
        assert len(made.policy.finals) == 1, "what it did not admit it is not told of"


def test_policies_outlive_a_reload(tmp_path: Path) -> None:
    made = Made()
    with ScriptedUpstream() as upstream:
        config = simple_config(tmp_path, upstream.base_url)
        with RunningGateway(config, made) as gateway:
            upstream.script(json_answer(JSON_ANSWER), times=2)
            assert chat(gateway)[0] == 200
            models = {"renamed": config.models[ALIAS]}
            gateway.reload(msgspec.structs.replace(config, models=models))
            assert chat(gateway)[0] == 404
            assert chat(gateway, {**CHAT, "model": "renamed"})[0] == 200
            assert len(made.policy.admitted) == 2, "the alias is checked before it"


def test_a_later_refusal_is_told_to_the_policies_before_it_and_not_to_those_behind(tmp_path: Path) -> None:
    first, second, third = Made(), Made(), Made()
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9"), first, second, third) as gateway:
        second.policy.refusal = InvalidRequest("No.", code="no")
        assert chat(gateway)[0] == 400
        (row,) = gateway.rows()
        assert (row.outcome, row.error_code, row.alias) == ("refused", "no", ALIAS)
        assert first.policy.finals == [row]
        assert second.policy.finals == third.policy.finals == []
        assert third.policy.admitted == []


class Waiting(Counting):
    """Lets a request wait for its second half."""

    def admit(self, context: RequestContext) -> Origin | None:
        super().admit(context)
        return WAIT

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.sleep(0.001)
        self.admitted.append(f"{context.id} later")
        return None


class OnlyWaiting(Counting):
    """Has nothing but the half that waits."""

    admit = Policy.admit

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.sleep(0.001)
        return super().admit(context)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_a_policy_may_wait_and_the_others_keep_their_order(tmp_path: Path, path: str) -> None:
    before, waiting, behind = Made(), Made(Waiting), Made()
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    with RunningGateway(config, before, waiting, behind) as gateway:
        behind.policy.refusal = InvalidRequest("No.")
        assert ask_json(gateway, "POST", path, CHAT if "chat" in path else {})[0] == 400
        (row,) = gateway.rows()
        assert before.policy.admitted == behind.policy.admitted == [row.id]
        assert waiting.policy.admitted == [row.id, f"{row.id} later"]
        assert [final.id for final in waiting.policy.finals] == [row.id]


def test_a_policy_that_only_waits_is_awaited(tmp_path: Path) -> None:
    made = Made(OnlyWaiting)
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        upstream.script(json_answer(JSON_ANSWER))
        assert chat(gateway)[0] == 200
        (row,) = gateway.rows()
        assert made.policy.finals == [row]


class Stuck(Counting):
    """Holds a request for as long as its client is there."""

    def admit(self, context: RequestContext) -> Origin | None:
        return WAIT

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.sleep(0.2)
        return None


def test_a_client_that_leaves_during_the_wait_is_told_to_the_policies(tmp_path: Path) -> None:
    first, stuck = Made(), Made(Stuck)
    with ScriptedUpstream() as upstream:
        config = simple_config(tmp_path, upstream.base_url)
        with RunningGateway(config, first, stuck) as gateway:
            with gateway.client() as client:
                gateway.chat(client, CHAT)
            assert first.policy.ended.wait(5)
            (row,) = gateway.rows()
            assert row.outcome == "client_closed"
            assert first.policy.finals == [row]
            assert upstream.requests == []


def test_a_client_that_leaves_its_upstream_is_told_to_the_policies_once(tmp_path: Path) -> None:
    made = Made()
    hold = threading.Event()
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        upstream.script([WaitFor(hold)])
        with gateway.client() as client:
            gateway.chat(client, CHAT)
            upstream.wait_for_requests(1)
        assert made.policy.ended.wait(5)
        hold.set()
        assert [final.outcome for final in made.policy.finals] == ["client_closed"]


class Broken(Counting):
    """Fails by a fault of its own."""

    def admit(self, context: RequestContext) -> Origin | None:
        raise RuntimeError("broken")


def test_the_fault_of_a_policy_is_a_500_and_told_to_those_before_it(tmp_path: Path) -> None:
    first = Made()
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    with RunningGateway(config, first, Made(Broken)) as gateway:
        with gateway.client() as client:
            gateway.chat(client, CHAT)
            head, _ = client.read_answer()
        (row,) = gateway.rows()
        assert (head.status, head.header("X-Prism-Request-Id")) == (500, row.id)
        assert (row.status, row.error_code) == (500, "internal_error")
        assert first.policy.finals == [row]


class Following(Policy):
    """Admits nothing, and follows everything."""

    seen: list[tuple[str, int, str]] = []  # noqa: RUF012 (one gateway has it)

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        self.seen.append((context.endpoint, final.status, context.key.name))


def test_a_policy_without_an_admission_follows_every_request(tmp_path: Path) -> None:
    Following.seen.clear()
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9"), Following) as gateway:
        assert ask_json(gateway, "POST", "/v1/chat/completions", CHAT, key="prom_sk_wrong")[0] == 401
        assert chat(gateway, {**CHAT, "model": "none"})[0] == 404
        assert ask_json(gateway, "GET", "/v1/files/file_1")[0] == 404
        assert Following.seen == [
            ("/v1/chat/completions", 401, ""),
            ("/v1/chat/completions", 404, "test"),
            ("/v1/files/{file_id}", 404, "test"),
        ]
        assert KEY


class Labelled(Policy):
    """Adds a header line to every response."""

    before_body = True

    def admit(self, context: RequestContext) -> Origin | None:
        context.lines += b"x-added: yes\r\n"
        return None


def test_header_lines_of_policies_are_on_responses_and_refusals(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), Labelled) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        for body in (CHAT, {**CHAT, "model": "none"}):
            gateway.chat(client, body)
            head, _ = client.read_answer()
            assert head.header("x-added") == "yes"
        client.request("GET", "/v1/files/file_1", b"", {"authorization": f"Bearer {KEY}"})
        assert client.read_answer()[0].header("x-added") == "yes"


class Held(Waiting):
    """Holds a request for longer than any test."""

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.sleep(60)
        return None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_a_shutdown_during_the_wait_settles_the_request(tmp_path: Path, path: str) -> None:
    first, held = Made(), Made(Held)
    config = simple_config(tmp_path, "http://127.0.0.1:9", server={"shutdown_timeout": 0.5})
    with RunningGateway(config, first, held) as gateway, gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, msgspec.json.encode(CHAT if "chat" in path else {}), headers)
        wait_until(lambda: bool(held.policy.admitted), "waiting")
        gateway.begin_stop()
        assert client.read_answer()[0].status == 503
    assert [final.outcome for final in first.policy.finals] == ["gateway_shutdown"]
    assert held.policy.finals == []


async def failing() -> None:
    raise LookupError("canary")


class Failing(Waiting):
    """Awaits what fails."""

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.get_running_loop().create_task(failing())
        return None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_what_a_policy_awaits_may_fail(tmp_path: Path, path: str) -> None:
    first, failed = Made(), Made(Failing)
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9"), first, failed) as gateway:
        assert ask_json(gateway, "POST", path, CHAT if "chat" in path else {})[0] == 500
        (row,) = gateway.rows()
        assert (row.status, row.error_code) == (500, "internal_error")
        assert (first.policy.finals, failed.policy.finals) == ([row], [])
        assert gateway.call(lambda running: running.overload.others) == 0


class Responding(Counting):
    """Returns an origin for everything."""

    def admit(self, context: RequestContext) -> Origin | None:
        super().admit(context)
        return ReplayOrigin(context, StoredResponse(200, b"", False, (b"{}",)))


class RespondingEarly(Responding):
    before_body = True


class RespondingLater(Responding):
    before_body = True

    def admit(self, context: RequestContext) -> Origin | None:
        return WAIT

    async def admit_async(self, context: RequestContext) -> Origin | None:
        await asyncio.sleep(0.001)
        return super().admit(context)


@pytest.mark.parametrize("policy", [RespondingEarly, RespondingLater])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_an_origin_where_none_can_respond_fails_the_request(tmp_path: Path, path: str, policy: Any) -> None:
    # Without that the policies behind it would be passed over.
    responding, behind = Made(policy), Made()
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), responding, behind) as gateway,
    ):
        assert ask_json(gateway, "POST", path, CHAT if "chat" in path else {})[0] == 500
        assert (upstream.requests, behind.policy.admitted, responding.policy.finals) == ([], [], [])
        assert len(gateway.rows()) == 1


def test_an_origin_at_a_resource_endpoint_fails_the_request(tmp_path: Path) -> None:
    before, behind = Made(), Made()
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), before, Made(Responding), behind) as gateway,
    ):
        assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 500
        assert (upstream.requests, behind.policy.admitted) == ([], [])
        assert before.policy.finals == gateway.rows()
        assert chat(gateway) == (200, {})


class Ends(ResponseObserver):
    def __init__(self) -> None:
        self.ends: list[tuple[str, bool]] = []

    def end(self, final: UsageRecord, whole: bool) -> None:
        self.ends.append((final.outcome, whole))


class Observing(Counting):
    """Puts one observer on every request."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        self.observer = Ends()

    def admit(self, context: RequestContext) -> Origin | None:
        context.observers += (self.observer,)
        return super().admit(context)


def test_an_observer_at_a_resource_endpoint_fails_the_request(tmp_path: Path) -> None:
    # A guardrail that was to see a response must not be passed over in silence.
    made = Made(Observing)
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), made) as gateway:
        assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 500
        assert upstream.requests == []
        assert made.policy.finals == gateway.rows()


def test_observers_learn_of_a_later_refusal(tmp_path: Path) -> None:
    observing, refusing = Made(Observing), Made()
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9"), observing, refusing) as gateway:
        refusing.policy.refusal = InvalidRequest("No.")
        assert chat(gateway)[0] == 400
        assert vars(observing.policy)["observer"].ends == [("refused", False)]
