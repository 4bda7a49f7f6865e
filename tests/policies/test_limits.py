"""Limits over a whole gateway: what passes is counted by the upstream, and what ends gives back what it held."""

import json
import random
import re
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.auth.accounts import Account
from proxy.config.tree import Limits
from proxy.policies.limits import cap_name
from tests.exchange.samples import wait_until
from tests.fakes import Hang, Reset, ScriptedUpstream, Send, Step, WaitFor, chunk, head, json_answer
from tests.policies.limit_samples import (
    OTHER,
    QUESTION,
    answer,
    ask,
    give_account,
    header_fields,
    held,
    in_parallel,
    limited,
    open_stream,
    served,
    statuses,
    usage,
)
from tests.serving import ALIAS, RunningGateway

LARGE_CAP = {"max_tokens": 100}


# how many pass


@pytest.mark.parametrize(
    ("limits", "model"),
    [
        ({"default": Limits(requests="3/day")}, None),
        ({"overall": Limits(requests="3/day")}, None),
        ({"default": Limits(models={ALIAS: Limits(requests="3/day")})}, None),
        ({}, Limits(requests="3/day")),
        ({"default": Limits(requests="9/s, 3/day", concurrent=5)}, Limits(requests="5/day")),
    ],
)
def test_requests_pass_up_to_the_limit(tmp_path: Path, limits: dict[str, Limits], model: Limits | None) -> None:
    with served(tmp_path, answer, model, **limits) as (gateway, upstream):
        assert statuses(gateway, 5) == [200, 200, 200, 429, 429]
        assert len(upstream.requests) == 3


def test_without_limits_nothing_is_counted_and_no_header_is_added(tmp_path: Path) -> None:
    with served(tmp_path, answer) as (gateway, _upstream):
        found, _ = ask(gateway)
        assert header_fields(found) == {}
        names = [type(one).__name__ for one in gateway.call(lambda inside: inside.admission._inference.checks)]
        assert not any("Limit" in name for name in names)


def test_each_key_has_its_own_and_the_team_is_shared(tmp_path: Path) -> None:
    team = Account("team", "team_1", "web", Limits(requests="3/day"))
    with served(tmp_path, answer) as (gateway, _upstream):
        give_account(gateway, OTHER, team, name="one")
        give_account(gateway, OTHER + "2", team, name="two")
        assert statuses(gateway, 2, OTHER) == [200, 200]
        assert statuses(gateway, 2, OTHER + "2") == [200, 429]
        assert statuses(gateway, 4) == [200] * 4
        found, body = ask(gateway, key=OTHER)
        assert found.status == 429
        assert "requests per day of this key's team" in body["error"]["message"]


def test_a_keys_own_limits_stand_in_for_the_default(tmp_path: Path) -> None:
    config = limited(tmp_path, "", default=Limits(requests="1/day"))
    with ScriptedUpstream(answer) as upstream:
        config.upstreams["vendor1"] = limited(tmp_path, upstream.base_url).upstreams["vendor1"]
        with RunningGateway(config) as gateway:
            give_account(gateway, OTHER, Account("key", "key_paying", "paying", Limits(requests="2/day")))
            assert statuses(gateway, 3, OTHER) == [200, 200, 429]
            assert statuses(gateway, 2) == [200, 429]


def test_a_limit_of_one_alias_leaves_the_others_alone(tmp_path: Path) -> None:
    with ScriptedUpstream(answer) as upstream:
        config = limited(tmp_path, upstream.base_url, default=Limits(models={ALIAS: Limits(requests="1/day")}))
        config.models["second"] = config.models[ALIAS]
        with RunningGateway(config) as gateway:
            assert statuses(gateway, 2) == [200, 429]
            assert statuses(gateway, 2, model="second") == [200, 200]


