"""OpenAI's chat completions for upstreams that speak Anthropic's Messages."""

import hashlib
from typing import Any, ClassVar, Final

import msgspec

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.translate.chat_request import read_messages, read_tools
from proxy.dialects.translate.chat_response import ChatMessageWriter, ChatStreamWriter
from proxy.dialects.translate.mapper import (
    RequestMapper,
    Rule,
    dropped,
    dropped_unless,
    lossy,
    mapped,
    placed,
    refused,
    refused_unless,
)
from proxy.dialects.translate.messages_request import write_messages, write_system, write_tools
from proxy.dialects.translate.messages_response import MessagesReader
from proxy.dialects.translate.schemas import CallPart, ResultPart, ThinkingPart, Turn, decode_fields
from proxy.dialects.translate.translation import Translation
from proxy.dialects.translate.writer import ModelReader, ModelWriter

#: Output tokens where neither the client nor the alias sets a bound, which Anthropic demands.
DEFAULT_MAX_TOKENS: Final = 4_096
#: Tokens to think by effort; the output's bound is above it.
_BUDGETS: Final = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
MIN_BUDGET: Final = 1_024
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}


def _temperature(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    if isinstance(value, int | float) and value > 1:
        mapper.lose(name, "it is at most 1")
        mapper.out[name] = 1
    else:
        mapper.out[name] = mapper.field(name)


def _stops(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list):
        mapper.refuse(name, "it must be a string or a list of strings")
    kept = [stop for stop in stops if not isinstance(stop, str) or stop.strip()]
    if len(kept) < len(stops):
        mapper.lose(name, "blanks alone cannot stop an answer")
    if kept:
        mapper.out["stop_sequences"] = kept


def _max_tokens(mapper: RequestMapper, name: str) -> None:
    if name == "max_completion_tokens" or mapper.field("max_completion_tokens") is None:
        mapper.out["max_tokens"] = mapper.field(name)


def _format(mapper: RequestMapper, name: str) -> None:
    raw = mapper.field(name)
    assert raw is not None
    fields: dict[str, msgspec.Raw] = mapper.decoded(raw, name, decode_fields)
    kind = bytes(fields.get("type", msgspec.Raw()))
    if kind == b'"text"':
        return
    if kind == b'"json_object"':
        mapper.lose(name, "an object of any kind is a schema here")
        schema: Any = {"type": "object"}
    else:
        inner = fields.get("json_schema")
        given = decode_fields(inner) if inner is not None and bytes(inner)[:1] == b"{" else {}
        if kind != b'"json_schema"' or "schema" not in given:
            mapper.refuse(name, "it must be `text`, `json_object`, or `json_schema` with a schema")
        schema = given.get("schema")
    mapper.out.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}


