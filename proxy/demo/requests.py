"""What the demo provider reads of a chat request, and what it counts as input.

Pure. Fields that it makes no use of are not named and so not checked: a provider takes more than we know.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from proxy.demo.answers import count_tokens, tokens_of
from proxy.demo.settings import TEXT, DemoModel, find_model
from proxy.errors import InvalidRequest

MOST_CHOICES = 4
_MESSAGE_TOKENS = 3
_IMAGE_TOKENS_LOW = 85
_IMAGE_TOKENS = 765
_LONGEST_ASKING = 300
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Words of a function's name that need not stand in a text which asks for it.
_VERBS = frozenset({"get", "fetch", "find", "search", "look", "up", "lookup", "list", "show", "the", "current", "my"})


class ImageUrl(msgspec.Struct, frozen=True):
    """Where an image is; `data:` URLs hold it."""

    url: str
    detail: str | None = None


class Part(msgspec.Struct, frozen=True):
    """One part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""

    @property
    def images(self) -> list[ImageUrl]:
        """Its images."""
        if isinstance(self.content, list):
            return [part.image_url for part in self.content if part.image_url]
        return []


class Function(msgspec.Struct, frozen=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: Any = None


class Tool(msgspec.Struct, frozen=True):
    """A tool; those that are no functions are never called here."""

    type: str
    function: Function | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options`."""

    include_usage: bool | None = None


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What chat requests and plain completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream is to end with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return 1 if self.n is None else self.n

    @property
    def stops(self) -> list[str]:
        """The texts before which the answer ends."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    def check(self, path: str) -> DemoModel:
        """The model that is asked. Raises InvalidRequest or ModelNotFound as OpenAI refuses such a request."""
        model = find_model(self.model, TEXT, path)
        if not 1 <= self.choices <= MOST_CHOICES:
            raise _refusal("n", f"'n' must be from 1 to {MOST_CHOICES}, not {self.n}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise _refusal("max_tokens", f"'max_tokens' must be 1 or more, not {self.max_tokens}.")
        if len(self.stops) > 4:
            raise _refusal("stop", "'stop' takes at most 4 texts.")
        if self.stream_options is not None and not self.stream:
            raise _refusal("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        return model


class ChatRequest(Generation, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: Any = None
    response_format: Any = None

    def check(self, path: str) -> DemoModel:
        """As above, and for the fields of its own."""
        model = super().check(path)
        if not self.messages:
            raise _refusal("messages", "'messages' is an empty array; send at least one message.", "empty_array")
        if self.max_completion_tokens is not None and self.max_completion_tokens < 1:
            raise _refusal("max_completion_tokens", "'max_completion_tokens' must be 1 or more.")
        if self.max_completion_tokens is not None and self.max_tokens is not None:
            raise _refusal("max_tokens", "Set 'max_completion_tokens' or 'max_tokens', not both.")
        return model

    @property
    def last_user_message(self) -> Message:
        """The message that is answered; an empty one where no user spoke."""
        return next((message for message in reversed(self.messages) if message.role == "user"), Message("user"))

    @property
    def limit(self) -> int | None:
        """The most output tokens of a choice."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def input_tokens(self) -> int:
        """Tokens of the whole prompt: text, images, earlier calls and the tools on offer."""
        tokens = _MESSAGE_TOKENS
        for message in self.messages:
            tokens += _MESSAGE_TOKENS + count_tokens(message.text) + tokens_of(len(bytes(message.tool_calls)))
            tokens += sum(_IMAGE_TOKENS_LOW if image.detail == "low" else _IMAGE_TOKENS for image in message.images)
        return tokens + (tokens_of(len(msgspec.json.encode(self.tools))) if self.tools else 0)

    @property
    def wanted_function(self) -> Function | None:
        """The function to call: the one that `tool_choice` demands, or that the text asks for, and else none; none
        after a tool's answer either."""
        functions = self._functions
        choice = self.tool_choice
        if choice == "none" or self.messages[-1].role == "tool":
            return None
        asked = asked_for(self.last_user_message.text, functions)
        if not isinstance(choice, dict):
            return asked or (functions[0] if functions and choice == "required" else None)
        if choice.get("type") == "allowed_tools":
            return _among_allowed(choice, functions, self.last_user_message.text)
        demanded = choice.get("function")
        return _named(functions, demanded.get("name") if isinstance(demanded, dict) else None, "tool_choice")

    def ordered_function(self, name: str) -> Function | None:
        """The function that a phrase names; none after a tool's answer."""
        return None if self.messages[-1].role == "tool" else _named(self._functions, name, "demo:call")

    @property
    def _functions(self) -> list[Function]:
        return [tool.function for tool in self.tools or () if tool.function]


class CompletionRequest(Generation, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[str]


def asked_for(text: str, functions: Sequence[Function]) -> Function | None:
    """The function that a short text names: by its whole name, or by all words of it that are no mere verbs.

    A long one, such as a coding agent sends with every message, has all kinds of words in it and asks for none.
    """
    if len(text) > _LONGEST_ASKING:
        return None
    words = set(_words(text))
    for function in functions:
        name = [word for word in _words(function.name) if word not in _VERBS]
        if function.name.lower() in words or (name and words.issuperset(name)):
            return function
    return None


def _words(text: str) -> list[str]:
    """The words of a text or a name, in lower case: get_weather, get-weather and getWeather are the same two."""
    return _WORD.findall(_HUMP.sub(" ", text).lower())


def _named(functions: Sequence[Function], name: Any, param: str) -> Function:
    for function in functions:
        if function.name == name:
            return function
    raise _refusal(param, f"The tool that '{param}' names ({name}) is not among 'tools'.")


def _among_allowed(choice: dict[str, Any], functions: Sequence[Function], text: str) -> Function | None:
    """The function for a `tool_choice` that allows some; in the chat format they are one level deeper."""
    inner = choice.get("allowed_tools")
    allowed = inner if isinstance(inner, dict) else choice
    tools = allowed.get("tools")
    names = set()
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict):
            function = tool.get("function")
            names.add(str(function.get("name") if isinstance(function, dict) else tool.get("name")))
    among = [function for function in functions if function.name in names]
    first = among[0] if among and allowed.get("mode") == "required" else None
    return asked_for(text, among) or first


def _refusal(param: str, message: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, param=param, code=code)
