"""Why an upstream could not serve a request, in the words and codes of the providers."""

import json

import pytest

from proxy.dialects.causes import MAX_REFUSAL_BYTES, cause_of, stopped_by_policy
from proxy.dialects.upstream_errors import ErrorResponse


def openai(code: str | None, message: str = "no", type: str = "invalid_request_error") -> dict[str, object]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def anthropic(type: str, message: str) -> dict[str, object]:
    return {"type": "error", "error": {"type": type, "message": message}}


def gemini(status: str, message: str, code: int = 400) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "status": status}}


CONTEXT = {
    "openai": openai(
        "context_length_exceeded", "This model's maximum context length is 128000 tokens. However, your messages..."
    ),
    "responses": openai("context_length_exceeded", "Your input exceeds the context window of this model."),
    "vllm": {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "type": "BadRequestError",
        "code": 400,
    },
    "anthropic": anthropic("invalid_request_error", "prompt is too long: 211000 tokens > 200000 maximum"),
    "anthropic with output": anthropic(
        "invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000"
    ),
    "gemini": gemini(
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "mistral": {
        "object": "error",
        "message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "type": "invalid_request_error",
    },
    "sglang": openai(None, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    "llama.cpp": openai(None, "the request exceeds the available context size", "exceed_context_size_error"),
    "xai": {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 200000"},
    "bedrock": {"message": "Input is too long for requested model."},
}
POLICY = {
    "azure": openai("content_filter", "The response was filtered due to the prompt triggering Azure OpenAI's content"),
    "openai images": openai("moderation_blocked", "Your request was rejected by the safety system."),
    "openai": openai("content_policy_violation"),
    "words alone": openai(None, "Your input was flagged by our filters."),
    "usage policy": openai(None, "Your prompt was flagged as potentially violating our usage policy."),
}
MODEL = {
    "openai": (404, openai("model_not_found", "The model `x` does not exist or you do not have access to it.")),
    "azure": (404, openai("DeploymentNotFound", "The API deployment for this resource does not exist.")),
    "anthropic": (404, anthropic("not_found_error", "model: claude-x")),
    "gemini": (404, gemini("NOT_FOUND", "models/x is not found for API version v1beta", 404)),
    "ollama": (404, {"error": 'model "x" not found, try pulling it first'}),
    "vllm": (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}),
}
NOTHING = {
    "a bad parameter": (400, openai("invalid_value", "Invalid value for 'temperature'.")),
    "an object": (404, openai(None, "No response found with id 'resp_1'.")),
    "a server that names the context": (500, openai(None, "context window worker failed")),
    "overloaded": (529, anthropic("overloaded_error", "Overloaded")),
    "a page": (502, None),
}


def cause(status: int, body: object) -> str:
    data = b"<html>" if body is None else json.dumps(body).encode()
    return ErrorResponse(status, (), data).cause()


@pytest.mark.parametrize("name", CONTEXT)
def test_a_request_longer_than_the_context_window(name: str) -> None:
    assert cause(400, CONTEXT[name]) == "context_window"


@pytest.mark.parametrize("name", POLICY)
def test_a_request_that_a_provider_refuses_for_what_it_is_about(name: str) -> None:
    assert cause(400, POLICY[name]) == "content_policy"


@pytest.mark.parametrize("name", MODEL)
def test_a_model_that_the_upstream_has_not(name: str) -> None:
    assert cause(*MODEL[name]) == "model_not_found"


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_recognised_has_no_cause(name: str) -> None:
    assert cause(*NOTHING[name]) == ""


def test_rate_limits_and_credentials_go_by_the_status() -> None:
    assert [cause(status, openai(None)) for status in (429, 401, 403, 407)] == ["rate_limit", *["credential"] * 3]
    assert cause(403, openai(None, "Your input was flagged.")) == "content_policy"


def test_long_messages_are_searched_at_their_beginning_alone() -> None:
    assert cause_of(400, [], "x" * 2_000 + "context window") == ""


REFUSED = {
    "chat": {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}]},
    "anthropic": {"content": [], "stop_reason": "refusal"},
    "gemini prompt": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
    "gemini": {"candidates": [{"finishReason": "SAFETY"}]},
    "responses": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []},
}
NOT_REFUSED = {
    "chat with text": {"choices": [{"message": {"content": "So"}, "finish_reason": "content_filter"}]},
    "chat about it": {"choices": [{"message": {"content": 'a "content_filter"'}, "finish_reason": "stop"}]},
    "one of two": {
        "choices": [
            {"message": {"content": ""}, "finish_reason": "content_filter"},
            {"message": {"content": "x"}, "finish_reason": "stop"},
        ]
    },
    "anthropic with text": {"content": [{"type": "text", "text": "I"}], "stop_reason": "refusal"},
    "gemini with text": {"candidates": [{"finishReason": "SAFETY", "content": {"parts": [{"text": "x"}]}}]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_response_without_content_that_was_stopped_is_a_refusal(name: str) -> None:
    assert stopped_by_policy(json.dumps(REFUSED[name]).encode(), by_parts=False)


@pytest.mark.parametrize("name", NOT_REFUSED)
def test_a_response_with_content_is_none(name: str) -> None:
    assert not stopped_by_policy(json.dumps(NOT_REFUSED[name]).encode(), by_parts=False)


def test_of_events_without_content_the_mark_is_enough() -> None:
    assert stopped_by_policy(b'data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}\n\n', by_parts=True)
    assert not stopped_by_policy(b'data: {"choices":[{"delta":{},"content_filter_results":{}}]}\n\n', by_parts=True)


def test_a_long_response_is_not_searched() -> None:
    assert not stopped_by_policy(b'"content_filter"'.rjust(MAX_REFUSAL_BYTES + 1), by_parts=True)
