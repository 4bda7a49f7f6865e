"""The writer of Gemini's format: `/v1beta/models/{model}:generateContent` and its neighbours.

A stream is events with CRLF (`alt=sse`), or one JSON array that grows; the model is named by the path alone.
"""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo import engine
from proxy.demo.exchange import DemoEvent, DemoExchange, event
from proxy.demo.settings import TEXT
from proxy.demo.words import split_words, tokens_in

_FINISH_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_MODES: Final = {"NONE": "none", "ANY": "required"}


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
    tools: list[dict[str, list[dict[str, Any]]]] = []
    tool_config: dict[str, Any] = {}
    generation_config: GenerationConfig = GenerationConfig()

    def as_chat(self, model: str) -> engine.ChatRequest:
        """The same as a chat request. Raises InvalidRequest."""
        config = self.generation_config
        declared = [one for tool in self.tools for one in tool.get("functionDeclarations", ())]
        calling = self.tool_config.get("functionCallingConfig")
        calling = calling if isinstance(calling, dict) else {}
        choice: Any = _MODES.get(str(calling.get("mode")))
        allowed = calling.get("allowedFunctionNames")
        if choice == "required" and isinstance(allowed, list) and allowed:
            choice = engine.function_choice(allowed[0])
        system = [{"role": "system", **self.system_instruction}] if self.system_instruction else []
        return engine.chat_request(
            model,
            [_as_chat_message(content) for content in (*system, *self.contents)],
            max_completion_tokens=config.max_output_tokens,
            stop=config.stop_sequences,
            functions=[
                # Parameters come in one of two fields.
                {"name": one.get("name"), "parameters": one.get("parametersJsonSchema") or one.get("parameters")}
                for one in declared
            ],
            tool_choice=choice,
            schema=config.response_json_schema or config.response_schema,
            response_format={"type": "json_object"} if config.response_mime_type == "application/json" else None,
        )


def parts_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a content."""
    parts = content.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _as_chat_message(content: dict[str, Any]) -> dict[str, Any]:
    parts = parts_of(content)
    for part in parts:
        if isinstance(output := part.get("functionResponse"), dict):
            return engine.chat_message("tool", msgspec.json.encode(output.get("response")).decode())
        if isinstance(call := part.get("functionCall"), dict):
            return engine.call_message(call.get("name"), call.get("args"))
    inline = [data for part in parts if isinstance(data := part.get("inlineData"), dict)]
    images = [f"data:{data.get('mimeType')};base64,{data.get('data')}" for data in inline]
    roles = {"model": "assistant", "system": "system"}
    return engine.chat_message(roles.get(str(content.get("role")), "user"), parts, images)


async def _read(exchange: DemoExchange) -> engine.ChatRequest:
    return (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))


async def generate_content(exchange: DemoExchange) -> None:
    generation = await engine.generate(exchange, await _read(exchange), "generateContent")
    (output,) = generation.outputs
    body = _chunk(generation, output.text, _FINISH_REASONS[output.finish_reason], output.tokens)
    await exchange.send_json(body, generation.faults)


async def stream_content(exchange: DemoExchange) -> None:
    generation = await engine.generate(exchange, await _read(exchange), "generateContent", stream=True)
    chunks = _chunks(generation)
    if exchange.query("alt") == "sse":
        events = (event(chunk, content=True, crlf=True) for chunk in chunks)
        await exchange.send_events(events, generation.faults, generation.model)
    else:
        await exchange.send_events(_as_array(chunks), generation.faults, generation.model, b"application/json")


def _chunks(generation: engine.Generation) -> Iterator[dict[str, Any]]:
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
        yield {**_chunk(generation, text, reason, tokens), "responseId": response_id}


def _chunk(generation: engine.Generation, text: str, reason: str | None, tokens: int) -> dict[str, Any]:
    (output,) = generation.outputs
    part: dict[str, Any] = {"text": text}
    if output.function is not None:
        part = {"functionCall": {"name": output.function, "args": output.arguments}}
    finish = {} if reason is None else {"finishReason": reason}
    usage = {
        "promptTokenCount": generation.input_tokens,
        "candidatesTokenCount": tokens,
        "totalTokenCount": generation.input_tokens + tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": generation.input_tokens}],
    }
    return {
        "candidates": [{"content": {"parts": [part], "role": "model"}, **finish, "index": 0}],
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
    chat = await _read(exchange)
    await exchange.begin(chat.model, TEXT, chat.last_user_message.text)
    details = [{"modality": "TEXT", "tokenCount": chat.input_tokens}]
    await exchange.send_json({"totalTokens": chat.input_tokens, "promptTokensDetails": details})
