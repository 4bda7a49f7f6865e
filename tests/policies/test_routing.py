"""Routing by whole gateways on real sockets: strategies, several keys, sticky sessions, and targets that are lost."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from proxy.app import Gateway
from proxy.config.tree import Config, Model, Routing, Upstream
from proxy.observability.metrics import Counter as MetricCounter
from proxy.observability.metrics import Gauge
from proxy.upstream.condition import Condition
from tests.exchange.routed import call, config_of, upstreams
from tests.exchange.samples import DONE, HELLO, JSON_ANSWER, ROLE, STOP, USAGE, ended, question, wait_until
from tests.fakes import Hang, Pause, RecordedRequest, Reset, ScriptedUpstream, Step, chunk, head, json_answer
from tests.serving import ALIAS, RunningGateway

ANSWER = json_answer(JSON_ANSWER)
FORBIDDEN = {"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}}


def served_by(fakes: Sequence[ScriptedUpstream]) -> list[int]:
    return [len(fake.requests) for fake in fakes]


def metric(gateway: Gateway, name: str) -> dict[tuple[str, ...], float]:
    family = gateway.admission.state.metrics.families[name]
    if isinstance(family, Gauge):
        return dict(family.read())
    assert isinstance(family, MetricCounter)
    return {labels: float(value) for labels, value in family.values.items()}


def test_weights_share_requests_and_the_head_names_the_strategy(tmp_path: Path) -> None:
    routing = Routing(strategy="weighted", weights={"vendor1/vendor-model-2026-08-07": 3})
    with upstreams(2, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, routing)) as gateway:
        heads = [call(gateway)[0] for _ in range(8)]
        assert served_by(fakes) == [6, 2]
        assert {one.header("x-prism-routing-strategy") for one in heads} == {"weighted"}
        assert {one.header("x-prism-fallback-used") for one in heads} == {None}


def test_a_drained_target_gets_nothing(tmp_path: Path) -> None:
    routing = Routing(strategy="weighted", weights={"vendor1/vendor-model-2026-08-07": 0})
    with upstreams(2, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, routing)) as gateway:
        assert {call(gateway)[0].status for _ in range(4)} == {200}
        assert served_by(fakes) == [0, 4]


def test_without_routing_the_head_names_no_strategy(tmp_path: Path) -> None:
    with upstreams(1, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, None)) as gateway:
        assert call(gateway)[0].header("x-prism-routing-strategy") is None


def slow(seconds: float) -> list[Step]:
    """A stream whose role comes at once, and whose content does not."""
    events = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    rest = [chunk(one) for one in (HELLO, STOP, USAGE, DONE)]
    return [head(200, events), chunk(ROLE), Pause(seconds), *rest, *ended()[-1:]]


def test_fastest_goes_by_the_first_content_and_not_by_the_head(tmp_path: Path) -> None:
    with (
        upstreams(1, slow(0.15)) as (late,),
        upstreams(1, slow(0.0)) as (early,),
        RunningGateway(config_of(tmp_path, [late, early], Routing(strategy="fastest"))) as gateway,
    ):
        assert {call(gateway, question())[0].status for _ in range(20)} == {200}
        assert len(early.requests) > 2 * len(late.requests)
        times = gateway.call(lambda running: metric(running, "prometheus_gateway_target_ttft_seconds"))
        assert set(times) <= {(ALIAS, "vendor1", "1"), (ALIAS, "vendor2", "2")}
        assert gateway.call(lambda running: metric(running, "prometheus_gateway_target_in_flight")) == {
            (ALIAS, "vendor1", "1"): 0.0,
            (ALIAS, "vendor2", "2"): 0.0,
        }


# several keys


def by_key(bad: Callable[[str], Sequence[Step] | None]) -> Callable[[RecordedRequest], Sequence[Step]]:
    def respond(request: RecordedRequest) -> Sequence[Step]:
        return bad((request.header("authorization") or "").removeprefix("Bearer ")) or ANSWER

    return respond


def keys_config(data_dir: Path, fake: ScriptedUpstream, *keys: str, strategy: str = "order") -> Config:
    config = config_of(data_dir, [fake], Routing(strategy=strategy))  # type: ignore[arg-type]
    upstream = Upstream(base_url=fake.base_url, api_keys=list(keys), warm_connections=0)
    return msgspec.structs.replace(config, upstreams={"vendor1": upstream})


def used(fake: ScriptedUpstream) -> list[str]:
    return [(one.header("authorization") or "").removeprefix("Bearer sk-upstream-") for one in fake.requests]


ONE, TWO, THREE = "sk-upstream-one", "sk-upstream-two", "sk-upstream-three"


def test_requests_are_spread_over_the_keys_of_an_upstream(tmp_path: Path) -> None:
    with (
        upstreams(1, ANSWER) as (fake,),
        RunningGateway(keys_config(tmp_path, fake, ONE, TWO, strategy="weighted")) as gateway,
    ):
        assert {call(gateway)[0].status for _ in range(6)} == {200}
        assert Counter(used(fake)) == {"one": 3, "two": 3}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_left_out_and_the_next_one_serves(tmp_path: Path, status: int) -> None:
    handler = by_key(lambda key: json_answer(FORBIDDEN, status) if key == ONE else None)
    with ScriptedUpstream(handler) as fake, RunningGateway(keys_config(tmp_path, fake, ONE, TWO)) as gateway:
        assert {call(gateway)[0].status for _ in range(3)} == {200}
        assert used(fake) == ["one", "two", "two", "two"]
        healthy = gateway.call(lambda running: metric(running, "prometheus_gateway_target_healthy"))
        assert healthy == {(ALIAS, "vendor1", "1"): 0.0, (ALIAS, "vendor1", "2"): 1.0}
        fell_back = gateway.call(lambda running: metric(running, "prometheus_gateway_fallbacks_total"))
        assert fell_back == {(ALIAS, "target", "credential"): 1.0}


def test_without_a_good_key_the_client_gets_a_502_that_names_none(tmp_path: Path) -> None:
    five = [f"sk-upstream-{number}-long-enough" for number in range(5)]
    with (
        ScriptedUpstream(by_key(lambda _: json_answer(FORBIDDEN, 401))) as fake,
        RunningGateway(keys_config(tmp_path, fake, *five)) as gateway,
    ):
        response, body = call(gateway)
        assert response.status == 502
        assert len(fake.requests) == 5, "each key was tried once"
        assert not [key for key in five if key.encode() in body.payload or key in gateway.log.getvalue()]


def test_a_bad_key_is_used_again_once_the_configuration_has_another(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(by_key(lambda key: json_answer(FORBIDDEN, 401) if key == ONE else None)) as fake,
        RunningGateway(keys_config(tmp_path, fake, ONE, TWO)) as gateway,
    ):
        call(gateway)
        gateway.reload(keys_config(tmp_path, fake, THREE, TWO))
        assert call(gateway)[0].status == 200
        assert used(fake) == ["one", "two", "three"]


def test_a_key_at_its_rate_limit_rests_for_as_long_as_the_upstream_says(tmp_path: Path) -> None:
    limited = json_answer({"error": {"message": "slow down", "type": "requests"}}, 429, {"retry-after": "30"})
    with (
        ScriptedUpstream(by_key(lambda key: limited if key == ONE else None)) as fake,
        RunningGateway(keys_config(tmp_path, fake, ONE, TWO)) as gateway,
    ):
        assert {call(gateway)[0].status for _ in range(3)} == {200}
        assert used(fake) == ["one", "two", "two", "two"]


def test_no_repr_has_a_key(tmp_path: Path) -> None:
    with upstreams(1, ANSWER) as (fake,), RunningGateway(keys_config(tmp_path, fake, ONE, TWO)) as gateway:
        alias = gateway.call(lambda running: running.admission.state.aliases[ALIAS])
        words = repr(alias) + repr(gateway.config) + repr([one.label for one in alias.targets])
        assert "sk-upstream" not in words
        assert [one.label for one in alias.targets] == [
            "vendor1/vendor-model-2026-08-07",
            "vendor1/vendor-model-2026-08-07#2",
        ]


# sticky sessions


def turns(count: int) -> list[dict[str, object]]:
    """The requests of a conversation, each longer than the one before."""
    messages: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    found: list[dict[str, object]] = []
    for number in range(count):
        found.append(question(stream=False, messages=list(messages)))
        messages += [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": f"More {number}"}]
    return found


def test_100_turns_of_a_conversation_stay_on_one_target(tmp_path: Path) -> None:
    routing = Routing(strategy="weighted", sticky="prefix")
    with upstreams(3, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, routing)) as gateway:
        assert {call(gateway, body)[0].status for body in turns(100)} == {200}
        assert max(served_by(fakes)) >= 95
        tokens = gateway.call(lambda running: metric(running, "prometheus_gateway_routed_input_tokens_total"))
        assert tokens == {(ALIAS, "weighted", "prefix"): 900.0}


@pytest.mark.parametrize("header", ["x-prism-session-id", "x-claude-code-session-id", "x-session-affinity"])
def test_a_session_that_the_head_names_stays_on_one_target(tmp_path: Path, header: str) -> None:
    routing = Routing(strategy="weighted", sticky="session")
    with upstreams(2, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, routing)) as gateway:
        for number in range(10):
            assert call(gateway, question(stream=False, n=1, seed=number), **{header: "s1"})[0].status == 200
        assert sorted(served_by(fakes)) == [0, 10]


def test_a_session_whose_target_failed_stays_where_it_went(tmp_path: Path) -> None:
    routing = Routing(strategy="weighted", sticky="session")
    with upstreams(2, ANSWER) as fakes, RunningGateway(config_of(tmp_path, fakes, routing)) as gateway:
        call(gateway, x_prism_session_id="s1")
        home = served_by(fakes).index(1)
        fakes[home].script([Reset()], times=2)
        response, _ = call(gateway, x_prism_session_id="s1")
        assert (response.status, response.header("x-prism-fallback-used")) == (200, "true")
        before = served_by(fakes)[home]
        for _ in range(5):
            assert call(gateway, x_prism_session_id="s1")[0].header("x-prism-fallback-used") is None
        assert served_by(fakes)[home] == before


# targets that are killed, stalled and slowed under load


@pytest.mark.parametrize("strategy", ["order", "weighted", "fastest", "least-busy"])
@pytest.mark.parametrize("fault", ["killed", "stalled", "failing"])
def test_clients_see_200s_while_a_target_is_lost(tmp_path: Path, strategy: str, fault: str) -> None:
    steps: dict[str, list[Step]] = {
        "killed": [Reset()],
        "stalled": [Hang()],
        "failing": json_answer({"error": {"message": "x"}}, 503),
    }
    lost = threading.Event()

    def respond(_: RecordedRequest) -> Sequence[Step]:
        return steps[fault] if lost.is_set() else ANSWER

    with ScriptedUpstream(respond) as one, upstreams(1, ANSWER) as (two,):
        settings = {"first_byte_timeout": 0.3, "retry_budget_percent": 100}
        config = config_of(tmp_path, [one, two], Routing(strategy=strategy), upstream=settings)  # type: ignore[arg-type]
        with RunningGateway(config) as gateway:
            statuses: list[int] = []

            def client() -> None:
                for number in range(12):
                    if number == 4:
                        lost.set()
                    statuses.append(call(gateway)[0].status)

            threads = [threading.Thread(target=client) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert Counter(statuses) == {200: 48}
            rows = gateway.rows()
            assert {row.outcome for row in rows} == {"complete"}
            retried = [row for row in rows if row.attempts > 1]
            assert {row.upstream for row in retried} <= {"vendor2"}
            assert retried or strategy == "fastest"
            assert sum(row.attempts for row in rows) == len(one.requests) + len(two.requests)
            wait_until(lambda: set(in_flight(gateway)) == {0.0}, "the end of all attempts")


def in_flight(gateway: RunningGateway) -> list[float]:
    return list(gateway.call(lambda running: metric(running, "prometheus_gateway_target_in_flight")).values())


def test_fastest_leaves_a_target_that_slows_under_load(tmp_path: Path) -> None:
    slowed = threading.Event()

    def respond(_: RecordedRequest) -> Sequence[Step]:
        return [Pause(0.3), *ANSWER] if slowed.is_set() else ANSWER

    def respond_late(_: RecordedRequest) -> Sequence[Step]:
        return [Pause(0.05), *ANSWER]

    with (
        ScriptedUpstream(respond) as fast,
        ScriptedUpstream(respond_late) as even,
        RunningGateway(config_of(tmp_path, [fast, even], Routing(strategy="fastest"))) as gateway,
    ):
        for _ in range(20):
            assert call(gateway)[0].status == 200
        slowed.set()
        before = len(fast.requests)
        assert before >= 15
        for _ in range(10):
            assert call(gateway)[0].status == 200
        assert len(fast.requests) - before <= 2


def test_in_flight_is_nothing_after_clients_that_left(tmp_path: Path) -> None:
    with upstreams(2) as fakes, RunningGateway(config_of(tmp_path, fakes, Routing(strategy="least-busy"))) as gateway:
        for fake in fakes:
            fake.script([Hang()], times=10)
        for _ in range(6):
            with gateway.client() as client:
                gateway.chat(client, question())
                wait_until(lambda: sum(in_flight(gateway)) > 0, "an attempt")
        wait_until(lambda: sum(in_flight(gateway)) == 0, "the end of all attempts")


def test_a_gateway_without_routing_has_no_such_policy_in_its_plan(tmp_path: Path) -> None:
    with upstreams(1, ANSWER) as (fake,):
        plain = config_of(tmp_path, [fake], None)
        with RunningGateway(plain) as gateway:
            names = gateway.call(lambda running: policies(running))
            assert "RoutingPolicy" not in names
            gateway.reload(config_of(tmp_path, [fake], Routing(strategy="fastest")))
            assert "RoutingPolicy" in gateway.call(lambda running: policies(running))


def policies(gateway: Gateway) -> list[str]:
    return [type(one).__name__ for one in gateway.admission._inference.checks]


def test_an_alias_of_several_keys_counts_its_targets_without_routing_of_its_own(tmp_path: Path) -> None:
    with upstreams(1, ANSWER) as (fake,):
        config = keys_config(tmp_path, fake, ONE, TWO)
        models = {ALIAS: Model(capability="chat", targets=config.models[ALIAS].targets)}
        with RunningGateway(msgspec.structs.replace(config, models=models)) as gateway:
            assert call(gateway)[0].header("x-prism-routing-strategy") is None
            assert used(fake) == ["one"]


def test_the_only_target_is_measured_by_its_first_content_too(tmp_path: Path) -> None:
    with upstreams(1, slow(0.2)) as fakes, RunningGateway(config_of(tmp_path, fakes, Routing())) as gateway:
        assert call(gateway, question())[0].status == 200
        (seconds,) = gateway.call(lambda running: metric(running, "prometheus_gateway_target_ttft_seconds")).values()
        assert seconds >= 0.19


def test_a_probe_that_streams_well_brings_its_target_back(tmp_path: Path) -> None:
    with upstreams(1, slow(0.0)) as fakes, RunningGateway(config_of(tmp_path, fakes, Routing())) as gateway:

        def condition(running: Gateway) -> Condition:
            return running.admission.state.aliases[ALIAS].targets[0].state.condition

        gateway.call(lambda running: condition(running).cool("rate_limit", 0.0, 0.0))
        assert gateway.call(lambda running: condition(running).out)
        assert call(gateway, question())[0].status == 200
        assert not gateway.call(lambda running: condition(running).out)