def test_no_more_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    gate = threading.Event()
    begun: list[Step] = [head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})]
    begun += [chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'), WaitFor(gate)]
    with served(tmp_path, answer, default=Limits(concurrent=2)) as (gateway, upstream):
        upstream.script([*begun, chunk(b"data: [DONE]\n\n"), Send(b"0\r\n\r\n")], times=2)
        with open_stream(gateway, QUESTION) as first, open_stream(gateway, QUESTION) as second:
            found, body = ask(gateway)
            assert found.status == 429
            assert "limit 2, which are running" in body["error"]["message"]
            assert found.header("retry-after") == "1"
            gate.set()
            first.read_chunked()
            second.read_chunked()
        wait_until(lambda: held(gateway) == 0, "no running request")
        assert statuses(gateway, 1) == [200]


def test_tokens_are_reserved_by_the_cap_and_settled_by_the_bill(tmp_path: Path) -> None:
    with served(tmp_path, lambda _: usage(10, 30), default=Limits(tokens="240/day")) as (gateway, _upstream):
        left = []
        for _ in range(3):
            found, _ = ask(gateway, {**QUESTION, **LARGE_CAP})
            assert found.status == 200
            left.append(int(header_fields(found)["x-ratelimit-remaining-tokens"]))
        # Each has 100 and its own input reserved while it runs, and is settled at 40.
        assert left[0] - left[1] == left[1] - left[2] == 40
        found, body = ask(gateway, {**QUESTION, **LARGE_CAP})
        assert found.status == 429
        assert body["error"]["type"] == "tokens"
        assert re.search(
            r"tokens per day of this key: limit 240, 120 left and 1\d\d requested", body["error"]["message"]
        )
        assert statuses(gateway, 1, max_tokens=30) == [200]


def test_without_a_cap_the_mean_of_the_alias_is_reserved(tmp_path: Path) -> None:
    with served(tmp_path, lambda _: usage(10, 30), default=Limits(output_tokens="1000/day")) as (gateway, _upstream):
        first, second = (int(header_fields(ask(gateway)[0])["x-ratelimit-remaining-tokens"]) for _ in range(2))
        assert (first, second) == (1_000 - 256, 1_000 - 30 - 30)


def test_a_cap_that_no_limit_ever_lets_through_is_a_bad_request(tmp_path: Path) -> None:
    with served(tmp_path, answer, default=Limits(output_tokens="50/min")) as (gateway, _upstream):
        found, body = ask(gateway, {**QUESTION, "max_completion_tokens": 51})
        assert found.status == 400
        assert body["error"]["param"] == "max_completion_tokens"
        assert "the limit of output tokens per minute of this key" in body["error"]["message"]
        assert statuses(gateway, 1, max_completion_tokens=50) == [200]


def test_a_guess_beyond_the_limit_passes_when_nothing_else_was_taken(tmp_path: Path) -> None:
    with served(tmp_path, lambda _: usage(40, 10), default=Limits(tokens="100/day")) as (gateway, _upstream):
        assert statuses(gateway, 3) == [200, 200, 429]


# what is given back


def test_what_is_refused_is_not_counted(tmp_path: Path) -> None:
    with served(tmp_path, answer, default=Limits(requests="2/day")) as (gateway, _upstream):
        assert statuses(gateway, 3, model="unknown") == [404] * 3
        assert ask(gateway, {"messages": []})[0].status == 400
        assert statuses(gateway, 3) == [200, 200, 429]


def test_a_refusal_by_tokens_gives_the_request_back(tmp_path: Path) -> None:
    limits = Limits(requests="2/day", output_tokens="9/day")
    with served(tmp_path, answer, default=limits) as (gateway, _):
        assert statuses(gateway, 1, max_tokens=5) == [200]
        assert statuses(gateway, 3, max_tokens=8) == [429] * 3
        found, _ = ask(gateway, {**QUESTION, "max_tokens": 5})
        assert found.status == 200
        assert header_fields(found)["x-ratelimit-remaining-requests"] == "0"
        assert held(gateway) == 0


def test_a_failed_upstream_gives_the_tokens_back_and_counts_the_request(tmp_path: Path) -> None:
    refused = json_answer({"error": {"message": "no"}}, 400)
    with served(tmp_path, lambda _: refused, default=Limits(requests="9/day", tokens="500/day")) as (gateway, _):
        heads = [header_fields(ask(gateway, {**QUESTION, **LARGE_CAP})[0]) for _ in range(3)]
        assert len({one["x-ratelimit-remaining-tokens"] for one in heads}) == 1
        assert [one["x-ratelimit-remaining-requests"] for one in heads] == ["8", "7", "6"]


def test_a_client_that_leaves_gives_back_what_it_did_not_use(tmp_path: Path) -> None:
    limits = Limits(tokens="1000/day", concurrent=1)
    with served(tmp_path, lambda _: usage(10, 10), default=limits) as (gateway, upstream):
        upstream.script([Hang()])
        with gateway.client() as client:
            gateway.chat(client, {**QUESTION, "max_tokens": 800})
            upstream.wait_for_requests(1)
            assert statuses(gateway, 1) == [429]
        wait_until(lambda: held(gateway) == 0, "the end of the request")
        assert statuses(gateway, 2, max_tokens=800) == [200, 200]


def test_nothing_is_held_after_a_thousand_random_cancels_and_cuts(tmp_path: Path) -> None:
    rounds, chance = 1_000, random.Random(13)
    begun = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    word = chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n')
    ends: list[list[Step]] = [usage(5, 5), [Reset()], [begun, word, Reset()], [begun, word, Hang()], [Hang()]]
    limits = Limits(
        requests="100000/day", tokens="100000000/day", concurrent=1_000, models={ALIAS: Limits(concurrent=500)}
    )
    with served(tmp_path, lambda _: chance.choice(ends), default=limits) as (gateway, upstream):
        open_clients: list[Any] = []
        for _ in range(rounds):
            client = gateway.client()
            body = {**QUESTION, "stream": True, "max_tokens": chance.randrange(1, 5_000)}
            gateway.chat(client, body if chance.random() < 0.9 else {**body, "model": "unknown"})
            open_clients.append(client)
            while len(open_clients) > chance.randrange(1, 20):
                leaving = open_clients.pop(chance.randrange(len(open_clients)))
                if chance.random() < 0.3:
                    leaving.reset()
                leaving.close()
        for client in open_clients:
            client.close()
        wait_until(lambda: held(gateway) == 0, "no running request", 20.0)
        upstream.handler = answer
        found = header_fields(ask(gateway, {**QUESTION, "max_tokens": 1})[0])
        # What was used has been estimated at less than the text that was sent; nothing of the caps is left.
        assert int(found["x-ratelimit-remaining-tokens"]) > 100_000_000 - rounds * 60


def test_a_reload_goes_on_from_what_was_taken(tmp_path: Path) -> None:
    gate = threading.Event()
    with served(tmp_path, answer, default=Limits(requests="3/day", concurrent=1)) as (gateway, upstream):
        upstream.script([WaitFor(gate), *usage(1, 1)])
        with gateway.client() as client:
            gateway.chat(client, QUESTION)
            upstream.wait_for_requests(1)
            gateway.reload(limited(tmp_path, upstream.base_url, default=Limits(requests="6/day", concurrent=1)))
            assert statuses(gateway, 1) == [429]
            gate.set()
            assert client.read_answer()[0].status == 200
        wait_until(lambda: held(gateway) == 0, "the end of the request")
        # A third of the limit was taken, and is of the new one.
        assert statuses(gateway, 5) == [200, 200, 200, 200, 429]
        gateway.reload(limited(tmp_path, upstream.base_url))
        assert statuses(gateway, 1) == [200]


# 50 clients


def test_fifty_clients_get_exactly_what_is_allowed(tmp_path: Path) -> None:
    with served(tmp_path, answer, default=Limits(requests="20/day")) as (gateway, upstream):
        found = in_parallel(gateway, 50, QUESTION)
        assert (found.count(200), found.count(429)) == (20, 30)
        assert len(upstream.requests) == 20


def test_fifty_clients_use_no_more_tokens_than_they_may(tmp_path: Path) -> None:
    with served(tmp_path, lambda _: usage(20, 10), default=Limits(output_tokens="100/day")) as (gateway, upstream):
        for _ in range(3):
            in_parallel(gateway, 50, {**QUESTION, "max_tokens": 10})
        assert len(upstream.requests) == 10


# what is said


def test_a_refusal_says_it_in_the_callers_dialect(tmp_path: Path) -> None:
    with served(tmp_path, answer, default=Limits(requests="1/day")) as (gateway, _upstream):
        assert statuses(gateway, 1) == [200]
        found, body = ask(gateway)
        error = body["error"]
        assert (found.status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
        match = re.fullmatch(
            r"Rate limit reached for requests per day of this key: limit 1, 0 left; all of it is back in 23h59m[\d.]+s"
            r"\. Please try again in (\d+(\.\d+)?)s\.",
            error["message"],
        )
        assert match is not None
        wait, milliseconds = int(found.header("retry-after") or 0), int(found.header("retry-after-ms") or 0)
        assert wait == -(-milliseconds // 1_000)
        assert milliseconds == round(float(match[1]) * 1_000)
        gemini = f"/v1beta/models/{ALIAS}:generateContent"
        _, body = ask(gateway, {"contents": []}, path=gemini)
        assert body["error"]["status"] == "RESOURCE_EXHAUSTED"
        (delay,) = [one["retryDelay"] for one in body["error"]["details"] if one["@type"].endswith("RetryInfo")]
        assert re.fullmatch(r"\d+\.\d{3}s", delay)
        found, body = ask(gateway, {**QUESTION, "max_tokens": 5}, path="/v1/messages")
        assert body["error"]["type"] == "rate_limit_error"
        assert header_fields(found)["anthropic-ratelimit-requests-remaining"] == "0"
        assert [row.outcome for row in gateway.rows()] == ["complete", "refused", "refused", "refused"]


def test_every_response_has_the_headers_where_a_limit_is_set(tmp_path: Path) -> None:
    requests = {f"x-ratelimit-{one}-requests" for one in ("limit", "remaining", "reset")}
    tokens = {f"x-ratelimit-{one}-tokens" for one in ("limit", "remaining", "reset")}
    limits = Limits(requests="5/day", tokens="100000/day")
    with served(tmp_path, answer, default=limits) as (gateway, _upstream):
        found, _ = ask(gateway)
        assert set(header_fields(found)) == requests | tokens
        assert header_fields(found)["x-ratelimit-limit-requests"] == "5"
        assert header_fields(found)["x-ratelimit-remaining-requests"] == "4"
        assert re.fullmatch(r"4h[\dm.]+s", header_fields(found)["x-ratelimit-reset-requests"])
        assert set(header_fields(ask(gateway, {**QUESTION, "model": "unknown"})[0])) == requests
        found, _ = ask(gateway, path="/v1/files", method="GET")
        assert header_fields(found)["x-ratelimit-remaining-requests"] == "3"


@pytest.mark.parametrize("name", ["x-prism-trace-id", "x-agentcc-user-id"])
def test_the_reset_is_a_unix_time_for_clients_that_send_prism_headers(tmp_path: Path, name: str) -> None:
    with served(tmp_path, answer, default=Limits(requests="60/min")) as (gateway, _upstream):
        found, _ = ask(gateway, headers={name: "abc"})
        assert abs(int(header_fields(found)["x-ratelimit-reset-requests"]) - time.time()) < 5
        found, _ = ask(gateway, headers={"cache-control": "no-cache"})
        assert header_fields(found)["x-ratelimit-reset-requests"].endswith("s")


def test_the_tighter_of_two_limits_is_shown_once(tmp_path: Path) -> None:
    model = Limits(requests="3/day")
    with served(tmp_path, answer, model, default=Limits(requests="9/day")) as (gateway, _upstream):
        found, _ = ask(gateway)
        assert [value for name, value in found.headers if name.lower() == "x-ratelimit-limit-requests"] == ["3"]
        assert header_fields(found)["x-ratelimit-remaining-requests"] == "2"


@pytest.mark.parametrize(("limits", "shown"), [({}, "7"), ({"default": Limits(concurrent=9)}, None)])
def test_the_upstreams_own_limits_never_stand_beside_those_of_the_gateway(
    tmp_path: Path, limits: dict[str, Limits], shown: str | None
) -> None:
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    refused = json_answer(error, 429, {"x-ratelimit-limit-requests": "7"})
    with served(tmp_path, lambda _: refused, **limits) as (gateway, _upstream):
        found, _ = ask(gateway)
        assert found.status == 429
        assert header_fields(found).get("x-ratelimit-limit-requests") == shown


def test_refusals_are_counted_by_their_limit(tmp_path: Path) -> None:
    with served(tmp_path, answer, Limits(requests="1/day")) as (gateway, _upstream):
        statuses(gateway, 3)
        name = "prometheus_gateway_limit_refusals_total"
        values = gateway.call(lambda inside: inside.admission.state.metrics.families[name].values)  # type: ignore[attr-defined]
        assert values == {("model_requests",): 2}


# estimates


def fields_of(body: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in body.items()}


@pytest.mark.parametrize(
    ("body", "cap", "name"),
    [
        ({"max_tokens": 5}, 5, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7, "max_completion_tokens"),
        ({"max_tokens": 500, "max_completion_tokens": 1}, 500, "max_tokens"),
        ({"max_tokens": "5"}, 5, "max_tokens"),
        ({"max_output_tokens": 9}, 9, "max_output_tokens"),
        ({"generationConfig": {"maxOutputTokens": 12}}, 12, "generationConfig.maxOutputTokens"),
    ],
)
def test_the_field_that_caps_the_output_is_named(body: dict[str, Any], cap: int, name: str) -> None:
    assert cap_name(fields_of(body), cap) == name
