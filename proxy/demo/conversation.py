"""Reads a conversation of another format into the one that the demo provider plans answers for.

Pure. Dicts in, a ChatRequest out; what the plan makes no use of is left aside. A wrong form is the caller's 400.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proxy.demo.requests import ChatRequest
from proxy.errors import InvalidRequest


def chat_request(
    model: str,
    messages: Iterable[Mapping[str, Any]],
    *,
    limit: int | None = None,
    stops: list[str] | None = None,
    functions: Iterable[Mapping[str, Any]] = (),
    choice: Any = None,
    schema: Any = None,
    as_json: bool = False,
) -> ChatRequest:
    """A request of the chat endpoint that asks for the same. Raises InvalidRequest for wrong types."""
    wanted = None
    if schema is not None:
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif as_json:
        wanted = {"type": "json_object"}
    fields = {
        "model": model,
        "messages": list(messages),
        "max_completion_tokens": limit,
        "stop": stops,
        "tools": [{"type": "function", "function": function} for function in functions] or None,
        "tool_choice": choice,
        "response_format": wanted,
    }
    try:
        # By way of JSON: calls are kept as they were sent.
        return msgspec.json.decode(msgspec.json.encode(fields), type=ChatRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Invalid request body: {error}.", code="invalid_value") from error


def message(role: str, texts: Iterable[str], images: Iterable[str] = ()) -> dict[str, Any]:
    """A message of texts and images; an image is an address."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"role": role, "content": parts}


def called(name: str, arguments: Any) -> dict[str, Any]:
    """The message with which a model called a function."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def demanded(name: str) -> dict[str, Any]:
    """The choice of one function."""
    return {"type": "function", "function": {"name": name}}


def text_of(content: Any) -> str:
    """The text of a content that is a text, or a list of texts and of parts with a `text`."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict))
    return "\n".join(text for text in texts if isinstance(text, str))
