"""`POST /v1/responses` of the demo provider and what belongs to it: stored answers, counting, compacting.

What an answer looks like on the wire is in `response_shapes`; here it is planned, kept and found again.
"""

import secrets
import time
from typing import Any, Final

import msgspec

from proxy.demo.conversation import called, chat_request, demanded, message, text_of
from proxy.demo.conversations import add_items, items_of
from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.plans import plan
from proxy.demo.replies import begin
from proxy.demo.requests import ChatRequest
from proxy.demo.response_shapes import events, whole
from proxy.errors import InvalidRequest

_KIND: Final = "response"
_NO_ORDERS: Final = Orders()


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; its input is a text or a list of items."""

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
        """The conversation that the answer belongs to; empty where it belongs to none."""
        named = self.conversation.get("id") if isinstance(self.conversation, dict) else self.conversation
        return named if isinstance(named, str) else ""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input as items."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": self.input}]}]
        return self.input

    def as_chat(self, before: list[dict[str, Any]]) -> ChatRequest:
        """The same as a chat request; `before` are the items of the conversation so far."""
        form = self.text.get("format")
        form = form if isinstance(form, dict) else {}
        choice = self.tool_choice
        if isinstance(choice, dict) and choice.get("type") == "function":
            choice = demanded(str(choice.get("name")))
        system = [message("system", [self.instructions])] if self.instructions else []
        return chat_request(
            self.model,
            [*system, *(_as_message(item) for item in (*before, *self.items))],
            limit=self.max_output_tokens,
            functions=[tool for tool in self.tools if tool.get("type") == "function"],
            choice=choice,
            schema=form.get("schema") if form.get("type") == "json_schema" else None,
            as_json=form.get("type") == "json_object",
        )


def _as_message(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "function_call":
        return called(str(item.get("name")), item.get("arguments"))
    if kind == "function_call_output":
        output = item.get("output")
        return message("tool", [output if isinstance(output, str) else text_of(output)])
    if kind != "message":
        return message("assistant", [])
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    images = [part.get("image_url") for part in parts if isinstance(part, dict)]
    return message(
        str(item.get("role", "user")), [text_of(content)], [image for image in images if isinstance(image, str)]
    )


async def create(exchange: Exchange) -> None:
    """`POST /v1/responses`."""
    request = await exchange.read(ResponsesRequest)
    before = _before(exchange, request)
    chat = request.as_chat(before)
    model = chat.check("v1/responses")
    orders = read_orders(chat.last_user_message.text)
    choice = plan(chat, orders, 0)
    stream = bool(request.stream)
    if not await begin(exchange, orders, model.name, choice.text, stream=stream):
        return
    settings = {
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "previous_response_id": request.previous_response_id,
        "tools": request.tools,
        "tool_choice": "auto" if request.tool_choice is None else request.tool_choice,
        "conversation": {"id": request.conversation_id} if request.conversation_id else None,
        "background": bool(request.background),
        "store": request.store is not False,
    }
    answer = whole(model.name, choice, chat.input_tokens, settings)
    if request.conversation_id:
        add_items(exchange, request.conversation_id, [*request.items, *answer["output"]])
    if request.store is not False:
        _keep(exchange, answer, [*before, *request.items])
    shown = {**answer, "usage": None} if orders.no_usage else answer
    if stream:
        await exchange.send_events(events(shown, no_done=orders.no_done), orders, model.name)
        return
    if request.background:
        shown = {**shown, "status": "queued", "output": [], "usage": None}
    await exchange.send_json(shown, orders=orders)


def _keep(exchange: Exchange, answer: dict[str, Any], items: list[dict[str, Any]]) -> None:
    named = [{"id": f"msg_{secrets.token_hex(12)}", "type": "message", **item} for item in items]
    exchange.store.put(_KIND, answer, msgspec.json.encode(named))


def _before(exchange: Exchange, request: ResponsesRequest) -> list[dict[str, Any]]:
    """The items of the conversation, or of the answer that this one follows and of all before."""
    if request.conversation_id:
        return items_of(exchange, request.conversation_id)
    if request.previous_response_id is None:
        return []
    thing = exchange.store.get(_KIND, request.previous_response_id)
    items: list[dict[str, Any]] = msgspec.json.decode(thing.content)
    return [*items, *thing.value["output"]]


async def retrieve(exchange: Exchange) -> None:
    """`GET /v1/responses/{id}`; with `stream=true` its events once more, behind `starting_after`."""
    thing = exchange.store.get(_KIND, exchange.path("id"))
    if exchange.query("stream") != "true":
        await exchange.send_json(thing.value)
        return
    after = exchange.query("starting_after", "-1")
    if not after.removeprefix("-").isdecimal():
        raise InvalidRequest("'starting_after' takes a number.", param="starting_after", code="invalid_value")
    replayed = events(thing.value, after=int(after))
    await exchange.send_events(replayed, _NO_ORDERS, str(thing.value["model"]))


async def delete(exchange: Exchange) -> None:
    """`DELETE /v1/responses/{id}`."""
    exchange.store.delete(_KIND, exchange.path("id"))
    await exchange.send_json({"id": exchange.path("id"), "object": "response", "deleted": True})


async def cancel(exchange: Exchange) -> None:
    """`POST /v1/responses/{id}/cancel`: for answers that were made in the background."""
    thing = exchange.store.get(_KIND, exchange.path("id"))
    if not thing.value["background"]:
        raise InvalidRequest("Cannot cancel a synchronous response.")
    await exchange.send_json(exchange.store.change(thing, {"status": "cancelled"}).value)


async def input_items(exchange: Exchange) -> None:
    """`GET /v1/responses/{id}/input_items`."""
    thing = exchange.store.get(_KIND, exchange.path("id"))
    await page(exchange, msgspec.json.decode(thing.content))


async def input_tokens(exchange: Exchange) -> None:
    """`POST /v1/responses/input_tokens`."""
    request = await exchange.read(ResponsesRequest)
    chat = request.as_chat(_before(exchange, request))
    chat.check("v1/responses/input_tokens")
    await exchange.send_json({"object": "response.input_tokens", "input_tokens": chat.input_tokens})


async def compact(exchange: Exchange) -> None:
    """`POST /v1/responses/compact`: the conversation as one opaque item."""
    request = await exchange.read(ResponsesRequest)
    chat = request.as_chat(_before(exchange, request))
    model = chat.check("v1/responses/compact")
    orders = read_orders(chat.last_user_message.text)
    if not await begin(exchange, orders, model.name):
        return
    users = [item for item in request.items if item.get("role") == "user"]
    item = {"id": f"cmp_{secrets.token_hex(12)}", "type": "compaction", "encrypted_content": secrets.token_hex(32)}
    usage = {"input_tokens": chat.input_tokens, "output_tokens": 16, "total_tokens": chat.input_tokens + 16}
    await exchange.send_json(
        {
            "id": f"resp_{secrets.token_hex(16)}",
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [*users, item],
            **({} if orders.no_usage else {"usage": usage}),
        },
        orders=orders,
    )


def response_answer(body: msgspec.Raw) -> dict[str, Any]:
    """The whole answer to a request body, at once and not kept."""
    request = msgspec.json.decode(body, type=ResponsesRequest)
    chat = request.as_chat([])
    model = chat.check("v1/responses")
    choice = plan(chat, read_orders(chat.last_user_message.text), 0)
    return whole(model.name, choice, chat.input_tokens, {})


ROUTES: Final = (
    ("POST", "/v1/responses", create),
    ("POST", "/v1/responses/input_tokens", input_tokens),
    ("POST", "/v1/responses/compact", compact),
    ("GET", "/v1/responses/{id}", retrieve),
    ("DELETE", "/v1/responses/{id}", delete),
    ("POST", "/v1/responses/{id}/cancel", cancel),
    ("GET", "/v1/responses/{id}/input_items", input_items),
)
