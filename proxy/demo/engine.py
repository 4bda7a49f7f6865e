"""The one text engine behind all text formats: a request in OpenAI's chat form in, generated outputs out.

Each format converts its requests to `ChatRequest` and writes the outputs in its own shape; no shape is known here.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from proxy.demo.exchange import DemoExchange, convert
from proxy.demo.faults import DemoFaults, parse_faults, without_phrases
from proxy.demo.schema_sample import sample
from proxy.demo.settings import TEXT, find_model
from proxy.demo.words import CHARACTERS_PER_TOKEN, count_tokens, filler_text, text_for, tokens_in
from proxy.errors import InvalidRequest

_MESSAGE_TOKENS: Final = 3
_IMAGE_TOKENS: Final = 765
#: A longer text, such as a coding agent sends with every message, contains all kinds of words and asks for no function.
_MAX_NAMING_CHARACTERS: Final = 300
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Words of a function's name that a text which asks for it need not contain.
_VERBS: Final = frozenset({"get", "fetch", "find", "search", "look", "up", "lookup", "list", "show", "current", "my"})


Count = Annotated[int, msgspec.Meta(ge=1)]


class ChatMessage(msgspec.Struct, frozen=True):
    """A message of the conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: Any = None

    @property
    def text(self) -> str:
        """All text of the message."""
        return plain_text(self.content)

    @property
    def images(self) -> list[dict[str, Any]]:
        """The images of the message: each has a `url`, which contains it if that is one of `data:`."""
        parts = self.content if isinstance(self.content, list) else []
        return [image for part in parts if isinstance(image := part.get("image_url"), dict)]


class ToolFunction(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: Any = None


class ChatTool(msgspec.Struct, frozen=True):
    """A tool; only functions are ever called."""

    type: str
    function: ToolFunction | None = None


class TextRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What chat requests and plain completions have in common. Unknown fields are ignored."""

    model: str
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))

    @property
    def stops(self) -> list[str]:
        """The texts before which an output ends."""
        return [stop for stop in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if stop]

    def validate(self, path: str) -> str:
        """The dated name of the requested model. Raises InvalidRequest or ModelNotFound."""
        if self.stream_options is not None and not self.stream:
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise InvalidRequest(message, param="stream_options", code="invalid_value")
        return find_model(self.model, TEXT, path).name


class ChatRequest(TextRequest, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`, and the form to which the other formats are converted."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    tools: list[ChatTool] | None = None
    tool_choice: Any = None
    response_format: Any = None

    @property
    def last_user_message(self) -> ChatMessage:
        """The prompt; an empty message where no user message is sent."""
        return next((one for one in reversed(self.messages) if one.role == "user"), ChatMessage("user"))

    @property
    def input_tokens(self) -> int:
        """Tokens of the whole conversation: text, images, earlier function calls and the tools."""
        calls = [message.tool_calls for message in self.messages if message.tool_calls]
        tokens = _MESSAGE_TOKENS + sum(tokens_in(len(msgspec.json.encode(one))) for one in (*calls, self.tools) if one)
        for message in self.messages:
            tokens += _MESSAGE_TOKENS + count_tokens(message.text)
            tokens += sum(85 if image.get("detail") == "low" else _IMAGE_TOKENS for image in message.images)
        return tokens

    def called_function(self, ordered: str | None = None) -> ToolFunction | None:
        """The function to call: the one that a phrase, `tool_choice` or the prompt names; none after a tool's output.

        Raises InvalidRequest for a name that is not among the tools.
        """
        functions = [tool.function for tool in self.tools or () if tool.function]
        choice = self.tool_choice
        if self.messages[-1].role == "tool" or (choice == "none" and not ordered):
            return None
        if ordered:
            return _named(functions, ordered, "demo:call")
        if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
            return _named(functions, choice["function"].get("name"), "tool_choice")
        first = functions[0] if functions and choice == "required" else None
        return _asked_for(self.last_user_message.text, functions) or first


def _asked_for(text: str, functions: Sequence[ToolFunction]) -> ToolFunction | None:
    """The function that a short text names: by its whole name, or by all words of it that are no mere verbs."""
    words = set(_name_words(text)) if len(text) <= _MAX_NAMING_CHARACTERS else set()
    for function in functions:
        name = set(_name_words(function.name)) - _VERBS
        if function.name.lower() in words or (name and words >= name):
            return function
    return None


def _name_words(text: str) -> list[str]:
    """The words of a text or a name: get_weather, get-weather and getWeather have the same two."""
    return re.findall(r"[^\W_]+", _CAMEL_CASE.sub(" ", text).lower())


def _named(functions: Sequence[ToolFunction], name: Any, param: str) -> ToolFunction:
    for function in functions:
        if function.name == name:
            return function
    message = f"The tool that '{param}' names ({name}) is not among 'tools'."
    raise InvalidRequest(message, param=param, code="invalid_value")


def chat_request(model: str, messages: Iterable[dict[str, Any]], **fields: Any) -> ChatRequest:
    """The chat request of another format: its messages, and fields of ChatRequest. Raises InvalidRequest.

    `functions` are wrapped as tools, and a JSON `schema` as the response format.
    """
    functions, schema = fields.pop("functions", ()), fields.pop("schema", None)
    if functions:
        fields["tools"] = [{"type": "function", "function": function} for function in functions]
    if schema is not None:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return convert({"model": model, "messages": list(messages), **fields}, ChatRequest)


def chat_message(role: str, content: Any, images: Iterable[str] = ()) -> dict[str, Any]:
    """A message of a text, or of a list of texts and of parts with a `text`, and of image addresses."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": plain_text(content)}]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"role": role, "content": parts}


