"""`POST /v1/messages` and `/v1/messages/count_tokens` of the demo provider, in Anthropic's format."""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo.answers import fragments, pieces
from proxy.demo.conversation import called, chat_request, demanded, message, text_of
from proxy.demo.exchange import Event, Exchange, named_event
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.plans import plan
from proxy.demo.replies import Choice, begin
from proxy.demo.requests import ChatRequest
from proxy.errors import InvalidRequest

_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; contents are texts or lists of blocks."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: dict[str, Any] | None = None
    stream: bool | None = None

    def as_chat(self) -> ChatRequest:
        """The same as a chat request."""
        system = [message("system", [text_of(self.system)])] if self.system else []
        choice = self.tool_choice or {}
        named = {"tool": demanded(str(choice.get("name"))), "none": "none", "any": "required"}
        functions = [
            {"name": tool.get("name"), "description": tool.get("description"), "parameters": tool["input_schema"]}
            for tool in self.tools
            if "input_schema" in tool
        ]
        return chat_request(
            self.model,
            [*system, *(_as_message(one) for one in self.messages)],
            limit=self.max_tokens,
            stops=self.stop_sequences,
            functions=functions,
            choice=named.get(str(choice.get("type"))),
        )


def _as_message(one: dict[str, Any]) -> dict[str, Any]:
    role, content = str(one.get("role")), one.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for block in blocks:
        if block.get("type") == "tool_result":
            return message("tool", [text_of(block.get("content"))])
        if block.get("type") == "tool_use":
            return called(str(block.get("name")), block.get("input"))
    images = [_image(block.get("source")) for block in blocks if block.get("type") == "image"]
    return message(role, [text_of(content)], images)


def _image(source: Any) -> str:
    """The address of an image."""
    if not isinstance(source, dict):
        return ""
    return str(source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}")


async def create(exchange: Exchange) -> None:
    """`POST /v1/messages`."""
    request = await exchange.read(MessagesRequest)
    if request.max_tokens is None:
        raise InvalidRequest("max_tokens: Field required", param="max_tokens")
    chat = request.as_chat()
    model = chat.check("v1/messages")
    orders = read_orders(chat.last_user_message.text)
    choice = plan(chat, orders, 0)
    stream = bool(request.stream)
    if not await begin(exchange, orders, model.name, choice.text, stream=stream):
        return
    usage = None if orders.no_usage else _usage(chat.input_tokens, choice.tokens)
    answer = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model.name,
        "content": [_block(choice)],
        "stop_reason": _STOP_REASONS[choice.finish_reason],
        "stop_sequence": None,
        **({} if usage is None else {"usage": usage}),
    }
    if stream:
        await exchange.send_events(_stream(answer, choice, orders), orders, model.name)
        return
    await exchange.send_json(answer, orders=orders)


async def count_tokens(exchange: Exchange) -> None:
    """`POST /v1/messages/count_tokens`, and `POST /v1/count_tokens`."""
    chat = (await exchange.read(MessagesRequest)).as_chat()
    model = chat.check("count_tokens")
    if await begin(exchange, read_orders(chat.last_user_message.text), model.name):
        await exchange.send_json({"input_tokens": chat.input_tokens})


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _block(choice: Choice) -> dict[str, Any]:
    if choice.function is None:
        return {"type": "text", "text": choice.text}
    try:
        arguments = msgspec.json.decode(choice.text)
    except msgspec.DecodeError:
        # Cut off by max_tokens: there is no whole value to give.
        arguments = {}
    return {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": choice.function, "input": arguments}


def _stream(answer: dict[str, Any], choice: Choice, orders: Orders) -> Iterator[Event]:
    usage = answer.get("usage")
    begun = {**answer, "content": [], "stop_reason": None}
    if usage:
        begun["usage"] = {**usage, "output_tokens": 1}
    yield _event("message_start", {"message": begun})
    block = answer["content"][0]
    opening = {**block, "text": ""} if choice.function is None else {**block, "input": {}}
    yield _event("content_block_start", {"index": 0, "content_block": opening})
    yield _event("ping", {})
    for delta in _deltas(choice):
        yield _event("content_block_delta", {"index": 0, "delta": delta}, content=True)
    yield _event("content_block_stop", {"index": 0})
    ending = {"delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None}}
    yield _event("message_delta", {**ending, "usage": usage} if usage else ending)
    if not orders.no_done:
        yield _event("message_stop", {})


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    if choice.function is None:
        return ({"type": "text_delta", "text": piece} for piece in pieces(choice.text))
    return ({"type": "input_json_delta", "partial_json": part} for part in fragments(choice.text))


def _event(name: str, fields: dict[str, Any], *, content: bool = False) -> Event:
    return named_event(name, {"type": name, **fields}, content=content)


ROUTES: Final = (
    ("POST", "/v1/messages", create),
    ("POST", "/v1/messages/count_tokens", count_tokens),
    ("POST", "/v1/count_tokens", count_tokens),
)
