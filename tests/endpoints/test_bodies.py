"""Bodies on real sockets: what of them an upstream gets, and what is refused before one is asked."""

import asyncio
import gzip
import inspect
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Config, Kind, Model, Server, Upstream
from proxy.endpoints.inference import Inference
from proxy.wire.schemas import Body
from tests.endpoints.forms import END, FORM, error_of, field, form, send_form, serving
from tests.exchange.samples import wait_until
from tests.fakes import Hang, ScriptedUpstream, json_answer
from tests.resources.samples import OTHER, ask_json, gateway_over, record_owner
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway

CHAT = "/v1/chat/completions"
ANSWER: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": UPSTREAM_MODEL, "choices": [], "usage": None}
DONE: dict[str, Any] = {"id": "m", "type": "message", "model": UPSTREAM_MODEL, "content": []}


@contextmanager
def kind_of_upstream(folder: Path, kind: Kind, **settings: Any) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    """A gateway over one upstream of a kind."""
    with ScriptedUpstream() as upstream:
        config = Config(
            server=Server(data_dir=str(folder), port=0, log_format="json"),
            upstreams={"one": Upstream(kind=kind, base_url=upstream.base_url, warm_connections=0, **settings)},
            models={ALIAS: Model(capability="chat", targets=[f"one/{UPSTREAM_MODEL}"])},
        )
        with RunningGateway(config) as gateway:
            yield gateway, upstream


def test_a_second_model_in_other_letters_reaches_nobody(tmp_path: Path) -> None:
    with kind_of_upstream(tmp_path, "ollama") as (gateway, upstream):
        for name in ("Model", "MODEL", "Stream", "\u017ftream"):
            body = json.dumps({"model": ALIAS, "messages": [], name: "llama-huge"}, ensure_ascii=False).encode()
            status, answer = ask_json(gateway, "POST", CHAT, body)
            assert (status, answer["error"]["code"]) == (400, "ambiguous_field")
        assert upstream.requests == []


@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        ("openrouter", CHAT, {"models": ["openai/o1-pro"]}),
        ("openrouter", CHAT, {"route": "fallback"}),
        ("openrouter", "/v1/messages", {"fallbacks": [{"model": "o1-pro"}]}),
        ("openrouter", "/v1/responses", {"preset": "mine"}),
        ("compatible", CHAT, {"fallbacks": ["o1-pro"]}),
        ("anthropic", "/v1/messages", {"fallbacks": [{"model": "claude-opus"}]}),
        ("anthropic", "/v1/messages", {"tools": [{"type": "advisor_20260301", "model": "claude-opus"}]}),
        ("openai", "/v1/responses", {"tools": [{"type": "image_generation", "model": "gpt-image-1"}]}),
        ("gemini", f"/v1beta/models/{ALIAS}:generateContent", {"tools": [{"computerUse": {"model": "x"}}]}),
    ],
)
def test_a_body_chooses_no_further_models(tmp_path: Path, kind: Kind, path: str, fields: dict[str, Any]) -> None:
    body = {"model": ALIAS, **fields} if "gemini" not in kind else fields
    with kind_of_upstream(tmp_path / "no", kind) as (gateway, upstream):
        status, answer = ask_json(gateway, "POST", path, body)
        assert status == 400
        assert "chooses a further model" in answer["error"]["message"]
        assert upstream.requests == []
    with kind_of_upstream(tmp_path / "yes", kind, client_models=True) as (gateway, upstream):
        upstream.script(json_answer(DONE))
        assert ask_json(gateway, "POST", path, body)[0] == 200
        sent = json.loads(upstream.requests[0].body)
        assert {name: sent[name] for name in fields} == fields


def test_what_means_nothing_to_a_kind_passes(tmp_path: Path) -> None:
    body = {"model": ALIAS, "messages": [], "models": ["a"], "route": "b", "whatever": {"model": "c"}}
    with kind_of_upstream(tmp_path, "vllm") as (gateway, upstream):
        upstream.script(json_answer(ANSWER))
        assert ask_json(gateway, "POST", CHAT, body)[0] == 200
        assert json.loads(upstream.requests[0].body) == {**body, "model": UPSTREAM_MODEL}


