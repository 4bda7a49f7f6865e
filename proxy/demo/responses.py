"""The writer of OpenAI's Responses API: `POST /v1/responses`, its stored responses, token counts and compaction."""

import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo import engine
from proxy.demo.exchange import DemoEvent, DemoExchange, convert, typed_event
from proxy.demo.faults import DemoFaults
from proxy.demo.resources import ItemTypes, add_items, items_of, send_page
from proxy.demo.words import split_arguments, split_words
from proxy.errors import InvalidRequest

_KIND: Final = "response"


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/responses`; the input is a text or a list of items."""

    model: str
    input: str | list[dict[str, Any]] = ""
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = None
    text: dict[str, Any] = {}
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    metadata: dict[str, str] | None = None

    @property
    def conversation_id(self) -> str:
        """The id of the conversation that the response belongs to; empty for none."""
        named = self.conversation.get("id") if isinstance(self.conversation, dict) else self.conversation
        return named if isinstance(named, str) else ""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input as items."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": self.input}]}]
        return self.input

    def as_chat(self, history: list[dict[str, Any]]) -> engine.ChatRequest:
        """The same as a chat request; `history` are the items before. Raises InvalidRequest."""
        output_format = self.text.get("format")
        if not isinstance(output_format, dict):
            output_format = {}
        choice = self.tool_choice
        if isinstance(choice, dict) and choice.get("type") == "function":
            choice = engine.function_choice(choice.get("name"))
        return engine.chat_request(
            self.model,
            [
                *([engine.chat_message("system", self.instructions)] if self.instructions else []),
                *(_as_chat_message(item) for item in (*history, *self.items)),
            ],
            max_completion_tokens=self.max_output_tokens,
            functions=[tool for tool in self.tools if tool.get("type") == "function"],
            tool_choice=choice,
            schema=output_format.get("schema") if output_format.get("type") == "json_schema" else None,
            response_format=output_format,
        )


def _as_chat_message(item: dict[str, Any]) -> dict[str, Any]:
    kind, content = item.get("type", "message"), item.get("content")
    if kind == "function_call":
        return engine.call_message(item.get("name"), item.get("arguments"))
    if kind == "function_call_output":
        return engine.chat_message("tool", item.get("output"))
    if kind != "message":
        return engine.chat_message("assistant", "")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    images = [url for part in parts if isinstance(url := part.get("image_url"), str)]
    return engine.chat_message(str(item.get("role", "user")), content, images)


async def create_response(exchange: DemoExchange) -> None:
    request = await exchange.read(ResponsesRequest)
    convert(request.items, list[ItemTypes])
    history = _history(exchange, request)
    generation = await engine.generate(exchange, request.as_chat(history), "v1/responses", stream=bool(request.stream))
    body = _body(generation, request)
    if request.conversation_id:
        add_items(exchange, request.conversation_id, [*request.items, *body["output"]])
    if request.store is not False:
        items = [{"id": f"msg_{secrets.token_hex(12)}", "type": "message", **one} for one in (*history, *request.items)]
        exchange.store.put(_KIND, body, msgspec.json.encode(items))
    if generation.faults.no_usage:
        body = {**body, "usage": None}
    if request.stream:
        events = _events(body, no_done=generation.faults.no_done)
        await exchange.send_events(events, generation.faults, generation.model)
        return
    queued: dict[str, Any] = {"status": "queued", "output": [], "usage": None} if request.background else {}
    await exchange.send_json({**body, **queued}, generation.faults)


def _history(exchange: DemoExchange, request: ResponsesRequest) -> list[dict[str, Any]]:
    """The items of the conversation, or of the previous response and all before it."""
    if request.conversation_id:
        return items_of(exchange, request.conversation_id)
    if request.previous_response_id is None:
        return []
    previous = exchange.store.get(_KIND, request.previous_response_id)
    return [*msgspec.json.decode(previous.content), *previous.value["output"]]


def _body(generation: engine.Generation, request: ResponsesRequest) -> dict[str, Any]:
    (output,) = generation.outputs
    cut = output.finish_reason == "length"
    status = "incomplete" if cut else "completed"
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": generation.model,
        "output": [_item(output, status)],
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "top_p": 1.0,
        "truncation": "disabled",
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "previous_response_id": request.previous_response_id,
        "tools": request.tools,
        "tool_choice": request.tool_choice or "auto",
        "conversation": {"id": request.conversation_id} if request.conversation_id else None,
        "background": bool(request.background),
        "store": request.store is not False,
        "usage": {
            "input_tokens": generation.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": generation.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": generation.input_tokens + generation.output_tokens,
        },
    }


def _item(output: engine.DemoOutput, status: str) -> dict[str, Any]:
    if output.function is None:
        content = [_text_part(output.text)]
        message_id = f"msg_{secrets.token_hex(24)}"
        return {"id": message_id, "type": "message", "status": status, "role": "assistant", "content": content}
    call = {"arguments": output.text, "call_id": output.call_id, "name": output.function}
    return {"id": f"fc_{secrets.token_hex(24)}", "type": "function_call", "status": status, **call}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _events(body: dict[str, Any], *, after: int = -1, no_done: bool = False) -> Iterator[DemoEvent]:
    """The response as events with numbers from 0, those behind `after`; `no_done` leaves out the last."""
    created = {**body, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events = [
        ("response.created", {"response": created}),
        ("response.in_progress", {"response": created}),
        *_item_events(body["output"][0]),
    ]
    if not no_done:
        events.append((f"response.{body['status']}", {"response": body}))
    for number, (name, fields) in enumerate(events):
        if number > after:
            yield typed_event(name, {"sequence_number": number, **fields}, content=name.endswith(".delta"))


def _item_events(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    yield "response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", **empty}}
    if item["type"] == "message":
        (part,) = item["content"]
        place["content_index"] = 0
        yield "response.content_part.added", {**place, "part": _text_part("")}
        for word in split_words(part["text"]):
            delta = {"delta": word, "logprobs": [], "obfuscation": secrets.token_urlsafe(6)}
            yield "response.output_text.delta", {**place, **delta}
        yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**place, "part": part}
    else:
        for fragment in split_arguments(item["arguments"]):
            yield "response.function_call_arguments.delta", {**place, "delta": fragment}
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield "response.function_call_arguments.done", {**place, **done}
    yield "response.output_item.done", {"output_index": 0, "item": item}


async def show_response(exchange: DemoExchange) -> None:
    """`GET /v1/responses/{id}`; with `stream=true` its events again, behind `starting_after`."""
    stored = exchange.store.get(_KIND, exchange.path("id"))
    if exchange.query("stream") != "true":
        await exchange.send_json(stored.value)
        return
    after = exchange.query("starting_after")
    events = list(_events(stored.value, after=int(after) if after.isdecimal() else -1))
    if not events:
        raise InvalidRequest("There is no event behind 'starting_after'.", param="starting_after")
    await exchange.send_events(iter(events), DemoFaults(), str(stored.value["model"]))


async def delete_response(exchange: DemoExchange) -> None:
    exchange.store.delete(_KIND, exchange.path("id"))
    await exchange.send_json({"id": exchange.path("id"), "object": "response", "deleted": True})


async def cancel_response(exchange: DemoExchange) -> None:
    """`POST /v1/responses/{id}/cancel`: for responses that were created in the background."""
    stored = exchange.store.get(_KIND, exchange.path("id"))
    if not stored.value["background"]:
        raise InvalidRequest("Cannot cancel a synchronous response.")
    await exchange.send_json(exchange.store.update(stored, {"status": "cancelled"}).value)


async def list_input_items(exchange: DemoExchange) -> None:
    await send_page(exchange, msgspec.json.decode(exchange.store.get(_KIND, exchange.path("id")).content))


async def count_input_tokens(exchange: DemoExchange) -> None:
    request = await exchange.read(ResponsesRequest)
    chat = request.as_chat(_history(exchange, request))
    chat.validate("v1/responses/input_tokens")
    await exchange.send_json({"object": "response.input_tokens", "input_tokens": chat.input_tokens})


async def compact(exchange: DemoExchange) -> None:
    """`POST /v1/responses/compact`: the user's messages, and the rest as one opaque item."""
    request = await exchange.read(ResponsesRequest)
    generation = await engine.generate(exchange, request.as_chat(_history(exchange, request)), "v1/responses/compact")
    item = {"id": f"cmp_{secrets.token_hex(12)}", "type": "compaction", "encrypted_content": secrets.token_hex(32)}
    tokens = generation.input_tokens
    usage = {"usage": {"input_tokens": tokens, "output_tokens": 16, "total_tokens": tokens + 16}}
    body = {
        "id": f"resp_{secrets.token_hex(16)}",
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*(one for one in request.items if one.get("role") == "user"), item],
    }
    await exchange.send_json({**body, **({} if generation.faults.no_usage else usage)}, generation.faults)
