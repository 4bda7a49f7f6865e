"""The native Gemini endpoints of the demo provider: `/v1beta/models/{model}:…`.

A stream is events with CRLF (`alt=sse`), or one JSON array that grows; the model is in the path alone.
"""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo.answers import count_tokens, pieces
from proxy.demo.conversation import called, chat_request, demanded, message, text_of
from proxy.demo.embeddings import FULL_DIMENSIONS, vector
from proxy.demo.exchange import EVENT_STREAM, Event, Exchange
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.plans import plan
from proxy.demo.replies import Choice, begin
from proxy.demo.requests import ChatRequest
from proxy.demo.settings import DEMO_MODELS, DemoModel, find_model
from proxy.errors import InvalidRequest, ModelNotFound

Parts = list[dict[str, Any]]
_FINISH_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}


class Declared(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A function on offer; its parameters come in one of two ways."""

    name: str
    description: str | None = None
    parameters: Any = None
    parameters_json_schema: Any = None


class Tool(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tool; those that are no functions are never called here."""

    function_declarations: list[Declared] = []


class Calling(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which functions may be called."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said of the tools."""

    function_calling_config: Calling = Calling()


class GenerationConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said of the answer."""

    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str = ""
    response_schema: Any = None
    response_json_schema: Any = None


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request; contents are lists of parts."""

    contents: list[dict[str, Any]] = []
    system_instruction: dict[str, Any] = {}
    tools: list[Tool] = []
    tool_config: ToolConfig = ToolConfig()
    generation_config: GenerationConfig = GenerationConfig()

    def as_chat(self, model: str) -> ChatRequest:
        """The same as a chat request."""
        config, calling = self.generation_config, self.tool_config.function_calling_config
        system = [message("system", [text_of(_parts(self.system_instruction))])] if self.system_instruction else []
        functions = [
            {
                "name": one.name,
                "description": one.description,
                "parameters": one.parameters_json_schema or one.parameters,
            }
            for tool in self.tools
            for one in tool.function_declarations
        ]
        modes = {"NONE": "none", "ANY": "required"}
        allowed = calling.allowed_function_names
        return chat_request(
            model,
            [*system, *(_as_message(content) for content in self.contents)],
            limit=config.max_output_tokens,
            stops=config.stop_sequences,
            functions=functions,
            choice=demanded(allowed[0]) if allowed and calling.mode == "ANY" else modes.get(calling.mode),
            schema=config.response_json_schema or config.response_schema,
            as_json=config.response_mime_type == "application/json",
        )


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request for one vector."""

    content: dict[str, Any]
    output_dimensionality: int | None = None
    model: str | None = None


class BatchEmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for many vectors."""

    requests: list[EmbedRequest]


def _parts(content: dict[str, Any]) -> Parts:
    parts = content.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _as_message(content: dict[str, Any]) -> dict[str, Any]:
    parts = _parts(content)
    for part in parts:
        if isinstance(answer := part.get("functionResponse"), dict):
            return message("tool", [msgspec.json.encode(answer.get("response")).decode()])
        if isinstance(call := part.get("functionCall"), dict):
            return called(str(call.get("name")), call.get("args"))
    held = [part["inlineData"] for part in parts if isinstance(part.get("inlineData"), dict)]
    images = [f"data:{data.get('mimeType')};base64,{data.get('data')}" for data in held]
    return message("assistant" if content.get("role") == "model" else "user", [text_of(parts)], images)


async def generate(exchange: Exchange) -> None:
    """`:generateContent`."""
    planned = await _planned(exchange, stream=False)
    if planned is None:
        return
    model, chat, orders, choice = planned
    answer = _chunk(model, _new_id(), _answer_parts(choice), choice.finish_reason)
    usage = {} if orders.no_usage else {"usageMetadata": _usage(chat.input_tokens, choice.tokens)}
    await exchange.send_json({**answer, **usage}, orders=orders)


async def stream(exchange: Exchange) -> None:
    """`:streamGenerateContent`."""
    planned = await _planned(exchange, stream=True)
    if planned is None:
        return
    model, chat, orders, choice = planned
    chunks = _chunks(model, chat.input_tokens, choice, orders)
    if exchange.query("alt") == "sse":
        await exchange.send_events(_as_events(chunks), orders, model.name, content_type=EVENT_STREAM)
    else:
        await exchange.send_events(_as_array(chunks), orders, model.name, content_type=b"application/json")


async def _planned(exchange: Exchange, *, stream: bool) -> tuple[DemoModel, ChatRequest, Orders, Choice] | None:
    """What is to be answered, when its time has come; None when the client left meanwhile."""
    chat = (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))
    model = chat.check("generateContent")
    orders = read_orders(chat.last_user_message.text)
    choice = plan(chat, orders, 0)
    if not await begin(exchange, orders, model.name, choice.text, stream=stream):
        return None
    return model, chat, orders, choice


def _chunks(model: DemoModel, input_tokens: int, choice: Choice, orders: Orders) -> Iterator[dict[str, Any]]:
    """One chunk for each word, the usage so far on each, and the finish reason on the last."""
    answer_id = _new_id()
    texts = [""] if choice.function is not None else list(pieces(choice.text)) or [""]
    characters = 0
    for number, text in enumerate(texts, 1):
        last = number == len(texts)
        characters += len(text)
        parts = _answer_parts(choice) if choice.function is not None else [{"text": text}]
        chunk = _chunk(model, answer_id, parts, choice.finish_reason if last and not orders.no_done else None)
        tokens = choice.tokens if last else count_tokens("x" * characters)
        yield chunk if orders.no_usage else {**chunk, "usageMetadata": _usage(input_tokens, tokens)}


def _as_events(chunks: Iterator[dict[str, Any]]) -> Iterator[Event]:
    return (Event(b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n", True) for chunk in chunks)


def _as_array(chunks: Iterator[dict[str, Any]]) -> Iterator[Event]:
    before = b"["
    for chunk in chunks:
        yield Event(before + msgspec.json.format(msgspec.json.encode(chunk), indent=2), True)
        before = b"\r\n,\r\n"
    yield Event(b"]")


def _answer_parts(choice: Choice) -> Parts:
    if choice.function is None:
        return [{"text": choice.text}]
    try:
        arguments = msgspec.json.decode(choice.text)
    except msgspec.DecodeError:
        # Cut off by maxOutputTokens: there is no whole value to give.
        arguments = {}
    return [{"functionCall": {"name": choice.function, "args": arguments}}]


def _chunk(model: DemoModel, answer_id: str, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
    reason = {} if finish_reason is None else {"finishReason": _FINISH_REASONS[finish_reason]}
    candidate = {"content": {"parts": parts, "role": "model"}, **reason, "index": 0}
    return {"candidates": [candidate], "modelVersion": model.name, "responseId": answer_id}


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "promptTokenCount": input_tokens,
        "candidatesTokenCount": output_tokens,
        "totalTokenCount": input_tokens + output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input_tokens}],
    }


def _new_id() -> str:
    return secrets.token_urlsafe(16)


async def count(exchange: Exchange) -> None:
    """`:countTokens`."""
    chat = (await exchange.read(GenerateRequest)).as_chat(exchange.path("model"))
    model = chat.check("countTokens")
    if await begin(exchange, read_orders(chat.last_user_message.text), model.name):
        details = [{"modality": "TEXT", "tokenCount": chat.input_tokens}]
        await exchange.send_json({"totalTokens": chat.input_tokens, "promptTokensDetails": details})


async def embed(exchange: Exchange) -> None:
    """`:embedContent`."""
    model = find_model(exchange.path("model"), ("embeddings",), "embedContent")
    request = await exchange.read(EmbedRequest)
    text = _checked(request, model)
    orders = read_orders(text)
    if await begin(exchange, orders, model.name):
        await exchange.send_json({"embedding": _embedding(request, text), **_embed_usage(text, orders)}, orders=orders)


async def embed_many(exchange: Exchange) -> None:
    """`:batchEmbedContents`."""
    model = find_model(exchange.path("model"), ("embeddings",), "batchEmbedContents")
    requests = (await exchange.read(BatchEmbedRequest)).requests
    texts = [_checked(request, model) for request in requests]
    orders = read_orders(" ".join(texts))
    if await begin(exchange, orders, model.name):
        embeddings = [_embedding(request, text) for request, text in zip(requests, texts, strict=True)]
        await exchange.send_json({"embeddings": embeddings, **_embed_usage(" ".join(texts), orders)}, orders=orders)


def _checked(request: EmbedRequest, model: DemoModel) -> str:
    """The text of a request that can be served. Raises InvalidRequest."""
    if request.model not in (None, f"models/{model.name}", f"models/{model.undated}"):
        raise InvalidRequest("The model of a request must be that of the path.")
    text = text_of(_parts(request.content))
    if not text or not 1 <= (request.output_dimensionality or FULL_DIMENSIONS) <= FULL_DIMENSIONS:
        raise InvalidRequest(f"Send content with text, and at most {FULL_DIMENSIONS} for outputDimensionality.")
    return text


def _embedding(request: EmbedRequest, text: str) -> dict[str, Any]:
    return {"values": vector(text, request.output_dimensionality or FULL_DIMENSIONS)}


def _embed_usage(text: str, orders: Orders) -> dict[str, Any]:
    return {} if orders.no_usage else {"usageMetadata": {"promptTokenCount": count_tokens(text)}}


async def list_models(exchange: Exchange) -> None:
    """`GET /v1beta/models`."""
    await exchange.send_json({"models": [_described(model) for model in DEMO_MODELS]})


async def retrieve_model(exchange: Exchange) -> None:
    """`GET /v1beta/models/{model}`."""
    name = exchange.path("model")
    for model in DEMO_MODELS:
        if name in (model.name, model.undated):
            return await exchange.send_json(_described(model))
    raise ModelNotFound(f"models/{name} is not found for API version v1beta.")


def _described(model: DemoModel) -> dict[str, Any]:
    return {"name": f"models/{model.name}", "displayName": model.undated, "version": model.name[-10:]}


ROUTES: Final = (
    ("GET", "/v1beta/models", list_models),
    ("POST", "/v1beta/models/{model}:generateContent", generate),
    ("POST", "/v1beta/models/{model}:streamGenerateContent", stream),
    ("POST", "/v1beta/models/{model}:countTokens", count),
    ("POST", "/v1beta/models/{model}:embedContent", embed),
    ("POST", "/v1beta/models/{model}:batchEmbedContents", embed_many),
    ("GET", "/v1beta/models/{model}", retrieve_model),
)
