"""Why an upstream could not serve a request, read from its errors and refusals of every format. Pure.

By the error's code where the provider has one for it, else by its words, which are those of the providers and servers
that have none. What is not recognised has no cause: it is not guessed.
"""

import re
from typing import Any, Final, Literal

from proxy.dialects.meters import try_decode

Cause = Literal["", "context_window", "content_policy", "rate_limit", "model_not_found", "credential"]

#: Statuses of errors that are about a request: of another status an error is about the upstream, whatever its words.
_OF_REQUESTS: Final = frozenset({200, 400, 403, 404, 413, 422})
#: About the gateway's own credential, at the provider or at a proxy on the way.
_OF_CREDENTIALS: Final = frozenset({401, 403, 407})
_CONTEXT_CODES: Final = frozenset(
    {"context_length_exceeded", "context_window_exceeded", "exceed_context_size_error", "string_above_max_length"}
    | {"model_context_window_exceeded", "max_context_length_exceeded", "context_length_error"}
)
_POLICY_CODES: Final = frozenset(
    {"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"}
    | {"data_inspection_failed", "content_moderation", "safety_violation", "image_content_policy_violation"}
)
_MODEL_CODES: Final = frozenset({"model_not_found", "deploymentnotfound", "model_not_available", "unknown_model"})
# OpenAI and those that speak as it does, vLLM, Anthropic, Gemini, Mistral, SGLang, llama.cpp, Fireworks, xAI, Bedrock.
_CONTEXT_WORDS: Final = re.compile(
    r"maximum (?:context|prompt) length|context window|prompt is too long|input is too long"
    r"|exceeds? the (?:maximum|available) (?:number of tokens|context)|exceed context limit|token count .{0,40}exceeds"
    r"|longer than the model's context|too large for model with .{0,20}maximum context|exceeds? (?:the )?context",
    re.IGNORECASE,
)
_POLICY_WORDS: Final = re.compile(
    r"content management policy|content polic(?:y|ies)|usage polic(?:y|ies)|safety (?:system|filter|setting)"
    r"|content filter|(?:was|been|were) flagged|requires moderation|rejected by .{0,20}moderation",
    re.IGNORECASE,
)
_MODEL_WORDS: Final = re.compile(
    r"model\b.{0,120}(?:does not exist|not found|is not available|not supported for|is not found|not exist)"
    r"|no such model|unknown model|models/\S+ is not found|^model: ",
    re.IGNORECASE | re.DOTALL,
)
#: Characters of a message that are searched.
_MAX_SEARCHED: Final = 2_000
#: Marks of a response that was stopped for what it is about, in any format.
_STOPPED: Final = re.compile(
    rb'"content_filter"|"refusal"|"block_?[rR]eason"|"SAFETY"|"PROHIBITED_CONTENT"|"BLOCKLIST"|"SPII"|"IMAGE_SAFETY"'
)
_GEMINI_STOPS: Final = frozenset({"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "IMAGE_SAFETY"})
#: Bytes of a response that are searched for such a mark; one without content is short.
MAX_REFUSAL_BYTES: Final = 65_536


def cause_of(status: int, words: list[str], message: str) -> Cause:
    """The cause of an error with this status, codes and types (`words`) and message; empty for none that is known."""
    codes = {word.lower() for word in words}
    message = message[:_MAX_SEARCHED]
    if status in _OF_REQUESTS:
        if codes & _CONTEXT_CODES:
            return "context_window"
        if codes & _POLICY_CODES:
            return "content_policy"
        if codes & _MODEL_CODES:
            return "model_not_found"
        if status not in (403, 404) and _CONTEXT_WORDS.search(message) is not None:
            return "context_window"
        if status != 404 and _POLICY_WORDS.search(message) is not None:
            return "content_policy"
        if status in (400, 404) and _MODEL_WORDS.search(message) is not None:
            return "model_not_found"
    if status == 429:
        return "rate_limit"
    return "credential" if status in _OF_CREDENTIALS else ""


def stopped_by_policy(data: bytes, by_parts: bool) -> bool:
    """Whether a response without any content, whole or the events until its end, was stopped for what it is about."""
    if len(data) > MAX_REFUSAL_BYTES or _STOPPED.search(data) is None:
        return False
    if by_parts:
        return True
    value = try_decode(data)
    return isinstance(value, dict) and _is_refusal(value)


def _is_refusal(value: dict[str, Any]) -> bool:
    """Whether a JSON response was stopped, and has no content."""
    choices, candidates = value.get("choices"), value.get("candidates")
    if isinstance(choices, list) and choices:
        return not [one for one in choices if not isinstance(one, dict) or not _is_refused_choice(one)]
    if isinstance(candidates, list) and candidates:
        return not [one for one in candidates if not isinstance(one, dict) or not _is_refused_candidate(one)]
    feedback = value.get("promptFeedback")
    if isinstance(feedback, dict):
        return bool(feedback.get("blockReason"))
    if value.get("stop_reason") == "refusal":
        return not value.get("content")
    details = value.get("incomplete_details")
    return isinstance(details, dict) and details.get("reason") == "content_filter" and not value.get("output")


def _is_refused_choice(choice: dict[str, Any]) -> bool:
    message = choice.get("message")
    has_content = bool(choice.get("text")) or (
        isinstance(message, dict) and bool(message.get("content") or message.get("tool_calls"))
    )
    return choice.get("finish_reason") == "content_filter" and not has_content


def _is_refused_candidate(candidate: dict[str, Any]) -> bool:
    content = candidate.get("content")
    has_content = isinstance(content, dict) and bool(content.get("parts"))
    return candidate.get("finishReason") in _GEMINI_STOPS and not has_content
