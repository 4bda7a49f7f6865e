"""AccessLinePolicy: one line for each request, whatever kind of endpoint it is for and however it ends."""

import json
from pathlib import Path
from typing import Any

from tests.exchange.samples import JSON_ANSWER, MESSAGES
from tests.fakes import ScriptedUpstream, json_answer
from tests.resources.samples import ask_json
from tests.serving import ALIAS, RunningGateway, simple_config


def lines_of(gateway: RunningGateway) -> list[dict[str, Any]]:
    """The lines so far, without their times."""
    gateway.call(lambda running: running.access.flush())
    return [json.loads(line) for line in gateway.log.getvalue().splitlines()]


def test_every_request_has_one_line(tmp_path: Path) -> None:
    chat = {"model": ALIAS, "messages": MESSAGES}
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(JSON_ANSWER))
        ask_json(gateway, "POST", "/v1/chat/completions", chat)
        ask_json(gateway, "POST", "/v1/chat/completions", chat, key="prom_sk_unknown")
        ask_json(gateway, "POST", "/v1/chat/completions", {**chat, "model": "none"})
        ask_json(gateway, "GET", "/v1/files/file_1")
        ask_json(gateway, "GET", "/v1/models")
        ask_json(gateway, "GET", "/v1/nothing", key="prom_sk_unknown")
        found = [(line["method"], line["path"], line["status"], line["key"]) for line in lines_of(gateway)]
        assert found == [
            ("POST", "/v1/chat/completions", 200, "test"),
            ("POST", "/v1/chat/completions", 401, None),
            ("POST", "/v1/chat/completions", 404, "test"),
            ("GET", "/v1/files/{file_id}", 404, "test"),
            ("GET", "/v1/models", 200, "test"),
            ("GET", "/v1/nothing", 404, None),
        ]
        assert ["outcome" in line for line in lines_of(gateway)] == [True, False, True, True, False, False]
