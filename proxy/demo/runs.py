"""Runs of the demo provider's assistants: an answer is planned, written into the thread, and shown whole or as events.

A run is over before its request is answered, unless it waits for the output of a function that it called.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo.answers import pieces
from proxy.demo.assistants import THREADS, ThreadRequest, new_message, new_thread
from proxy.demo.conversation import chat_request, message, text_of
from proxy.demo.exchange import DONE, Event, Exchange, named_event
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.plans import plan
from proxy.demo.replies import Choice, begin
from proxy.demo.requests import ChatRequest
from proxy.demo.resources import Resource, Routes, now
from proxy.demo.store import Thing
from proxy.errors import InvalidRequest

RUNS: Final = Resource("thread.run", "run_", parameter="run_id", parent="id")
STEPS: Final = Resource("thread.run.step", "step_", parameter="step_id", parent="run_id")


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a run; what it does not say is as the assistant has it."""

    assistant_id: str
    model: str | None = None
    instructions: str | None = None
    additional_instructions: str | None = None
    additional_messages: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    max_completion_tokens: int | None = None
    metadata: dict[str, Any] | None = None
    stream: bool | None = None
    thread: ThreadRequest = ThreadRequest()


class ToolOutputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the called functions gave."""

    tool_outputs: list[dict[str, Any]]
    stream: bool | None = None


async def create(exchange: Exchange) -> None:
    """`POST /v1/threads/{id}/runs`."""
    request = await exchange.read(RunRequest)
    thread = THREADS.find(exchange)
    for one in request.additional_messages:
        new_message(exchange, thread.id, str(one.get("role")), one.get("content") or "")
    await _run(exchange, thread.id, request)


async def create_with_thread(exchange: Exchange) -> None:
    """`POST /v1/threads/runs`."""
    request = await exchange.read(RunRequest)
    exchange.store.get("assistant", request.assistant_id)
    await _run(exchange, new_thread(exchange, request.thread).id, request)


async def _run(exchange: Exchange, thread_id: str, request: RunRequest) -> None:
    assistant = exchange.store.get("assistant", request.assistant_id).value
    tools = assistant["tools"] if request.tools is None else request.tools
    instructions = request.instructions or assistant["instructions"] or ""
    fields = {
        "thread_id": thread_id,
        "assistant_id": request.assistant_id,
        "model": request.model or assistant["model"],
        "status": "queued",
        "instructions": "\n".join(filter(None, (instructions, request.additional_instructions))),
        "tools": tools,
        "tool_choice": request.tool_choice or "auto",
        "max_completion_tokens": request.max_completion_tokens,
        "required_action": None,
        "last_error": None,
        "incomplete_details": None,
        **dict.fromkeys(("started_at", "completed_at", "cancelled_at", "failed_at", "expires_at")),
        "usage": None,
        "metadata": request.metadata or {},
    }
    chat = _conversation(exchange, thread_id, fields)
    model = chat.check("v1/threads/runs")
    orders = read_orders(chat.last_user_message.text)
    choice = plan(chat, orders, 0)
    if not await begin(exchange, orders, model.name, choice.text, stream=bool(request.stream)):
        return
    run = RUNS.keep(exchange, {**fields, "model": model.name}, parent=thread_id)
    await _finish(exchange, run, choice, chat.input_tokens, orders, bool(request.stream))


async def submit(exchange: Exchange) -> None:
    """`POST /v1/threads/{id}/runs/{run_id}/submit_tool_outputs`."""
    request = await exchange.read(ToolOutputs)
    run = RUNS.find(exchange)
    if run.value["status"] != "requires_action":
        raise InvalidRequest(f"Runs in status '{run.value['status']}' do not accept tool outputs.")
    chat = _conversation(exchange, run.parent, run.value, [str(one.get("output")) for one in request.tool_outputs])
    orders = read_orders(chat.last_user_message.text)
    choice = plan(chat, orders, 0)
    if not await begin(exchange, orders, str(run.value["model"]), choice.text, stream=bool(request.stream)):
        return
    await _finish(exchange, run, choice, chat.input_tokens, orders, bool(request.stream))


def _conversation(
    exchange: Exchange, thread_id: str, run: dict[str, Any], outputs: list[str] | None = None
) -> ChatRequest:
    """The thread as a chat request, and behind it what the functions gave."""
    said = [thing.value for thing in exchange.store.all("thread.message", thread_id)]
    texts = [(one["role"], one["content"][0]["text"]["value"]) for one in said]
    functions = [tool["function"] for tool in run["tools"] if isinstance(tool.get("function"), dict)]
    choice = run["tool_choice"]
    return chat_request(
        run["model"],
        [
            message("system", [text_of(run["instructions"])]),
            *(message(role, [text]) for role, text in texts),
            *(message("tool", [output]) for output in outputs or []),
        ],
        limit=run["max_completion_tokens"],
        functions=functions,
        # Without a word about it too: who gives a run functions wants to see it wait for one.
        choice=choice if isinstance(choice, dict) or choice == "none" else "required",
    )


async def _finish(
    exchange: Exchange, run: Thing, choice: Choice, input_tokens: int, orders: Orders, stream: bool
) -> None:
    """Write the answer into the thread, end the run, and show it."""
    counted = {"prompt_tokens": input_tokens, "completion_tokens": choice.tokens}
    usage = None if orders.no_usage else {**counted, "total_tokens": input_tokens + choice.tokens}
    if choice.function is not None:
        call = {
            "id": choice.call_id,
            "type": "function",
            "function": {"name": choice.function, "arguments": choice.text},
        }
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
        ended = {"status": "requires_action", "started_at": now(), "required_action": action}
        details: dict[str, Any] = {"type": "tool_calls", "tool_calls": [call]}
        written = None
    else:
        ended = {"status": "completed", "completed_at": now(), "required_action": None, "usage": usage}
        written = new_message(exchange, run.parent, "assistant", choice.text, run=run.value).value
        details = {"type": "message_creation", "message_creation": {"message_id": written["id"]}}
    queued = run.value
    run = exchange.store.change(run, ended)
    fields = {
        "run_id": run.id,
        "thread_id": run.parent,
        "assistant_id": run.value["assistant_id"],
        "type": details["type"],
        "status": "completed" if written else "in_progress",
        "step_details": details,
        "usage": usage if written else None,
        "last_error": None,
    }
    step = STEPS.keep(exchange, fields, parent=run.id)
    if stream:
        events = _stream(queued, run.value, step.value, written, orders)
        await exchange.send_events(events, orders, str(run.value["model"]))
        return
    await exchange.send_json(run.value, orders=orders)


def _stream(
    queued: dict[str, Any], run: dict[str, Any], step: dict[str, Any], written: dict[str, Any] | None, orders: Orders
) -> Iterator[Event]:
    for name in ("created", "queued", "in_progress"):
        yield named_event(f"thread.run.{name}", {**queued, "status": "queued" if name == "created" else name})
    for name in ("created", "in_progress"):
        yield named_event(f"thread.run.step.{name}", {**step, "status": "in_progress", "usage": None})
    if written is not None:
        yield from _message_events(written)
        yield named_event("thread.run.step.completed", step)
    yield named_event(f"thread.run.{run['status']}", run)
    if not orders.no_done:
        yield Event(b"event: done\n" + DONE)


def _message_events(written: dict[str, Any]) -> Iterator[Event]:
    for name in ("created", "in_progress"):
        yield named_event(f"thread.message.{name}", {**written, "status": "in_progress", "content": []})
    for piece in pieces(written["content"][0]["text"]["value"]):
        part = {"index": 0, "type": "text", "text": {"value": piece}}
        delta = {"id": written["id"], "object": "thread.message.delta", "delta": {"content": [part]}}
        yield named_event("thread.message.delta", delta, content=True)
    yield named_event("thread.message.completed", written)


async def cancel(exchange: Exchange) -> None:
    """`POST /v1/threads/{id}/runs/{run_id}/cancel`."""
    run = RUNS.find(exchange)
    if run.value["status"] != "requires_action":
        raise InvalidRequest(f"Cannot cancel run with status '{run.value['status']}'.")
    cancelled = {"status": "cancelled", "cancelled_at": now(), "required_action": None}
    await exchange.send_json(exchange.store.change(run, cancelled).value)


_ONE: Final = "/v1/threads/{id}/runs/{run_id}"
ROUTES: Final[Routes] = (
    ("POST", "/v1/threads/runs", create_with_thread),
    ("POST", "/v1/threads/{id}/runs", create),
    ("GET", "/v1/threads/{id}/runs", RUNS.listing),
    ("GET", _ONE, RUNS.retrieve),
    ("POST", _ONE, RUNS.modify),
    ("POST", f"{_ONE}/cancel", cancel),
    ("POST", f"{_ONE}/submit_tool_outputs", submit),
    ("GET", f"{_ONE}/steps", STEPS.listing),
    ("GET", f"{_ONE}/steps/{{step_id}}", STEPS.retrieve),
)
