"""The writer of Gemini's format: `/v1beta/models/{model}:generateContent` and its neighbours.

A stream is events with CRLF (`alt=sse`), or one JSON array that grows; the model is named by the path alone.
"""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo.engine import (
    ChatRequest,
    Generation,
    call_message,
    chat_message,
    chat_request,
    function_choice,
    generate,
)
from proxy.demo.exchange import DemoEvent, DemoExchange, event
from proxy.demo.faults import parse_faults
from proxy.demo.words import split_words, tokens_in

_FINISH_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_MODES: Final = {"NONE": "none", "ANY": "required"}


class FunctionDeclaration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A function; its parameters come in one of two fields."""

    name: str
    description: str | None = None
    parameters: Any = None
    parameters_json_schema: Any = None


class GeminiTool(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tool; only functions are ever called."""

    function_declarations: list[FunctionDeclaration] = []


class FunctionCallingConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which functions may be called."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`toolConfig`."""

    function_calling_config: FunctionCallingConfig = FunctionCallingConfig()


class GenerationConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`generationConfig`."""

    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str = ""
    response_schema: Any = None
    response_json_schema: Any = None


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request; contents are lists of parts."""

    contents: list[dict[str, Any]] = []
    system_instruction: dict[str, Any] = {}
    tools: list[GeminiTool] = []
    tool_config: ToolConfig = ToolConfig()
    generation_config: GenerationConfig = GenerationConfig()

    def as_chat(self, model: str) -> ChatRequest:
        """The same as a chat request. Raises InvalidRequest."""
        config, calling = self.generation_config, self.tool_config.function_calling_config
        choice: Any = _MODES.get(calling.mode)
        if choice == "required" and calling.allowed_function_names:
            choice = function_choice(calling.allowed_function_names[0])
        declared = [one for tool in self.tools for one in tool.function_declarations]
        as_json = config.response_mime_type == "application/json"
        return chat_request(
            model,
            [
                *([chat_message("system", parts_of(self.system_instruction))] if self.system_instruction else []),
                *(_as_chat_message(content) for content in self.contents),
            ],
            max_completion_tokens=config.max_output_tokens,
            stop=config.stop_sequences,
            functions=[
                {"name": one.name, "parameters": one.parameters_json_schema or one.parameters} for one in declared
            ],
            tool_choice=choice,
            schema=config.response_json_schema or config.response_schema,
            response_format={"type": "json_object"} if as_json else None,
        )


def parts_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a content."""
    parts = content.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _as_chat_message(content: dict[str, Any]) -> dict[str, Any]:
    parts = parts_of(content)
    for part in parts:
        if isinstance(output := part.get("functionResponse"), dict):
            return chat_message("tool", msgspec.json.encode(output.get("response")).decode())
        if isinstance(call := part.get("functionCall"), dict):
            return call_message(call.get("name"), call.get("args"))
    inline = [data for part in parts if isinstance(data := part.get("inlineData"), dict)]
    images = [f"data:{data.get('mimeType')};base64,{data.get('data')}" for data in inline]
    return chat_message("assistant" if content.get("role") == "model" else "user", parts, images)


async def generate_content(exchange: DemoExchange) -> None:
    chat = (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))
    generation = await generate(exchange, chat, "generateContent")
    (output,) = generation.outputs
    parts = [{"text": output.text}]
    body = _chunk(generation, parts, _FINISH_REASONS[output.finish_reason], output.tokens)
    await exchange.send_json(body, generation.faults)


async def stream_content(exchange: DemoExchange) -> None:
    chat = (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))
    generation = await generate(exchange, chat, "generateContent", stream=True)
    chunks = _chunks(generation)
    if exchange.query("alt") == "sse":
        events = (event(chunk, content=True, crlf=True) for chunk in chunks)
        await exchange.send_events(events, generation.faults, generation.model)
    else:
        await exchange.send_events(_as_array(chunks), generation.faults, generation.model, b"application/json")


def _chunks(generation: Generation) -> Iterator[dict[str, Any]]:
    """One chunk for each word, with the usage so far; the last one has the finish reason."""
    (output,) = generation.outputs
    response_id = secrets.token_urlsafe(16)
    texts = [""] if output.function is not None else list(split_words(output.text)) or [""]
    characters = 0
    for number, text in enumerate(texts, 1):
        characters += len(text)
        last = number == len(texts)
        reason = _FINISH_REASONS[output.finish_reason] if last and not generation.faults.no_done else None
        tokens = output.tokens if last else tokens_in(characters)
        yield {**_chunk(generation, [{"text": text}], reason, tokens), "responseId": response_id}


def _chunk(generation: Generation, parts: list[dict[str, Any]], reason: str | None, tokens: int) -> dict[str, Any]:
    (output,) = generation.outputs
    if output.function is not None:
        parts = [{"functionCall": {"name": output.function, "args": output.arguments}}]
    finish = {} if reason is None else {"finishReason": reason}
    usage = {
        "promptTokenCount": generation.input_tokens,
        "candidatesTokenCount": tokens,
        "totalTokenCount": generation.input_tokens + tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": generation.input_tokens}],
    }
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, **finish, "index": 0}],
        "modelVersion": generation.model,
        "responseId": secrets.token_urlsafe(16),
        **({} if generation.faults.no_usage else {"usageMetadata": usage}),
    }


def _as_array(chunks: Iterator[dict[str, Any]]) -> Iterator[DemoEvent]:
    separator = b"["
    for chunk in chunks:
        yield DemoEvent(separator + msgspec.json.format(msgspec.json.encode(chunk), indent=2), True)
        separator = b"\r\n,\r\n"
    yield DemoEvent(b"]")


async def count_content_tokens(exchange: DemoExchange) -> None:
    chat = (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))
    model = chat.validate("countTokens")
    await exchange.think(parse_faults(chat.last_user_message.text), model)
    details = [{"modality": "TEXT", "tokenCount": chat.input_tokens}]
    await exchange.send_json({"totalTokens": chat.input_tokens, "promptTokensDetails": details})
