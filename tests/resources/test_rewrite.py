"""Resources as a client gets them: byte for byte but for the names of the upstream."""

from pathlib import Path

import pytest

from tests.fakes import ScriptedUpstream, json_answer
from tests.resources.samples import ALIAS, UPSTREAM_MODEL, ask, ask_json, gateway_over, record_owner


def test_an_answer_passes_byte_for_byte_but_for_the_model(tmp_path: Path) -> None:
    answer = b'{\n  "id": "asst_1" ,"model":"vendor-x", "tools":[{"model": "kept", "n":1.50}]\n}'
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(json_answer(answer))
        with gateway.client() as client:
            _, body = ask(client, "GET", "/v1/assistants/asst_1")
        assert body.payload == answer.replace(b"vendor-x", ALIAS.encode())


def test_a_model_without_an_alias_is_never_shown(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "resp_1", "response")
        upstream.script(json_answer({"id": "resp_1", "model": f"{UPSTREAM_MODEL}-v2"}))
        upstream.script(json_answer({"id": "resp_1", "model": "vendor-something-else"}))
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[1]["model"] == ALIAS
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[1]["model"] == "prometheus"


@pytest.mark.parametrize("value", [b'"cut \\ud83d"', b"NaN", b"-Infinity"])
def test_an_object_with_what_a_strict_parser_refuses_comes_as_it_is(tmp_path: Path, value: bytes) -> None:
    def answer(id_: str, model: str) -> bytes:
        return b'{"id":"%b","object":"response","model":"%b","x":%b}' % (id_.encode(), model.encode(), value)

    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url) as gateway,
        gateway.client() as client,
    ):
        record_owner(gateway, "resp_1", "response", alias=ALIAS)
        upstream.script(json_answer(answer("resp_1", UPSTREAM_MODEL)))
        head, body = ask(client, "GET", "/v1/responses/resp_1")
        assert (head.status, body.payload) == (200, answer("resp_1", ALIAS))
        record_owner(gateway, "file-1")
        upstream.script(json_answer(b'{"object":"list","data":[{"id":"file-1","x":%b},{"id":"file-2"}]}' % value))
        head, body = ask(client, "GET", "/v1/files")
        assert (head.status, b'[{"id":"file-1","x":%b}]' % value in body.payload) == (200, True)