def test_an_object_for_things_with_an_id_chooses_no_further_models(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        for fields in ({"models": ["b"]}, {"tools": [{"type": "image_generation", "model": "b"}]}, {"Model": "b"}):
            status, _ = ask_json(gateway, "POST", "/v1/assistants", {"model": ALIAS, **fields})
            assert status == 400
        assert upstream.requests == []


@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        ("openai", "/v1/responses", {"prompt": {"id": "pmpt_1"}}),
        ("openai", "/v1/responses", {"tools": [{"type": "shell", "skills": [{"skill_id": "skill_1"}]}]}),
        ("openai", "/v1/responses", {"input": [{"File_Id": "file-1"}]}),
        ("openai", CHAT, {"audio": {"voice": {"id": "voice_1"}}}),
        ("openai", CHAT, {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}),
        ("anthropic", "/v1/messages", {"container": {"skills": [{"type": "custom", "skill_id": "skill_1"}]}}),
        ("anthropic", "/v1/messages", {"container": "container_1"}),
        ("anthropic", "/v1/messages", {"messages": [{"content": [{"source": {"type": "file", "file_id": "f"}}]}]}),
        (
            "gemini",
            f"/v1beta/models/{ALIAS}:generateContent",
            {"contents": [{"parts": [{"fileData": {"fileUri": "https://x.googleapis.com/v1beta/files/1"}}]}]},
        ),
        (
            "gemini",
            f"/v1beta/models/{ALIAS}:generateContent",
            {"contents": [{"parts": [{"file_data": {"file_uri": "files/1"}}]}]},
        ),
        ("gemini", f"/v1beta/models/{ALIAS}:streamGenerateContent", {"cachedContent": "cachedContents/1"}),
        ("gemini", f"/v1beta/models/{ALIAS}:countTokens", {"generateContentRequest": {"cached_content": "c"}}),
        (
            "gemini",
            f"/v1beta/models/{ALIAS}:generateContent",
            {"tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/1"]}}]},
        ),
    ],
)
def test_an_id_that_is_nobodys_is_refused_in_every_dialect(
    tmp_path: Path, kind: Kind, path: str, fields: dict[str, Any]
) -> None:
    body = {"model": ALIAS, **fields} if kind != "gemini" else fields
    with kind_of_upstream(tmp_path, kind) as (gateway, upstream):
        assert ask_json(gateway, "POST", path, body)[0] == 404
        assert upstream.requests == []


def test_what_a_parser_need_not_judge_passes_as_it_came(tmp_path: Path) -> None:
    rest = b'"messages":[{"role":"user","content":"cut \\ud83d"}],"bias":[NaN,-Infinity]}'
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream):
        for padding in (b"", b'"x":"%b",' % (b" " * 2_000_000)):
            upstream.script(json_answer(ANSWER))
            body = b'{"model":"%b",' % ALIAS.encode() + padding + rest
            assert ask_json(gateway, "POST", CHAT, body)[0] == 200
            sent = upstream.requests[-1].body
            assert sent == b'{"model":"%b",' % UPSTREAM_MODEL.encode() + padding + rest


def test_geminis_inner_requests_have_the_paths_model_in_either_spelling(tmp_path: Path) -> None:
    for name in ("generateContentRequest", "generate_content_request"):
        with kind_of_upstream(tmp_path / name, "gemini") as (gateway, upstream):
            upstream.script(json_answer({"totalTokens": 1}))
            body = {name: {"model": "models/other", "contents": [{"parts": [{"text": "\ud83d"}]}]}}
            assert ask_json(gateway, "POST", f"/v1beta/models/{ALIAS}:countTokens", body)[0] == 200
            sent = json.loads(upstream.requests[0].body)
            assert sent == {name: {**body[name], "model": f"models/{UPSTREAM_MODEL}"}}


