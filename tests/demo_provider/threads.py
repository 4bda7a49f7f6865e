"""Threads whose runs write the next message, whole or as a stream."""

from collections.abc import Iterator
from typing import Final

import msgspec

from proxy.demo.engine import Generation, chat_message, chat_request, generate
from proxy.demo.exchange import DONE, DemoEvent, DemoExchange, named_event
from proxy.demo.faults import DemoFaults
from proxy.demo.resources import (
    ASSISTANT,
    MESSAGE,
    RUN,
    STEP,
    THREAD,
    DemoRoutes,
    MessageRequest,
    Values,
    add_message,
)
from proxy.demo.store import DemoResource
from proxy.demo.words import split_words


class ThreadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/threads`."""

    messages: list[MessageRequest] = []
    metadata: Values = {}


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/threads/{parent}/runs` and `/v1/threads/runs`."""

    assistant_id: str
    model: str | None = None
    thread: ThreadRequest = ThreadRequest()
    metadata: Values = {}
    stream: bool | None = None


class RunChange(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/threads/{parent}/runs/{id}/submit_tool_outputs`."""

    stream: bool | None = None


async def create_thread(exchange: DemoExchange) -> None:
    await exchange.send_json(_add_thread(exchange, await exchange.read(ThreadRequest)).value)


def _add_thread(exchange: DemoExchange, request: ThreadRequest) -> DemoResource:
    thread = THREAD.store(exchange, {"metadata": request.metadata})
    for message in request.messages:
        add_message(exchange, thread.id, message)
    return thread


async def create_run(exchange: DemoExchange) -> None:
    """`POST /v1/threads/{parent}/runs`, and `/v1/threads/runs` with a thread of its own: the next message of it."""
    request = await exchange.read(RunRequest)
    assistant = exchange.store.get(ASSISTANT.object, request.assistant_id).value
    if exchange.path("parent"):
        thread = exchange.store.get(THREAD.object, exchange.path("parent"))
    else:
        thread = _add_thread(exchange, request.thread)
    messages = [one.value for one in exchange.store.all(MESSAGE.object, thread.id)]
    texts = [chat_message(one["role"], one["content"][0]["text"]["value"]) for one in messages]
    system = chat_message("system", assistant["instructions"])
    chat = chat_request(request.model or assistant["model"], [system, *texts])
    stream = bool(request.stream)
    generation = await generate(exchange, chat, "v1/threads/runs", stream=stream)
    counts = {"prompt_tokens": generation.input_tokens, "completion_tokens": generation.output_tokens}
    usage = {**counts, "total_tokens": generation.input_tokens + generation.output_tokens}
    values = {
        "thread_id": thread.id,
        "assistant_id": request.assistant_id,
        "model": generation.model,
        "usage": None if generation.faults.no_usage else usage,
        "metadata": request.metadata,
    }
    run = RUN.store(exchange, values, parent=thread.id).value
    written = MessageRequest(role="assistant", content=generation.outputs[0].text)
    message = add_message(exchange, thread.id, written, run["id"])
    details = {"type": "message_creation", "message_creation": {"message_id": message["id"]}}
    STEP.store(exchange, {"thread_id": thread.id, "run_id": run["id"], "step_details": details}, parent=run["id"])
    if stream:
        events = _run_events(run, message, generation)
        await exchange.send_events(events, generation.faults, generation.model, end_mark=b"event: done\n" + DONE)
    else:
        await exchange.send_json(run, generation.faults)


async def submit_tool_outputs(exchange: DemoExchange) -> None:
    """`POST /v1/threads/{parent}/runs/{id}/submit_tool_outputs`: the run is done, as a stream or not."""
    stream = (await exchange.read(RunChange)).stream
    run = exchange.store.update(RUN.find(exchange), {"status": "completed"}).value
    if stream:
        events = iter([named_event("thread.run.completed", run)])
        await exchange.send_events(events, DemoFaults(), run["model"], end_mark=b"event: done\n" + DONE)
    else:
        await exchange.send_json(run)


def _run_events(run: Values, message: Values, generation: Generation) -> Iterator[DemoEvent]:
    for status in ("created", "queued", "in_progress"):
        yield named_event(f"thread.run.{status}", {**run, "status": status, "usage": None})
    yield named_event("thread.message.created", {**message, "status": "in_progress", "content": []})
    for word in split_words(generation.outputs[0].text):
        content = [{"index": 0, "type": "text", "text": {"value": word}}]
        delta = {"id": message["id"], "object": "thread.message.delta", "delta": {"content": content}}
        yield named_event("thread.message.delta", delta, content=True)
    yield named_event("thread.message.completed", message)
    yield named_event("thread.run.completed", run)


ROUTES: Final[DemoRoutes] = (
    ("POST", THREAD.path, create_thread),
    ("POST", "/v1/threads/runs", create_run),
    ("POST", RUN.path, create_run),
    ("POST", RUN.path + "/{id}/submit_tool_outputs", submit_tool_outputs),
)
