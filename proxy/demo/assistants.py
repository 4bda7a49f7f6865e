"""`/v1/assistants` and `/v1/threads` with their messages, as the demo provider keeps them. Runs are in `runs`."""

from typing import Any, Final

import msgspec

from proxy.demo.conversation import text_of
from proxy.demo.exchange import Exchange
from proxy.demo.resources import Resource, Routes
from proxy.demo.settings import TEXT, find_model
from proxy.demo.store import Thing
from proxy.errors import InvalidRequest

ASSISTANTS: Final = Resource("assistant", "asst_")
THREADS: Final = Resource("thread", "thread_")
MESSAGES: Final = Resource("thread.message", "msg_", parameter="message_id", parent="id")
_MOST_MESSAGES: Final = 100


class AssistantRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new assistant."""

    model: str
    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] = []
    metadata: dict[str, Any] | None = None


class MessageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new message."""

    role: str
    content: str | list[dict[str, Any]]
    metadata: dict[str, Any] | None = None


class ThreadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new thread."""

    messages: list[MessageRequest] = []
    metadata: dict[str, Any] | None = None


async def create_assistant(exchange: Exchange) -> None:
    """`POST /v1/assistants`."""
    request = await exchange.read(AssistantRequest)
    model = find_model(request.model, TEXT, "v1/assistants")
    fields = {**msgspec.to_builtins(request), "model": model.name, "metadata": request.metadata or {}}
    shared = {"top_p": 1.0, "temperature": 1.0, "response_format": "auto", "tool_resources": {}}
    await exchange.send_json(ASSISTANTS.keep(exchange, {**fields, **shared}).value)


async def create_thread(exchange: Exchange) -> None:
    """`POST /v1/threads`."""
    await exchange.send_json(new_thread(exchange, await exchange.read(ThreadRequest)).value)


def new_thread(exchange: Exchange, request: ThreadRequest) -> Thing:
    """Keep a thread with its first messages."""
    if len(request.messages) > _MOST_MESSAGES:
        raise InvalidRequest(f"At most {_MOST_MESSAGES} messages.", param="messages", code="invalid_value")
    thread = THREADS.keep(exchange, {"metadata": request.metadata or {}, "tool_resources": {}})
    for one in request.messages:
        new_message(exchange, thread.id, one.role, one.content, one.metadata)
    return thread


async def create_message(exchange: Exchange) -> None:
    """`POST /v1/threads/{id}/messages`."""
    request = await exchange.read(MessageRequest)
    thread = THREADS.find(exchange)
    message = new_message(exchange, thread.id, request.role, request.content, request.metadata)
    await exchange.send_json(message.value)


def new_message(
    exchange: Exchange,
    thread_id: str,
    role: str,
    content: str | list[dict[str, Any]],
    metadata: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> Thing:
    """Keep a message; `run` is the run that wrote it, if one did."""
    text = {"value": text_of(content), "annotations": []}
    fields = {
        "thread_id": thread_id,
        "status": "completed",
        "incomplete_details": None,
        "incomplete_at": None,
        "role": role,
        "content": [{"type": "text", "text": text}],
        "assistant_id": run["assistant_id"] if run else None,
        "run_id": run["id"] if run else None,
        "attachments": [],
        "metadata": metadata or {},
    }
    return MESSAGES.keep(exchange, fields, parent=thread_id)


ROUTES: Final[Routes] = (
    ("POST", "/v1/assistants", create_assistant),
    ("GET", "/v1/assistants", ASSISTANTS.listing),
    ("GET", "/v1/assistants/{id}", ASSISTANTS.retrieve),
    ("POST", "/v1/assistants/{id}", ASSISTANTS.modify),
    ("DELETE", "/v1/assistants/{id}", ASSISTANTS.delete),
    ("POST", "/v1/threads", create_thread),
    ("GET", "/v1/threads/{id}", THREADS.retrieve),
    ("POST", "/v1/threads/{id}", THREADS.modify),
    ("DELETE", "/v1/threads/{id}", THREADS.delete),
    ("POST", "/v1/threads/{id}/messages", create_message),
    ("GET", "/v1/threads/{id}/messages", MESSAGES.listing),
    ("GET", "/v1/threads/{id}/messages/{message_id}", MESSAGES.retrieve),
    ("POST", "/v1/threads/{id}/messages/{message_id}", MESSAGES.modify),
    ("DELETE", "/v1/threads/{id}/messages/{message_id}", MESSAGES.delete),
)