def _tool_choice(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    choice: dict[str, Any] | None = None
    if isinstance(value, str):
        if value not in _CHOICES:
            mapper.refuse(name, "it must be `auto`, `required`, `none` or a function")
        choice = {"type": _CHOICES[value]}
    elif isinstance(value, dict) and isinstance(value.get("function"), dict):
        choice = {"type": "tool", "name": value["function"].get("name")}
    elif isinstance(value, dict) and isinstance(value.get("allowed_tools"), dict):
        choice = _allowed(mapper, value["allowed_tools"])
    if choice is None:
        mapper.refuse(name, "it must be `auto`, `required`, `none`, a function or allowed tools")
    elif mapper.out.get("tools"):
        mapper.out[name] = choice


def _allowed(mapper: RequestMapper, allowed: dict[str, Any]) -> dict[str, Any]:
    """Leave the other tools out, which costs what was cached of the prompt."""
    mapper.lose("tool_choice.allowed_tools", "the other tools are left out, and the prompt's cache with them")
    tools = allowed.get("tools")
    names = [one["function"].get("name") for one in tools or () if isinstance(one, dict) and "function" in one]
    mapper.out["tools"] = [tool for tool in mapper.out.get("tools", ()) if tool["name"] in names]
    return {"type": "any" if allowed.get("mode") == "required" else "auto"}


def _parallel(mapper: RequestMapper, name: str) -> None:
    if mapper.value(name) is False and mapper.out.get("tools"):
        mapper.out.setdefault("tool_choice", {"type": "auto"})["disable_parallel_tool_use"] = True


def _user(mapper: RequestMapper, name: str) -> None:
    user = mapper.value(name)
    if isinstance(user, str) and user:
        mapper.out["metadata"] = {"user_id": hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()}


def _later(mapper: RequestMapper, name: str) -> None:
    """It depends on other fields: see `_think`."""


def _modalities(mapper: RequestMapper, name: str) -> None:
    if mapper.value(name) != ["text"]:
        mapper.refuse(name, "only text can be answered")


FIELDS: Final[dict[str, Rule]] = {
    "model": placed(),
    "messages": placed("messages", "leading system and developer messages are `system`"),
    "stream": mapped(),
    "stream_options": placed("", "the gateway itself sends the usage of a stream that asks for it"),
    "max_completion_tokens": mapped("max_tokens", _max_tokens),
    "max_tokens": mapped("max_tokens", _max_tokens),
    "temperature": lossy("above 1 it is 1; with thinking it is left out", _temperature),
    "top_p": mapped(),
    "top_k": mapped(),
    "stop": mapped("stop_sequences", _stops),
    "tools": placed("tools"),
    "tool_choice": mapped("tool_choice", _tool_choice),
    "parallel_tool_calls": mapped("tool_choice.disable_parallel_tool_use", _parallel),
    "reasoning_effort": lossy(
        "a budget of tokens, for aliases with `reasoning = true`; else left out", _later, "thinking"
    ),
    "response_format": lossy("`json_object` is a schema of any object", _format, "output_config.format"),
    "user": mapped("metadata.user_id", _user, "as its SHA-256"),
    "safety_identifier": mapped("metadata.user_id", _user, "as its SHA-256"),
    "metadata": dropped("Messages have only the user's id there"),
    "n": refused_unless(1, why="only one answer can be asked for"),
    "logprobs": refused_unless(False, why="there are none"),
    "top_logprobs": refused_unless(0, why="there are none"),
    "logit_bias": refused_unless({}, why="there is none"),
    "audio": refused("only text can be answered"),
    "modalities": refused("only text can be answered", _modalities),
    "prediction": refused("there is none"),
    "functions": refused("it is the older form of `tools`, which is to be used"),
    "function_call": refused("it is the older form of `tool_choice`, which is to be used"),
    "web_search_options": refused("the provider would search the web"),
    "frequency_penalty": dropped_unless(0, why="there is none"),
    "presence_penalty": dropped_unless(0, why="there is none"),
    "seed": dropped("there is none"),
    "verbosity": dropped("there is none"),
    "store": dropped_unless(False, why="nothing is stored"),
    "service_tier": dropped_unless("auto", "default", why="each provider has tiers of its own"),
    "prompt_cache_key": dropped("there is none"),
    "prompt_cache_options": dropped("there are none"),
    "prompt_cache_retention": dropped("there is none"),
}


class ChatToMessages(Translation):
    """`/v1/chat/completions` at upstreams of Messages."""

    caller = "openai"
    target = "anthropic"
    endpoints = ("/v1/chat/completions",)
    pair = "chat>messages"
    fields: ClassVar[dict[str, Rule]] = FIELDS

    def path(self, path: bytes, stream: bool) -> bytes:
        return b"/messages"

    def map(self, mapper: RequestMapper) -> None:
        out: dict[str, Any] = mapper.out
        out["model"] = self.terms.model
        system, turns = read_messages(mapper)
        _check_calls(mapper, turns)
        if system:
            out["system"] = write_system(system)
        tools = write_tools(read_tools(mapper))
        if tools:
            out["tools"] = tools
        mapper.map(FIELDS)
        if "max_tokens" not in out:
            mapper.lose("max_tokens", "Anthropic demands a bound; set `max_completion_tokens`")
            out["max_tokens"] = self.terms.max_output_tokens or DEFAULT_MAX_TOKENS
        _think(mapper, turns)
        out["messages"] = write_messages(mapper, turns)

    def target_dialect(self) -> Dialect:
        return MESSAGES

    def model_reader(self, writer: ModelWriter) -> ModelReader:
        return MessagesReader(writer)

    def stream_writer(self) -> ModelWriter:
        wants_usage = self.body_read is not None and self.body_read.wants_usage
        return ChatStreamWriter(self.terms.alias, self.request, wants_usage)

    def message_writer(self) -> ModelWriter:
        return ChatMessageWriter(self.terms.alias, self.request)


def _check_calls(mapper: RequestMapper, turns: list[Turn]) -> None:
    """Refuse a call without a result, which Anthropic would refuse in words about its own format."""
    for at, turn in enumerate(turns):
        calls = [part.id for part in turn.parts if isinstance(part, CallPart)]
        after = turns[at + 1].parts if at + 1 < len(turns) else []
        results = {part.id for part in after if isinstance(part, ResultPart)}
        for id in calls:
            if id not in results:
                mapper.refuse("messages", f"the call `{id[:64]}` has no result behind it")


def _think(mapper: RequestMapper, turns: list[Turn]) -> None:
    """Have the model think as much as the effort says, and leave out what thinking forbids."""
    effort = mapper.text("reasoning_effort")
    if not effort:
        return
    if effort not in _BUDGETS and effort != "none":
        mapper.refuse("reasoning_effort", f"it must be none, {', '.join(_BUDGETS)}")
    out = mapper.out
    if not mapper.terms.reasoning:
        mapper.drop("reasoning_effort")
        return
    if effort == "none":
        out["thinking"] = {"type": "disabled"}
        return
    if _lacks_thoughts(turns):
        # The provider refuses a loop of tools whose thoughts are not there.
        mapper.drop("reasoning_effort")
        return
    budget = _BUDGETS[effort]
    bound = out["max_tokens"]
    limit = bound if isinstance(bound, int) else mapper.decoded(bound, "max_tokens", _decode_int)
    if mapper.field("max_tokens") is None and mapper.field("max_completion_tokens") is None:
        out["max_tokens"] = limit = limit + budget
    budget = min(budget, limit - 1)
    mapper.lose("reasoning_effort", "Messages have a budget of tokens")
    if budget < MIN_BUDGET:
        mapper.drop("reasoning_effort")
        return
    out["thinking"] = {"type": "enabled", "budget_tokens": budget}
    for name in ("temperature", "top_k"):
        if out.pop(name, None) is not None:
            mapper.drop(name)
    choice = out.get("tool_choice")
    if choice is not None and choice["type"] in ("any", "tool"):
        mapper.lose("tool_choice", "a tool cannot be forced while the model thinks")
        choice.pop("name", None)
        choice["type"] = "auto"


def _lacks_thoughts(turns: list[Turn]) -> bool:
    """Whether the running loop of tools has a call of the model's without the thoughts that led to it."""
    if not turns or not any(isinstance(part, ResultPart) for part in turns[-1].parts):
        return False
    before = turns[-2].parts if len(turns) > 1 else []
    return not any(isinstance(part, ThinkingPart) and (part.signature or part.redacted) for part in before)


_decode_int: Final = msgspec.json.Decoder(int).decode
