"""What a client of each format reads out of an answer: the text, whether it was told of an end, and errors.

The plain and slow way, over whole answers, and without help from the gateway.
"""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Read:
    """An answer as a client understands it."""

    text: str = ""
    #: Reasons to finish, and marks after which nothing comes.
    ends: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    #: The last event was an error.
    ends_in_error: bool = False


def read(wire: str, payload: bytes, *, events: bool) -> Read:
    """Read a whole answer. Raises ValueError for what a client could not parse."""
    found = Read()
    values = _values(payload) if events else [json.loads(payload.decode("utf-8", "replace"))]
    for value in values:
        found.ends_in_error = False
        if value == "[DONE]":
            found.ends += 1
        elif value.get("error") or value.get("type") == "error":
            found.errors.append(value)
            found.ends_in_error = True
        else:
            _READERS[wire](found, value)
    return found


def _values(payload: bytes) -> list[Any]:
    """The values of a stream's events: JSON, or the word that ends a chat."""
    text = payload.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    values: list[Any] = []
    for block in text.split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if not lines and block.strip().startswith("{"):
            # Google's way to tell of an error inside a stream.
            lines = [block]
        content = "\n".join(lines)
        if content:
            values.append("[DONE]" if content == "[DONE]" else json.loads(content))
    return values


def _chat(found: Read, value: dict[str, Any]) -> None:
    for choice in value.get("choices", ()):
        found.text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
        found.ends += choice.get("finish_reason") is not None


def _responses(found: Read, value: dict[str, Any]) -> None:
    kind = value.get("type", "")
    found.text += value.get("delta", "")
    found.ends += kind == "response.completed"
    if value.get("object") == "response":
        found.ends += value["status"] == "completed"
        found.text += "".join(part["text"] for item in value["output"] for part in item["content"])


def _messages(found: Read, value: dict[str, Any]) -> None:
    if value.get("type") == "message":
        found.text += "".join(part["text"] for part in value["content"])
        found.ends += value["stop_reason"] is not None
        return
    delta = value.get("delta", {})
    found.text += delta.get("text", "")
    found.ends += (delta.get("stop_reason") is not None) + (value.get("type") == "message_stop")


def _generate(found: Read, value: dict[str, Any]) -> None:
    for candidate in value.get("candidates", ()):
        found.text += "".join(part["text"] for part in candidate["content"]["parts"])
        found.ends += "finishReason" in candidate


_READERS = {"chat": _chat, "responses": _responses, "messages": _messages, "generate": _generate}
