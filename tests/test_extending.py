"""The examples of docs/extending.md, taken from the page as they stand and run against a whole gateway."""

import gc
import json
import re
import threading
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from proxy.config import presets
from proxy.config.tree import Price, Routing
from proxy.dialects import translate
from proxy.endpoints import router, table
from proxy.routing.strategies import STRATEGIES
from tests.endpoints.forms import FORM, TRANSCRIPTIONS, form
from tests.exchange.samples import COST, DONE, HELLO, JSON_ANSWER, ROLE, STOP, STREAM, begun, ended, question, word
from tests.fakes import LAST_CHUNK, ScriptedUpstream, WaitFor, json_answer
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def example(heading: str) -> ModuleType:
    """The first block of Python below a heading of the page, as a module."""
    text = PAGE.read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    module = ModuleType(heading.replace(" ", "_"))
    line = text[: text.index(found[1])].count("\n")
    exec(compile("\n" * line + found[1], str(PAGE), "exec"), module.__dict__)
    return module


def test_every_section_has_an_example() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert headings
    for heading in headings:
        assert len(vars(example(heading))) > 0


def test_an_endpoint_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "ROWS", (*table.ROWS, example("An endpoint").ROW))
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        body = json.dumps(question(stream=False)).encode()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", "/v1/chat/summaries", body, headers)
        assert client.read_answer()[0].status == 200
        assert upstream.requests[0].target == "/chat/summaries"
        (row,) = gateway.rows()
        assert (row.endpoint, row.input_tokens, row.outcome) == ("/v1/chat/summaries", 9, "complete")


def test_a_preset_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Others have imported the table by its name: the new line goes into the table itself.
    (rows,) = gc.get_referents(presets.PRESETS)
    monkeypatch.setitem(rows, "acme", example("A preset").PRESET)
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, upstream={"kind": "acme"})) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        gateway.chat(client, question(stream=False))
        assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.header("x-acme-key") == "sk-upstream-secret"
        assert request.header("x-acme-version") == "2026-08-01"
        assert request.header("authorization") is None


def test_a_policy_is_a_file_and_a_line(tmp_path: Path) -> None:
    rate_limit = example("A policy")
    # The window of a minute may not end within the test.
    vars(rate_limit)["time"] = SimpleNamespace(time=lambda: 30.0)
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), rate_limit.RateLimitPolicy) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER), times=2)
        heads = []
        for _ in range(3):
            gateway.chat(client, question(stream=False))
            heads.append(client.read_answer()[0])
        assert [head.status for head in heads] == [200, 200, 429]
        assert [head.header("x-ratelimit-remaining-requests") for head in heads] == ["1", "0", "0"]
        assert heads[2].header("retry-after") == "30"
        assert [row.outcome for row in gateway.rows()] == ["complete", "complete", "refused"]


def test_an_observer_aborts_a_stream_that_has_begun(tmp_path: Path) -> None:
    seen = threading.Event()
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), example("An observer").WordGuardPolicy) as gateway,
        gateway.client() as client,
    ):
        upstream.script([*begun(ROLE, HELLO), WaitFor(seen), *ended(word("hunter2"), STOP, DONE)[1:]])
        gateway.chat(client, question())
        client.read_until(b"Hello")
        seen.set()
        rest = client.read_all()
        assert b"forbidden" in rest
        assert b"hunter2" not in rest
        assert not rest.endswith(LAST_CHUNK)
        (row,) = gateway.rows()
        assert row.error_code == "forbidden"


def test_an_observer_replaces_a_response_that_has_not_begun(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), example("An observer").WordGuardPolicy) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        upstream.script(json_answer(json.loads(json.dumps(JSON_ANSWER).replace("Hello", "hunter2"))))
        gateway.chat(client, question(stream=False))
        assert client.read_answer()[0].status == 200
        gateway.chat(client, question(stream=False))
        head, body = client.read_answer()
        assert (head.status, json.loads(body.payload)["error"]["code"]) == (403, "forbidden")


def test_an_origin_responds_in_place_of_the_upstreams(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url), example("An origin").MockPolicy) as gateway,
        gateway.client() as client,
    ):
        gateway.chat(client, question(stream=False))
        head, body = client.read_answer()
        assert (head.status, json.loads(body.payload)["model"]) == (200, ALIAS)
        assert json.loads(body.payload)["choices"][0]["message"]["content"] == "The model is away until Monday."
        upstream.script(ended(STREAM))
        gateway.chat(client, question())
        assert client.read_answer()[1].complete
        assert len(upstream.requests) == 1
        rows = gateway.rows()
        assert [(row.outcome, row.attempts, row.cost) for row in rows] == [("complete", 0, 0), ("complete", 1, COST)]