def test_a_compressed_body_goes_on_as_it_was_before(tmp_path: Path) -> None:
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "hi " * 100_000}]}
    data = gzip.compress(json.dumps(body).encode())
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream):
        upstream.script(json_answer(ANSWER))
        assert ask_json(gateway, "POST", CHAT, data, headers={"content-encoding": "gzip"})[0] == 200
        request = upstream.requests[0]
        assert json.loads(request.body) == {**body, "model": UPSTREAM_MODEL}
        assert request.header("content-encoding") is None
        assert request.header("content-length") == str(len(request.body))
        (row,) = gateway.rows()
        assert row.input_tokens > 10_000
        upstream.script(json_answer({"id": "asst_1", "object": "assistant", "model": UPSTREAM_MODEL}))
        small = gzip.compress(json.dumps({"model": ALIAS}).encode())
        assert ask_json(gateway, "POST", "/v1/assistants", small, headers={"content-encoding": "gzip"})[0] == 200
        assert json.loads(upstream.requests[1].body) == {"model": UPSTREAM_MODEL}


@pytest.mark.skipif(not inspect.isfunction(Inference.__call__), reason="compiled code cannot be patched")
def test_a_client_that_leaves_while_its_body_is_looked_at_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, may_go_on = Inference._parse, threading.Event()

    async def parse_body(handler: Inference, data: bytes, named: str) -> Body:
        await asyncio.to_thread(may_go_on.wait, 10.0)
        return await look(handler, data, named)

    monkeypatch.setattr(Inference, "_parse", parse_body)
    data = gzip.compress(json.dumps({"model": ALIAS, "messages": []}).encode())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "content-encoding": "gzip"}
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream):
        with gateway.client() as client:
            client.request("POST", CHAT, data, headers)
            wait_until(lambda: gateway.call(lambda running: running.overload.in_flight) == 1, "the request")
        wait_until(lambda: gateway.call(lambda _: gateway.connections) == 0, "its leaving")
        may_go_on.set()
        wait_until(lambda: gateway.call(lambda running: running.overload.in_flight) == 0, "its end")
        (row,) = gateway.rows()
        assert (row.outcome, row.attempts) == ("client_closed", 0)
        assert upstream.requests == []


def test_a_bomb_is_stopped_at_the_cap(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(300_000_000))
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream):
        for path in (CHAT, "/v1/assistants"):
            status, answer = ask_json(gateway, "POST", path, bomb, headers={"content-encoding": "gzip"})
            assert (status, answer["error"]["code"]) == (413, "request_too_large")
        assert upstream.requests == []


@pytest.mark.parametrize("path", [CHAT, "/v1/assistants"])
def test_bombs_below_the_cap_share_the_room_of_all_bodies(tmp_path: Path, path: str) -> None:
    bomb = gzip.compress(b'{"model":"' + ALIAS.encode() + b'","x":"' + b"a" * 8_000_000 + b'"}')
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream):
        gateway.call(lambda running: setattr(running.overload.bodies, "max_memory", 4_000_000))
        status, answer = ask_json(gateway, "POST", path, bomb, headers={"content-encoding": "gzip"})
        assert (status, answer["error"]["code"]) == (503, "server_is_overloaded")
        assert upstream.requests == []
        wait_until(lambda: gateway.call(lambda running: running.overload.bodies.memory) == 0, "nothing to be held")