def call_message(name: Any, arguments: Any) -> dict[str, Any]:
    """The message with which the model called a function before."""
    return {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


def function_choice(name: Any) -> dict[str, Any]:
    """The `tool_choice` that demands one function."""
    return {"type": "function", "function": {"name": name}}


def plain_text(content: Any) -> str:
    """The text of a content: a text, or a list of texts and of parts with a `text`; anything else has none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True)
class DemoOutput:
    """A generated output: a text, or the arguments of a call of `function`."""

    text: str
    finish_reason: str
    function: str | None = None
    call_id: str = ""

    @property
    def tokens(self) -> int:
        """Its output tokens."""
        return count_tokens(self.text) + count_tokens(self.function or "")

    @property
    def arguments(self) -> Any:
        """The arguments of the call as JSON; empty where the token limit cut them off."""
        try:
            return msgspec.json.decode(self.text)
        except msgspec.DecodeError:
            return {}


@dataclass(frozen=True)
class Generation:
    """All that a format writes into its response."""

    model: str
    faults: DemoFaults
    outputs: list[DemoOutput]
    input_tokens: int

    @property
    def output_tokens(self) -> int:
        """The output tokens of all outputs."""
        return sum(output.tokens for output in self.outputs)


async def generate(exchange: DemoExchange, request: ChatRequest, path: str, *, stream: bool = False) -> Generation:
    """Validate a request, generate its outputs and wait until the first byte is due.

    Raises the errors of `TextRequest.validate` and `DemoExchange.think`.
    """
    model = request.validate(path)
    faults = parse_faults(request.last_user_message.text)
    outputs = [_output(request, faults, index) for index in range(request.n or 1)]
    await exchange.think(faults, model, [output.text for output in outputs], stream=stream)
    return Generation(model, faults, outputs, request.input_tokens)


def _output(request: ChatRequest, faults: DemoFaults, index: int) -> DemoOutput:
    message, last = request.last_user_message, request.messages[-1]
    prompt = without_phrases(message.text)
    limit = request.max_completion_tokens or request.max_tokens
    function = request.called_function(faults.call)
    if function is not None:
        arguments = msgspec.json.encode(sample(function.parameters or {"type": "object"}, prompt)).decode()
        room = None if limit is None else max(limit - count_tokens(function.name), 0)
        text, reason = cut_text(arguments, [], room)
        call_id = f"call_{secrets.token_hex(12)}"
        return DemoOutput(text, "tool_calls" if reason == "stop" else reason, function.name, call_id)
    if faults.tokens:
        text = filler_text(faults.tokens)
    elif formatted := _formatted(request.response_format, prompt):
        text = formatted
    elif message.images:
        urls = [str(image.get("url")) for image in message.images[:4]]
        kinds = ", ".join(url[5:40].partition(";")[0] for url in urls if url.startswith("data:")) or "by address"
        text = f"You sent {len(message.images)} images ({kinds}). The built-in demo model cannot see, but they arrived."
    elif last.role == "tool":
        text = f"The tool answered: {last.text[:400]} That settles it; nothing else is needed."
    else:
        text = text_for(message.text)
    if index and not request.response_format:
        text = f"Answer {index + 1}. {text}"
    return DemoOutput(*cut_text(text, request.stops, limit))


def cut_text(text: str, stops: list[str], limit: int | None) -> tuple[str, str]:
    """The text up to the first stop and within `limit` tokens, and its finish reason."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    if limit is not None and count_tokens(text) > limit:
        return text[: limit * CHARACTERS_PER_TOKEN], "length"
    return text, "stop"


def _formatted(response_format: Any, prompt: str) -> str | None:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object":
        return msgspec.json.encode({"answer": text_for(prompt), "question": prompt}).decode()
    wanted = response_format.get("json_schema") if kind == "json_schema" else None
    return msgspec.json.encode(sample(wanted.get("schema", {}), prompt)).decode() if isinstance(wanted, dict) else None