def test_a_cache_replays_a_stream(tmp_path: Path) -> None:
    cache = example("A cache").CachePolicy
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url), cache) as gateway:
        upstream.script(ended(STREAM))
        bodies = []
        for _ in range(2):
            with gateway.client() as client:
                gateway.chat(client, question())
                bodies.append(client.read_answer())
        first, second = bodies
        assert second[0].status == 200
        assert second[0].header("content-type") == first[0].header("content-type")
        assert second[1].complete
        assert second[1].payload == first[1].payload
        assert len(upstream.requests) == 1
        assert [(row.attempts, row.cost) for row in gateway.rows()] == [(1, COST), (0, 0)]


def test_a_cache_keeps_nothing_of_forms(tmp_path: Path) -> None:
    # Their fields are not known when it is asked: two recordings would look the same.
    cache, model = example("A cache").CachePolicy, {"capability": "audio", "price": None}
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, model=model), cache) as gateway,
    ):
        for text in ("one", "two"):
            upstream.script(json_answer({"text": text}))
            with gateway.client() as client:
                headers = {"authorization": f"Bearer {KEY}", "content-type": FORM}
                client.request("POST", TRANSCRIPTIONS, form(content=text.encode()), headers)
                assert json.loads(client.read_answer()[1].payload) == {"text": text}


def test_an_observer_aborts_the_response_of_an_origin(tmp_path: Path) -> None:
    guard, mock = example("An observer"), example("An origin")
    vars(mock)["TEXTS"] = {ALIAS: "It is hunter2."}
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    with RunningGateway(config, guard.WordGuardPolicy, mock.MockPolicy) as gateway, gateway.client() as client:
        gateway.chat(client, question(stream=False))
        head, body = client.read_answer()
        assert (head.status, json.loads(body.payload)["error"]["code"]) == (403, "forbidden")
        (row,) = gateway.rows()
        assert (row.status, row.outcome) == (403, "refused")


def test_a_translation_is_a_file_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate, "CONVERSATIONS", (example("A translation").ChatToToy(),))
    config = partial(simple_config, tmp_path, upstream={"kind": "anthropic"})
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(config(upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer({"said": "Hi", "used": [9, 2]}))
        gateway.chat(client, question(stream=False))
        head, body = client.read_answer()
        value = json.loads(body.payload)
        assert (head.status, value["model"], value["choices"][0]["message"]["content"]) == (200, ALIAS, "Hi")
        (request,) = upstream.requests
        assert json.loads(request.body) == {"ask": "hello", "who": UPSTREAM_MODEL}
        (row,) = gateway.rows()
        assert (row.outcome, row.input_tokens, row.output_tokens) == ("complete", 9, 2)
        upstream.script(json_answer({"said": "Hi"}))
        gateway.chat(client, question(stream=False))
        head, body = client.read_answer()
        assert (head.status, json.loads(body.payload)["error"]["code"]) == (502, "upstream_protocol_error")


def test_a_strategy_is_a_file_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "least-busy", example("A strategy").CheapestIdle)
    go = threading.Event()
    with ScriptedUpstream() as dear, ScriptedUpstream() as cheap:
        targets = [f"vendor{number}/{UPSTREAM_MODEL}" for number in (1, 2)]
        costs = {
            name: Price(input=Decimal(cost), output=Decimal(1)) for name, cost in zip(targets, (9, 1), strict=True)
        }
        model = {"routing": Routing(strategy="least-busy"), "costs": costs}
        for upstream in (dear, cheap):
            upstream.script([WaitFor(go), *json_answer(JSON_ANSWER)], times=3)
        with (
            RunningGateway(simple_config(tmp_path, dear.base_url, cheap.base_url, model=model)) as gateway,
            gateway.client() as one,
            gateway.client() as two,
            gateway.client() as three,
        ):
            for count, client in enumerate((one, two), 1):
                gateway.chat(client, question(stream=False))
                cheap.wait_for_requests(count)
            gateway.chat(three, question(stream=False))
            dear.wait_for_requests(1)
            go.set()
            assert [client.read_answer()[0].status for client in (one, two, three)] == [200] * 3
