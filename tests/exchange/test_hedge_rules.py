"""Which requests may be made twice: none that acts or keeps something at a provider."""

import json

import pytest

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_responses import RESPONSES
from proxy.endpoints.table import ROWS
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.hedge_rules import ENDPOINTS, may_repeat
from proxy.wire.request_body import parse_body

FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def repeats(path: str, dialect: Dialect, **fields: object) -> bool:
    body = parse_body(json.dumps({"model": "m", **fields}).encode())
    context = RequestContext(EndpointSpec(path, dialect), id="req_1", started=0, arrived=0.0, body=body)
    return may_repeat(context)


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"tools": [FUNCTION]}, True),
        ({"tools": [FUNCTION, {"type": "custom", "custom": {}}]}, True),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, False),
        ({"tools": "strange"}, False),
        ({"web_search_options": None}, True),
        # By this alone OpenAI searches.
        ({"web_search_options": {}}, False),
        ({"search_parameters": {"mode": "auto"}}, False),
        ({"enable_search": True}, False),
        ({"enable_search": False}, True),
        ({"web_search_options": {"search_context_size": "low"}}, False),
        ({"plugins": [{"id": "web"}]}, False),
        ({"store": True}, False),
        ({"store": False, "background": None}, True),
    ],
)
def test_chat(fields: dict[str, object], may: bool) -> None:
    assert repeats("/v1/chat/completions", CHAT, **fields) is may


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"tools": [{"name": "look_up", "input_schema": {}}]}, True),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, False),
        ({"mcp_servers": [{"url": "https://tools.example"}]}, False),
        ({"container": "container_1"}, False),
    ],
)
def test_messages(fields: dict[str, object], may: bool) -> None:
    assert repeats("/v1/messages", MESSAGES, **fields) is may


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"tools": [{"functionDeclarations": []}]}, True),
        ({"tools": [{"functionDeclarations": []}, {"googleSearch": {}}]}, False),
        ({"cachedContent": "cachedContents/1"}, False),
    ],
)
def test_generate_content(fields: dict[str, object], may: bool) -> None:
    assert repeats("/v1beta/models/{model}:generateContent", GENERATE, **fields) is may


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, False),
        ({"store": False}, True),
        ({"store": False, "tools": [{"type": "function", "name": "look_up"}]}, True),
        ({"store": False, "tools": [{"type": "code_interpreter"}]}, False),
        ({"store": False, "background": True}, False),
        ({"store": False, "previous_response_id": "resp_1"}, False),
        # A prompt that is kept at the provider may have tools of the provider's.
        ({"store": False, "prompt": {"id": "pmpt_1"}}, False),
    ],
)
def test_responses(fields: dict[str, object], may: bool) -> None:
    assert repeats("/v1/responses", RESPONSES, **fields) is may


def test_the_endpoints_are_rows_of_the_table() -> None:
    assert {row.path for row in ROWS} >= ENDPOINTS
