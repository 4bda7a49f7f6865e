"""The writer of Anthropic's format: `POST /v1/messages`, and the token counts of such requests."""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo import engine
from proxy.demo.exchange import DemoEvent, DemoExchange, typed_event
from proxy.demo.settings import TEXT
from proxy.demo.words import split_arguments, split_words
from proxy.errors import InvalidRequest

_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/messages`; contents are texts or lists of blocks."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: dict[str, Any] | None = None
    stream: bool | None = None

    def as_chat(self) -> engine.ChatRequest:
        """The same as a chat request. Raises InvalidRequest."""
        choice = self.tool_choice or {}
        choices = {"tool": engine.function_choice(choice.get("name")), "none": "none", "any": "required"}
        return engine.chat_request(
            self.model,
            [
                *([engine.chat_message("system", self.system)] if self.system else []),
                *(_as_chat_message(message) for message in self.messages),
            ],
            max_completion_tokens=self.max_tokens,
            stop=self.stop_sequences,
            functions=[{**tool, "parameters": tool["input_schema"]} for tool in self.tools if "input_schema" in tool],
            tool_choice=choices.get(str(choice.get("type"))),
        )


def _as_chat_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for block in blocks:
        if block.get("type") == "tool_result":
            return engine.chat_message("tool", block.get("content"))
        if block.get("type") == "tool_use":
            return engine.call_message(block.get("name"), block.get("input"))
    images = [_image_url(block.get("source")) for block in blocks if block.get("type") == "image"]
    return engine.chat_message(str(message.get("role")), content, images)


def _image_url(source: Any) -> str:
    if not isinstance(source, dict):
        return ""
    return str(source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}")


async def create_message(exchange: DemoExchange) -> None:
    request = await exchange.read(MessagesRequest)
    if request.max_tokens is None:
        raise InvalidRequest("max_tokens: Field required", param="max_tokens")
    generation = await engine.generate(exchange, request.as_chat(), "v1/messages", stream=bool(request.stream))
    (output,) = generation.outputs
    block: dict[str, Any] = {"type": "text", "text": output.text}
    if output.function is not None:
        call_id = f"toolu_{secrets.token_hex(12)}"
        block = {"type": "tool_use", "id": call_id, "name": output.function, "input": output.arguments}
    usage = {
        "input_tokens": generation.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": generation.output_tokens,
        "service_tier": "standard",
    }
    body = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": generation.model,
        "content": [block],
        "stop_reason": _STOP_REASONS[output.finish_reason],
        "stop_sequence": None,
        **({} if generation.faults.no_usage else {"usage": usage}),
    }
    if request.stream:
        await exchange.send_events(_events(body, generation), generation.faults, generation.model)
    else:
        await exchange.send_json(body, generation.faults)


def _events(body: dict[str, Any], generation: engine.Generation) -> Iterator[DemoEvent]:
    (output,), (block,) = generation.outputs, body["content"]
    usage = {"usage": body["usage"]} if "usage" in body else {}
    message = {**body, "content": [], "stop_reason": None}
    if usage:
        message["usage"] = {**body["usage"], "output_tokens": 1}
    yield typed_event("message_start", {"message": message})
    empty: dict[str, Any] = {"text": ""} if output.function is None else {"input": {}}
    yield typed_event("content_block_start", {"index": 0, "content_block": {**block, **empty}})
    yield typed_event("ping", {})
    if output.function is None:
        deltas = [{"type": "text_delta", "text": word} for word in split_words(output.text)]
    else:
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in split_arguments(output.text)]
    for delta in deltas:
        yield typed_event("content_block_delta", {"index": 0, "delta": delta}, content=True)
    yield typed_event("content_block_stop", {"index": 0})
    ending = {"stop_reason": body["stop_reason"], "stop_sequence": None}
    yield typed_event("message_delta", {"delta": ending, **usage})
    if not generation.faults.no_done:
        yield typed_event("message_stop", {})


async def count_message_tokens(exchange: DemoExchange) -> None:
    chat = (await exchange.read(MessagesRequest)).as_chat()
    await exchange.begin(chat.model, TEXT, chat.last_user_message.text)
    await exchange.send_json({"input_tokens": chat.input_tokens})