def test_a_compressed_form_is_refused_in_clear_words(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        send_form(client, gzip.compress(form()), **{"content-encoding": "gzip"})
        answer, got = client.read_answer()
        assert (answer.status, error_of(got)["code"]) == (415, "unsupported_content_encoding")
        assert "A compressed form is not taken" in error_of(got)["message"]
        assert (
            ask_json(
                gateway,
                "POST",
                "/v1/files",
                gzip.compress(form()),
                headers={"content-type": FORM, "content-encoding": "gzip"},
            )[0]
            == 415
        )
        assert upstream.requests == []


def test_the_bound_of_audio_is_that_of_its_file(tmp_path: Path) -> None:
    limit = 100_000
    with serving(tmp_path, server={"max_audio_bytes": limit}) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(json_answer({"text": "hi"}))
        send_form(client, form(field("prompt", "x" * 500_000), content=bytes(limit)))
        assert client.read_answer()[0].status == 200
        with gateway.client() as other:
            send_form(other, form(content=bytes(limit + 1)))
            answer, got = other.read_answer()
            assert (answer.status, error_of(got)["code"]) == (413, "request_too_large")
            assert f"The file is larger than {limit} bytes" in error_of(got)["message"]


@pytest.mark.parametrize(
    "part",
    [
        b'name="x"; name*0="model"',
        b'name="mod\\el"',
        b'name="file"; filename="again.wav"',
        b'name="response_format"',
        b'name="Model"',
        b'name="model[]"',
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_form_with_a_second_reading_reaches_nobody(tmp_path: Path, part: bytes, first: bool) -> None:
    extra = b"--" + FORM.partition("boundary=")[2].encode() + b"\r\nContent-Disposition: form-data; " + part
    extra += b"\r\n\r\nvendor-secret\r\n"
    whole = form(field("response_format", "text"))
    body = extra + whole if first else whole.removesuffix(END) + extra + END
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script([Hang()])
        send_form(client, body)
        assert client.read_answer()[0].status == 400
        assert all(not request.received.is_set() for request in upstream.requests)


@pytest.mark.parametrize("name", ["file_id", "images[0][file_id]", "input_reference[file_id]"])
def test_a_form_that_is_relayed_names_no_object(tmp_path: Path, name: str) -> None:
    with serving(tmp_path) as (gateway, (upstream,)), gateway.client() as client:
        send_form(client, field(name, "file-1") + form())
        answer, got = client.read_answer()
        assert (answer.status, error_of(got)["code"]) == (404, "not_found")
        assert upstream.requests == []


def video(name: str, id_: str) -> bytes:
    parts = {"model": ALIAS, "prompt": "a cat", name: id_}
    head = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    return b"".join(head % (name.encode(), value.encode()) for name, value in parts.items()) + b"--b--\r\n"


@pytest.mark.parametrize("name", ["input_reference[file_id]", "file_id", "extra"])
def test_a_form_for_things_with_an_id_names_the_keys_own_only(tmp_path: Path, name: str) -> None:
    def value(id_: str) -> str:
        return json.dumps({"file_id": id_}) if name == "extra" else id_

    headers = {"content-type": "multipart/form-data; boundary=b"}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "file-mine")
        record_owner(gateway, "file-theirs", name="other")
        upstream.script(json_answer({"id": "video_1", "object": "video", "model": UPSTREAM_MODEL}))
        assert ask_json(gateway, "POST", "/v1/videos", video(name, value("file-mine")), headers=headers)[0] == 200
        assert value("file-mine").encode() in upstream.requests[0].body
        for id_ in ("file-theirs", "file-unknown"):
            assert ask_json(gateway, "POST", "/v1/videos", video(name, value(id_)), headers=headers)[0] == 404
        assert all(b"file-theirs" not in request.body for request in upstream.requests)


def test_a_large_body_does_not_hold_the_others(tmp_path: Path) -> None:
    """While a body of 32 MiB is looked at, other requests are answered."""
    data = b'{"model":"%b","messages":[],"x":"' % ALIAS.encode() + b"\\n[" * 11_000_000 + b'"}'
    with kind_of_upstream(tmp_path, "openai") as (gateway, upstream), gateway.client() as client:
        upstream.script(json_answer(ANSWER))
        client.request("POST", CHAT, data, {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        asked = 0
        ended = time.monotonic() + 30
        while not upstream.requests and time.monotonic() < ended:
            with gateway.client() as other:
                other.request("GET", "/livez")
                assert other.read_answer()[0].status == 200
            asked += 1
        assert asked
        assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.body == data.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
