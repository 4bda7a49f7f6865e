"""`formats`: which endpoints an upstream serves, and how each of its formats is asked for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Format, Kind, Upstream
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target, compile_targets
from tests.fakes import ScriptedUpstream, json_answer
from tests.resources.samples import ask_json, gateway_over
from tests.serving import ALIAS, RunningGateway

CHAT = {"model": ALIAS, "messages": [{"role": "user", "content": "Hi"}]}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "x",
    "content": [],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
COMPLETION = {"id": "c", "model": "x", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}


def targets(kind: Kind, formats: list[Format] | None, **settings: Any) -> dict[str, Target]:
    """The target for each format."""

    async def compiled() -> dict[str, Target]:
        upstream = Upstream(kind=kind, base_url="https://h.example/v1", api_key="secret", formats=formats, **settings)
        made = compile_targets("u/x", {"u": Pool("u", upstream)})
        return {format_: target for target in made for format_ in target.dialects}

    return asyncio.run(compiled())


def credentials(target: Target) -> list[str]:
    return [line for line in target.head(b"/x", b"", 2).decode().split("\r\n") if "secret" in line]


BEARER, KEY, GOOGLE = "authorization: Bearer secret", "x-api-key: secret", "x-goog-api-key: secret"


@pytest.mark.parametrize(
    ("kind", "formats", "sent"),
    [
        ("compatible", None, {"openai": BEARER}),
        ("compatible", ["openai", "anthropic"], {"openai": BEARER, "anthropic": KEY}),
        ("compatible", ["anthropic"], {"anthropic": KEY}),
        ("compatible", ["gemini", "openai"], {"openai": BEARER, "gemini": GOOGLE}),
        ("anthropic", ["openai", "anthropic"], {"openai": BEARER, "anthropic": KEY}),
        ("gemini", None, {"gemini": GOOGLE}),
        ("azure", ["openai", "anthropic"], {"openai": "api-key: secret", "anthropic": KEY}),
        # These speak both themselves, and want a bearer for both.
        ("vllm", None, {"openai": BEARER, "anthropic": BEARER}),
        ("ollama", None, {"openai": BEARER, "anthropic": BEARER}),
        ("llamacpp", None, {"openai": BEARER, "anthropic": BEARER}),
        ("vllm", ["openai"], {"openai": BEARER}),
    ],
)
def test_each_format_is_asked_for_with_its_own_credential(
    kind: Kind, formats: list[Format] | None, sent: dict[str, str]
) -> None:
    assert {name: credentials(target) for name, target in targets(kind, formats).items()} == {
        name: [line] for name, line in sent.items()
    }


def test_a_format_brings_the_headers_that_it_needs() -> None:
    made = targets("compatible", ["openai", "anthropic"])
    assert b"anthropic-version: 2023-06-01\r\n" in made["anthropic"].head(b"/messages", b"", 2)
    assert b"anthropic-version: 2024-01-01\r\n" in made["anthropic"].head(
        b"/messages", b"anthropic-version: 2024-01-01\r\n", 2
    )
    assert b"anthropic-version" not in made["openai"].head(b"/chat/completions", b"", 2)


def ask_both(gateway: RunningGateway) -> list[int]:
    message = {**CHAT, "max_tokens": 5}
    return [
        ask_json(gateway, "POST", path, body)[0]
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/messages", message),
            ("/v1/messages/count_tokens", CHAT),
        )
    ]


@pytest.mark.parametrize(
    ("formats", "statuses"),
    [(None, [200, 400, 400]), (["openai", "anthropic"], [200, 200, 200]), (["anthropic"], [400, 200, 200])],
)
def test_an_alias_serves_the_endpoints_of_the_formats_that_its_upstream_is_said_to_speak(
    tmp_path: Path, formats: list[Format] | None, statuses: list[int]
) -> None:
    with ScriptedUpstream() as upstream:
        upstream.handler = lambda request: json_answer(COMPLETION if "chat" in request.target else MESSAGE)
        with gateway_over(
            tmp_path, upstream.base_url, upstream={"formats": formats}, model={"translate": "off"}
        ) as gateway:
            assert ask_both(gateway) == statuses
            for request in upstream.requests:
                names = {name.lower() for name, _ in request.headers}
                of_anthropic = "/messages" in request.target
                assert ("x-api-key" in names, "authorization" in names) == (of_anthropic, not of_anthropic)
                assert json.loads(request.body)["model"] != ALIAS


def test_objects_are_asked_for_at_an_upstream_that_is_said_to_speak_openais_formats(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda request: json_answer({"id": "thread_1"})) as upstream:
        settings: dict[str, Any] = {"kind": "anthropic", "formats": ["openai", "anthropic"]}
        with gateway_over(tmp_path, upstream.base_url, upstream=settings) as gateway:
            assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 200
            assert ("authorization", "Bearer sk-upstream-secret") in [
                (name.lower(), value) for name, value in upstream.requests[0].headers
            ]
