"""Where a request for a resource goes, and whose ids and aliases it may name."""

from pathlib import Path

import msgspec

from tests.fakes import ScriptedUpstream, json_answer
from tests.resources.samples import ALIAS, ASSISTANT, KEY, OTHER, UPSTREAM_MODEL, ask_json, gateway_over, record_owner
from tests.serving import RunningGateway


def test_an_object_is_asked_for_where_it_was_made(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as first,
        ScriptedUpstream() as second,
        gateway_over(tmp_path, first.base_url, second.base_url) as gateway,
    ):
        record_owner(gateway, "file-there", upstream="vendor2")
        second.script(json_answer({"id": "file-there", "object": "file"}))
        assert ask_json(gateway, "GET", "/v1/files/file-there")[0] == 200
        assert first.requests == []


def test_only_a_keys_own_aliases_may_stand_in_an_object(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER, models=["something-else"])
        for key, name in ((KEY, UPSTREAM_MODEL), (OTHER, ALIAS)):
            status, answer = ask_json(gateway, "POST", "/v1/assistants", {"model": name}, key=key)
            assert (status, answer["error"]["code"]) == (404, "model_not_found")
        assert upstream.requests == []


def test_a_repeated_key_in_a_body_smuggles_nothing(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(ASSISTANT))
        body = b'{"model":"vendor-secret","model":"%b"}' % ALIAS.encode()
        assert ask_json(gateway, "POST", "/v1/assistants", body)[0] == 200
        assert upstream.requests[0].body == b'{"model":"%b"}' % UPSTREAM_MODEL.encode()


def test_a_header_says_whose_upstream_is_meant(tmp_path: Path) -> None:
    with ScriptedUpstream() as first, ScriptedUpstream() as second:
        base = gateway_over(tmp_path, first.base_url, second.base_url).config
        there = type(base.models[ALIAS])(capability="chat", targets=["vendor2/other-model"])
        config = type(base)(server=base.server, upstreams=base.upstreams, models={**base.models, "there": there})
        with RunningGateway(config) as gateway:
            second.script(json_answer({"id": "vs_1", "object": "vector_store"}))
            status, _ = ask_json(gateway, "POST", "/v1/vector_stores", {}, headers={"x-prism-model": "there"})
            assert status == 200
            assert first.requests == []
            status, _ = ask_json(gateway, "POST", "/v1/vector_stores", {}, headers={"x-prism-model": "unknown"})
            assert status == 404


def test_a_cursor_below_an_own_object_is_not_another_keys(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "thread_1", "thread")
        record_owner(gateway, "msg_theirs", "thread.message", name="other")
        upstream.script(json_answer({"object": "list", "data": [], "has_more": False}))
        messages = "/v1/threads/thread_1/messages"
        assert ask_json(gateway, "GET", f"{messages}?after=msg_theirs")[0] == 404
        assert ask_json(gateway, "GET", f"{messages}?after=a%2fb")[0] == 404
        assert ask_json(gateway, "GET", f"{messages}?limit=5&after=msg_mine&secret=x")[0] == 200
        assert [request.target for request in upstream.requests] == [
            "/threads/thread_1/messages?limit=5&after=msg_mine"
        ]


def test_things_with_an_id_are_made_and_used_with_the_first_key_of_an_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = gateway_over(tmp_path, upstream.base_url).config
        keys = ["sk-upstream-first", "sk-upstream-second"]
        several = {
            name: msgspec.structs.replace(one, api_key="", api_keys=keys) for name, one in config.upstreams.items()
        }
        with RunningGateway(msgspec.structs.replace(config, upstreams=several)) as gateway:
            upstream.script(json_answer({"id": "vs_1", "object": "vector_store"}))
            assert ask_json(gateway, "POST", "/v1/vector_stores", {})[0] == 200
            assert upstream.requests[0].header("authorization") == "Bearer sk-upstream-first"
